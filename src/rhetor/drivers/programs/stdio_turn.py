"""When a program on pipes has answered: bytes and the time in, text and the end of the turn out.

It knows the delimiter and silence; it reads no pipe and sets no timer. Time-outs on a program that does not
begin, or does not end, are the hub's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rhetor.codec.utf8 import Decoder, Invalid
from rhetor.drivers.programs.status import Evidence, ended_by_exit

SETTLE: Final = 0.03  # seconds in which nothing may follow a newline that is to end an answer


class StdioTurn:
    """One turn; times are seconds of any monotonic clock.

    `delimiter`: what the program ends its answers with. A newline ends the turn where nothing follows within
    30 ms (and is part of the text); any other ends it at once and is not part of the text; what follows
    belongs to no turn. None: the answer ends `idle` seconds after its last byte, or after the program has
    asked for input anew. The first byte may take as long as it likes. The end of the program ends the turn
    always.
    """

    def __init__(self, delimiter: bytes | None = None, idle: float = 0.3) -> None:
        self.ended: Evidence | None = None
        self.taken = 0
        """Bytes of the output that belong to this turn, the delimiter included."""
        self._delimiter = delimiter or None
        self._at_once = self._delimiter not in (None, b"\n")
        self._idle = idle
        self._decoder = Decoder()
        self._tail = b""  # may still become the delimiter
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When `tick` is to be called, if nothing comes before."""
        return None if self.ended else self._due

    @property
    def held(self) -> int:
        """Bytes not given out yet: what may still become the delimiter, or is half a character."""
        return len(self._tail) + self._decoder.held

    def started(self, now: float) -> None:
        """The message was written. Output from before this call belongs to no turn: do not feed it."""
        self._due = None

    def received(self, data: bytes, now: float) -> Sequence[str | Invalid]:
        """What may be given out now. Where this ends the turn, `taken` says how much of the output was
        its."""
        if self.ended or not data:
            return ()
        if self._at_once:
            return self._until_delimiter(data)
        self.taken += len(data)
        if self._delimiter is None:
            self._due = now + self._idle
        else:
            self._due = now + SETTLE if data.endswith(b"\n") else None
        return self._decoder.feed(data)

    def prompted(self, now: float) -> None:
        """On stderr it asks for input as it did before the message: no more is to come of this one."""
        if self._delimiter is None and self.ended is None:
            self._due = now + self._idle

    def tick(self, now: float) -> Sequence[str | Invalid]:
        """The time is `now`; what may be given out where that ends the turn."""
        if self.ended or self._due is None or now < self._due:
            return ()
        if self._delimiter is None:
            return self._end(Evidence("idle", f"no output for {self._idle:g} s"))
        return self._end(Evidence("delimiter", "a newline, and nothing after it"))

    def exited(self, code: int | None, signal: int | None, now: float) -> Sequence[str | Invalid]:
        """The program has ended and all of its output was fed."""
        return () if self.ended else self._end(ended_by_exit(code, signal))

    def _until_delimiter(self, data: bytes) -> Sequence[str | Invalid]:
        delimiter = self._delimiter or b""
        whole = self._tail + data
        found = whole.find(delimiter)
        if found < 0:
            self.taken += len(data)
            keep = _overlap(whole, delimiter)
            self._tail = whole[len(whole) - keep :]
            return self._decoder.feed(whole[: len(whole) - keep])
        self.taken += found + len(delimiter) - len(self._tail)
        self._tail = b""
        text = self._decoder.feed(whole[:found])
        return [*text, *self._end(Evidence("delimiter", f"the delimiter {delimiter!r}"))]

    def _end(self, evidence: Evidence) -> list[str | Invalid]:
        self.ended = evidence
        tail, self._tail = self._tail, b""
        return [*self._decoder.feed(tail), *self._decoder.finish()]


def _overlap(data: bytes, delimiter: bytes) -> int:
    """How many bytes at the end of `data` are a beginning of `delimiter`."""
    for size in range(min(len(delimiter) - 1, len(data)), 0, -1):
        if data.endswith(delimiter[:size]):
            return size
    return 0
