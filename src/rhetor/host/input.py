"""Queues the clients' input and writes it to the program: one write after the other, each as a whole.

Each client has at most one piece in the queue, so it is bounded. `tty_writer.py` writes to the terminal or
pipe.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable

from rhetor.codec import host_frames as frames

from .event_loop import Loop, Timer
from .tty_writer import WRITABLE, PipeInput, TtyWriter

_SHUT = -1  # besides frames.KEYS and frames.TEXT: the end of the input
TURN_SECONDS = 10.0  # how long an unfinished write may keep others waiting for its next piece

Answer = Callable[[int], None]  # called with 0, or with the reason of the failure


class _Piece:
    __slots__ = ("answer", "data", "kind", "last", "writer")

    def __init__(self, writer: object, kind: int, last: bool, data: bytes, answer: Answer) -> None:
        self.writer = writer
        self.kind = kind
        self.last = last
        self.data = data
        self.answer = answer


class Input:
    """The input of the program. It accepts writes until `close`."""

    def __init__(self, loop: Loop, sink: TtyWriter | PipeInput) -> None:
        self._loop = loop
        self._sink: TtyWriter | PipeInput | None = sink
        self._waiting: deque[_Piece] = deque()
        self._begun: object | None = None  # the client whose write is unfinished
        self._late: set[object] = set()  # clients whose write was cut off; the rest of it is rejected
        self._turn: Timer | None = None
        self._overdue = False  # the unfinished write is cut off when another client writes
        self._again: Timer | None = None

    def write(self, writer: object, kind: int, last: bool, data: bytes, answer: Answer) -> None:
        """Queue a piece of a write, which ends with its `last` piece. `answer` is called when the piece was
        written or cannot be written. If the piece comes too late, others may have written in between: then
        the rest of the write is rejected."""
        if self._sink is None:
            answer(frames.STDIN_CLOSED)
            return
        if writer in self._late:
            if last:
                self._late.remove(writer)
            answer(frames.TURN_LOST)
            return
        self._queue(_Piece(writer, kind, last, data, answer))

    def shut(self, writer: object, answer: Answer) -> None:
        """End the input after the writes that are queued."""
        if self._sink is None:
            answer(frames.STDIN_CLOSED)
            return
        self._queue(_Piece(writer, _SHUT, True, b"", answer))

    def gone(self, writer: object) -> None:
        """Drop the queued pieces of a client that has disconnected."""
        self._waiting = deque(piece for piece in self._waiting if piece.writer is not writer)
        self._late.discard(writer)
        if self._begun is writer:
            self._pass_turn()

    def close(self, reason: int) -> None:
        """Accept no more input, and answer the queued pieces with `reason`."""
        if self._sink is not None:
            self._loop.on_writable(self._sink.fd, None)
        self._sink = None
        self._loop.cancel(self._again)
        self._loop.cancel(self._turn)
        waiting, self._waiting = self._waiting, deque()
        for piece in waiting:
            piece.answer(reason)

    def _queue(self, piece: _Piece) -> None:
        self._waiting.append(piece)
        if self._overdue and piece.writer is not self._begun:
            self._cut_off()
        else:
            self._advance()

    def _advance(self) -> None:
        self._loop.cancel(self._again)
        self._again = None
        while self._sink is not None and (piece := self._current()) is not None:
            if not self._give(self._sink, piece):
                return
        if self._sink is not None:
            self._loop.on_writable(self._sink.fd, None)

    def _current(self) -> _Piece | None:
        if self._begun is None:
            return self._waiting[0] if self._waiting else None
        return next((piece for piece in self._waiting if piece.writer is self._begun), None)

    def _give(self, sink: TtyWriter | PipeInput, piece: _Piece) -> bool:
        """Write the piece as far as possible; return whether it is done. If not, the loop continues it,
        unless the input was closed."""
        self._begin(piece)
        try:
            while piece.data:
                taken = sink.take(piece.data, piece.kind)
                piece.data = piece.data[taken:]
                if sink.wait:
                    break
            if piece.data or not sink.idle():
                self._come_again(sink)
                return False
        except OSError as error:
            self.close(frames.STDIN_CLOSED if error.errno == errno.EPIPE else frames.PROGRAM_OVER)
            return False
        self._done(piece)
        return self._sink is not None

    def _begin(self, piece: _Piece) -> None:
        self._begun = piece.writer
        self._overdue = False
        self._loop.cancel(self._turn)
        self._turn = None

    def _come_again(self, sink: TtyWriter | PipeInput) -> None:
        if sink.wait == WRITABLE:
            self._loop.on_writable(sink.fd, self._advance)
        else:
            self._loop.on_writable(sink.fd, None)
            self._again = self._loop.after(sink.wait, self._advance)

    def _done(self, piece: _Piece) -> None:
        self._waiting.remove(piece)
        if piece.last:
            self._begun = None
        else:
            self._turn = self._loop.after(TURN_SECONDS, self._time_out)
        if piece.kind == _SHUT and self._sink is not None:
            self._loop.on_writable(self._sink.fd, None)
            self._sink.shut()
            if isinstance(self._sink, PipeInput):
                self.close(frames.STDIN_CLOSED)
        piece.answer(0)

    def _time_out(self) -> None:
        self._overdue = True
        if self._waiting:
            self._cut_off()

    def _cut_off(self) -> None:
        self._late.add(self._begun)
        self._pass_turn()

    def _pass_turn(self) -> None:
        self._begun, self._overdue = None, False
        self._loop.cancel(self._turn)
        self._turn = None
        self._advance()
