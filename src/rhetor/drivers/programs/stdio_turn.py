"""Decides when a program on pipes has answered. It takes bytes and times, and returns text and the end.

Silence ends an answer only if it is not known what the program does about input. This module reads no pipe
and sets no timer. If the program never answers, the hub's own timeouts end the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rhetor.codec.utf8 import Decoder, Invalid
from rhetor.drivers.programs.host.values import Reader
from rhetor.drivers.programs.status import Evidence, ended_by_exit

LATER_LOOKS: Final = 1.0  # seconds between looks at a program that is working
SETTLE: Final = 0.03  # seconds of silence after a newline that ends an answer


class StdioTurn:
    """One turn. Times are seconds of any monotonic clock.

    `delimiter` is what the program writes at the end of its answers. A newline ends the turn if nothing
    follows within 30 ms, and is part of the text. Any other delimiter ends it at once and is not part of the
    text; what follows belongs to no turn. Without a delimiter, the answer ends `idle` seconds after its last
    byte, or after the program has prompted for input again, unless the program is working. If it waits for
    input, the answer may be empty; otherwise there is no time limit for the first byte. The turn always ends
    when the program ends.
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
        self._prompted = False
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When to call `tick`, unless there is output earlier. None if the time alone cannot end the turn."""
        return None if self.ended else self._due

    @property
    def held(self) -> int:
        """Number of bytes that are held back, because they may begin the delimiter or a character."""
        return len(self._tail) + self._decoder.held

    @property
    def finish_reason(self) -> str:
        """`silence` if only silence ended the turn."""
        return "silence" if self.ended is not None and self.ended.kind == "idle" else "stop"

    def started(self, now: float) -> None:
        """Note that the message was written. Output from before this call belongs to no turn."""
        self._due = now + self._idle if self._delimiter is None else None

    def received(self, data: bytes, now: float) -> Sequence[str | Invalid]:
        """Take output; return the text that is certain to be part of the answer. If this ends the turn,
        `taken` says how much of the output belongs to it."""
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
        """Note that the program has written its prompt to stderr again. The turn ends if silence follows."""
        if self._delimiter is None and self.ended is None:
            self._prompted = True
            self._due = now + self._idle

    def tick(self, now: float, reader: Reader | None = None) -> Sequence[str | Invalid]:
        """Check the time; return the rest of the text if the turn ends now. `reader`: what the program does
        about input, None if that is not known."""
        if self.ended or self._due is None or now < self._due:
            return ()
        evidence = self._judged(reader)
        if evidence is None:
            self._due = now + LATER_LOOKS
            return ()
        return self._end(evidence)

    def _judged(self, reader: Reader | None) -> Evidence | None:
        if self._delimiter is not None:
            return Evidence("delimiter", "a newline and nothing after it")
        if self._prompted:
            return Evidence("prompt", "it has prompted for input again")
        if reader == "waits":
            return Evidence("waits", "it waits for input")
        if reader == "no" or not self.taken:
            return None
        return Evidence("idle", f"no output for {self._idle:g} s")

    def exited(self, code: int | None, signal: int | None, now: float) -> Sequence[str | Invalid]:
        """End the turn because the program has ended and all of its output was received; return the rest of
        the text."""
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
    """Return how many bytes at the end of `data` are a beginning of `delimiter`."""
    for size in range(min(len(delimiter) - 1, len(data)), 0, -1):
        if data.endswith(delimiter[:size]):
            return size
    return 0
