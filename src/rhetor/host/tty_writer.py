"""Writes to a terminal so that its program reads every byte unchanged (termios(3), n_tty.c of Linux).

In canonical mode, the terminal acts on control characters, holds at most 4,095 bytes of a line and drops the
rest. Therefore VLNEXT is typed before each control character, and a long line is delivered in parts: VEOF
hands what was typed so far to the reader without ending the line.

Writing is paced: a burst is smaller than the kernel's buffer, and the next one waits until everything was
read. So text is read in the mode in which it was typed. It also keeps the kernel from looking ahead in bytes
that it cannot accept yet, because there it acts on a stop key even after VLNEXT.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable

from rhetor.codec import host_frames as frames

from .reader import NO

WRITABLE = -1.0

_PIECE = 512
_ROOM = 3900  # bytes of a burst and the line before it; the kernel holds 4,095
_LONG_LINE = 2048  # bytes; a line that is longer is delivered in parts
_SHORTEST, _LONGEST = 0.0005, 0.02  # seconds between two checks whether the program has read something
_READER_SECONDS = 2.0  # how long to wait for a reader before a part of a line is delivered anyway

_SPECIAL = ("VINTR", "VQUIT", "VSUSP", "VEOF", "VERASE", "VKILL", "VEOL", "VSTART", "VSTOP")
_SPECIAL_EXTENDED = ("VWERASE", "VREPRINT", "VLNEXT", "VEOL2", "VDISCARD")


class TtyWriter:
    """Types on a terminal.

    `take` may accept only a part of the data. Then `wait` says when to continue: after so many seconds, or,
    if it is WRITABLE, when `fd` can be written to. `reader`
    returns what the program does about input (`reader.py`).
    """

    def __init__(self, master: int, slave: int, reader: Callable[[], bytes]) -> None:
        self.fd = master
        self.wait = 0.0
        self._slave = slave
        self._reader = reader
        self._poll = select.poll()
        self._poll.register(slave, select.POLLIN)
        self._carry = b""  # encoded bytes that the kernel has not accepted yet
        self._held = 0  # bytes that the terminal may hold unread
        self._line = 0  # bytes since the last end of a line
        self._handed = False  # a part of a line was delivered and may be unread
        self._since: float | None = None  # when waiting for a reader began

    def take(self, data: bytes, kind: int) -> int:
        """Type the beginning of `data`, after what was accepted before; return how many bytes were accepted.

        Raises:
            OSError: the terminal is gone.
        """
        if self._carry and not self._flush():
            return 0
        if kind == frames.KEYS:
            end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            self._line = min(len(data) - end if end else self._line + len(data), _LONG_LINE)
            self._held += len(data)
            return self._type(data, len(data))
        modes = termios.tcgetattr(self.fd)
        if modes[3] & termios.ICANON:
            return self._take_line(data, modes)
        self._line, self._handed = 0, False
        self._unread()
        if self._held + _PIECE > _ROOM // 2:
            return self._later()
        self._held += min(len(data), _PIECE)
        return self._type(data[:_PIECE], min(len(data), _PIECE))

    def idle(self) -> bool:
        """Return whether the terminal has all bytes that were accepted. Writes the rest if possible."""
        return not self._carry or self._flush()

    def shut(self) -> None:
        """Type the end-of-file key, twice if a line has begun: the first one only delivers that line."""
        modes = termios.tcgetattr(self.fd)
        control = modes[6]
        assert isinstance(control, list)
        canonical = modes[3] & termios.ICANON
        key = bytes(control[termios.VEOF]) if canonical else b"\x04"
        self._type(self._carry + key * (2 if canonical and self._line else 1), 0)
        self._line = 0

    def _take_line(self, data: bytes, modes: list[int | list[bytes | int]]) -> int:
        unread = self._unread()
        if (self._handed and unread) or self._held + _PIECE > _ROOM:
            return self._later()
        piece = data[:_PIECE]
        end = piece.rfind(b"\n") + 1
        line = len(piece) - end if end else self._line + len(piece)
        hand_over = line > _LONG_LINE
        if hand_over and not self._reader_there():
            return self._later()
        control = modes[6]
        assert isinstance(control, list)
        typed = _escaped(piece, modes)
        end_of_file = control[termios.VEOF]
        if hand_over and end_of_file != b"\0":
            # in one write with the text before it, because on an empty line it would be an end of file
            typed += bytes(end_of_file)
            line = 0
        self._handed = hand_over
        self._line = line
        self._held += len(piece)
        return self._type(typed, len(piece))

    def _type(self, typed: bytes, length: int) -> int:
        """Write `typed`, the encoded form of `length` bytes of the text; return `length`."""
        self._carry = typed
        self._flush()
        return length

    def _flush(self) -> bool:
        try:
            taken = os.write(self.fd, self._carry)
        except BlockingIOError:
            taken = 0
        self._carry = self._carry[taken:]
        self.wait = WRITABLE if self._carry else 0.0
        return not self._carry

    def _unread(self) -> int:
        """Return how many bytes the program could read now. 0 means that it has read everything."""
        # if nothing can be read, polling makes the kernel process what it still holds, so that 0 is exact
        self._poll.poll(0)
        count = int(struct.unpack("i", fcntl.ioctl(self._slave, termios.FIONREAD, b"\0" * 4))[0])
        if not count:
            self._held = self._line
        return count

    def _later(self) -> int:
        self.wait = min(max(self.wait * 2, _SHORTEST), _LONGEST)
        return 0

    def _reader_there(self) -> bool:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if self._reader() == NO and now - self._since < _READER_SECONDS:
            return False
        self._since = None
        return True


def _escaped(piece: bytes, modes: list[int | list[bytes | int]]) -> bytes:
    """Return `piece` with VLNEXT before each byte that the terminal would act on."""
    inputs, local, control = modes[0], modes[3], modes[6]
    assert isinstance(inputs, int) and isinstance(local, int) and isinstance(control, list)
    next_literal = control[termios.VLNEXT]
    if not local & termios.IEXTEN or next_literal == b"\0":
        return piece  # in this mode, no byte can be escaped
    special = {bytes(control[getattr(termios, name)]) for name in (*_SPECIAL, *_SPECIAL_EXTENDED)} - {b"\0"}
    if inputs & (termios.ICRNL | termios.IGNCR):
        special.add(b"\r")
    if not any(byte in piece for byte in special):
        return piece
    prefix = bytes(next_literal)
    return b"".join(prefix + byte if byte in special else byte for byte in (bytes((n,)) for n in piece))


class PipeInput:
    """Writes to a pipe, with the interface of `TtyWriter`. Bytes are written as they are."""

    def __init__(self, fd: int, shut: Callable[[], None]) -> None:
        self.fd = fd
        self.wait = 0.0
        self.shut = shut

    def take(self, data: bytes, kind: int) -> int:
        """Write the beginning of `data`; return how many bytes the pipe accepted.

        Raises:
            OSError: the program has closed its end.
        """
        del kind
        try:
            taken = os.write(self.fd, data)
        except BlockingIOError:
            taken = 0
        self.wait = 0.0 if taken == len(data) else WRITABLE
        return taken

    def idle(self) -> bool:
        return True
