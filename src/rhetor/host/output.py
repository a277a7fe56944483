"""Reads what the program writes and appends it to the spool, which any number of clients can follow.

stderr goes to a buffer of its own, so that a flood there does not delay the output.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable

from rhetor.codec import host_frames as frames

from .event_loop import Loop
from .program import Program
from .spool import Spool, TailBuffer

RETRY_SECONDS = 1.0  # before a write to the disk that failed is repeated
_DRAIN_BYTES = 4 << 20  # read at most from a terminal after the program has ended


class Output:
    """Reads a program's stdout and stderr, or its terminal. `on_output` is called after each piece.

    `waiting`: the spool is full, so nothing is read, and the program has to wait.
    """

    def __init__(
        self,
        loop: Loop,
        program: Program,
        spool: Spool,
        stderr: TailBuffer,
        clock: Callable[[], int],
        on_output: Callable[[], None],
    ) -> None:
        self.waiting = False
        self._loop = loop
        self._program = program
        self._spool = spool
        self._stderr = stderr
        self._clock = clock
        self._on_output = on_output
        self._pending = b""  # read, but not yet on the disk
        self._over = False
        loop.on_readable(program.output, self._read)
        if program.stderr is not None:
            loop.on_readable(program.stderr, self._read_stderr)

    def resume(self) -> None:
        """Continue to read if the spool was full and an acknowledgement has made room."""
        if self.waiting and not self._spool.full and not self._over:
            self.waiting = False
            self._loop.on_readable(self._program.output, self._read)

    def _read(self) -> None:
        data = self._taken()
        if data is None:
            self._loop.forget(self._program.output)
            self._over = True
        elif data:
            self._keep(data)

    def _taken(self) -> bytes | None:
        """Read what is available, at most one piece; return None at the end of the output."""
        parts: list[bytes] = []
        size = 0
        # one read of a terminal returns at most 4 KiB
        while size <= frames.MAX_PIECE_BYTES - 4096:
            try:
                data = os.read(self._program.output, frames.MAX_PIECE_BYTES - size)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                return b"".join(parts) if parts else None
            parts.append(data)
            size += len(data)
            if not self._program.terminal:
                break
        return b"".join(parts)

    def _keep(self, data: bytes) -> None:
        try:
            self._spool.append(self._clock(), data)
        except OSError:
            self._pending = data
            self._loop.on_readable(self._program.output, None)
            self._loop.after(RETRY_SECONDS, self._retry)
            return
        if self._spool.full and not self._over:
            self.waiting = True
            self._loop.on_readable(self._program.output, None)
        self._on_output()

    def _retry(self) -> None:
        data, self._pending = self._pending, b""
        if not data:
            return
        if not self._over:
            self._loop.on_readable(self._program.output, self._read)
        self._keep(data)

    def _read_stderr(self) -> None:
        assert self._program.stderr is not None
        try:
            data = os.read(self._program.stderr, frames.MAX_PIECE_BYTES)
        except BlockingIOError:
            return
        if data:
            self._stderr.append(self._clock(), data)
            self._on_output()
        else:
            self._loop.forget(self._program.stderr)
            self._program.close_stderr()

    def drain(self) -> bool:
        """Append what the program had written when it ended, even if that exceeds the spool's limit.

        Return False if a write to the disk failed: then call it again. Output that descendants of the program
        write later is not waited for.
        """
        self._loop.forget(self._program.output)
        try:
            if self._pending:
                self._spool.append(self._clock(), self._pending)
                self._pending = b""
            self._drain_output()
        except OSError:
            return False
        self._drain_stderr()
        self._over = True
        self._stderr.over = True
        return True

    def _drain_output(self) -> None:
        left = _DRAIN_BYTES if self._program.terminal else _held(self._program.output)
        while left > 0 and not self._over:
            data = self._taken()
            if not data:
                return
            left -= len(data)
            self._pending = data
            self._spool.append(self._clock(), data)
            self._pending = b""

    def _drain_stderr(self) -> None:
        if self._program.stderr is None:
            return
        left = _held(self._program.stderr)
        while left > 0 and self._program.stderr is not None:
            left -= frames.MAX_PIECE_BYTES
            self._read_stderr()
        if self._program.stderr is not None:
            self._loop.forget(self._program.stderr)


def _held(fd: int) -> int:
    """Return the number of bytes that can be read from the pipe now."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0])
