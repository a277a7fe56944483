"""Sets the user's terminal to raw mode, and restores it in every case.

A guardian process waits for this process to exit. If this process is killed and cannot restore the terminal,
the guardian restores it. This module does not know what is shown, or what keys mean.
"""

import fcntl
import os
import select
import signal
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn, TypeAlias

    Attributes: TypeAlias = list[Any]

# Turns off every mode that a program may have left on: alternate screen, application keys, mouse, focus,
# bracketed paste, synchronized output, kitty's and xterm's keys, scroll region, character set, colours.
PLAIN = (
    b"\x1b[?1049l\x1b[?1l\x1b>\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l"
    b"\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[<9u\x1b[>4m\x1b[?6l\x1b[4l\x1b[r"
    b"\x1b(B\x0f\x1b[0 q\x1b[0m\x1b[?7h\x1b[?25h"
)
# The program may have drawn anywhere on the screen: output continues below all of it.
_BELOW = b"\x1b[999;1H\r\n"
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_LOOKED_AT = (signal.SIGWINCH, signal.SIGCONT)
_MAX_SIZE = 1000  # rows or columns that the hub accepts
_STALLED_SECONDS = 0.5
_IS_RAW, _IS_RESTORED = b"r", b"."


class Signalled(BaseException):
    """The process received SIGTERM or SIGHUP. It exits as soon as the terminal is restored."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class RawTerminal:
    """The terminal at these descriptors: raw within the `with`, and restored afterwards in every case.

    SIGTERM and SIGHUP raise `Signalled` in the block, and then end the process.

    Select on `wakeup`, and call `handle_wakeup` when it is readable.
    """

    def __init__(self, keyboard: int = 0, screen: int = 1) -> None:
        self._keyboard = keyboard
        self._screen = screen
        self._is_leaving = False
        self._signal = 0

    def __enter__(self) -> "RawTerminal":
        self._cooked: Attributes = termios.tcgetattr(self._keyboard)
        self._raw = raw(self._cooked)
        self._guardian = Guardian(self._keyboard, self._screen, self._cooked, self._raw)
        self.wakeup, self._wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._earlier_wakeup = signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        self._earlier = {number: signal.signal(number, self._end) for number in _ENDING}
        self._earlier |= {number: signal.signal(number, _nothing) for number in _LOOKED_AT}
        try:
            self._guardian.report(_IS_RAW)
            termios.tcsetattr(self._keyboard, termios.TCSANOW, self._raw)
        except BaseException:  # a terminal must not stay raw, not even after a signal
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def handle_wakeup(self) -> None:
        """Handle a signal: the size may have changed, and after a stop the terminal must become raw again."""
        try:
            signals = os.read(self.wakeup, 4096)
        except BlockingIOError:
            return
        if signal.SIGCONT in signals:
            termios.tcsetattr(self._keyboard, termios.TCSANOW, self._raw)

    def _leave(self) -> None:
        self._is_leaving = True
        restore(self._keyboard, self._screen, self._cooked)
        self._guardian.release()
        for number, handler in self._earlier.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._earlier_wakeup)
        os.close(self.wakeup)
        os.close(self._wakes)
        if self._signal:
            os.kill(os.getpid(), self._signal)

    def _end(self, number: int, _: "FrameType | None") -> None:
        self._signal = number
        if not self._is_leaving:
            raise Signalled(number)


class Guardian:
    """A process that restores the terminal if this process exits without restoring it.

    It has a process group of its own and blocks all signals, so that it exits after this process. It reads
    the state of the terminal from a pipe; when the pipe closes, this process has exited.
    """

    def __init__(self, keyboard: int, screen: int, cooked: "Attributes", raw: "Attributes") -> None:
        reads, self._pipe = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _guard(reads, keyboard, screen, cooked, raw)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(reads)

    def report(self, state: bytes) -> None:
        try:
            os.write(self._pipe, state)
        except BrokenPipeError:
            pass  # the guardian was killed

    def release(self) -> None:
        """End the guardian, because the terminal is restored. It leaves no zombie."""
        self.report(_IS_RESTORED)
        os.close(self._pipe)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass


def window_size(screen: int = 1) -> tuple[int, int]:
    """Return the rows and columns, each from 1 to 1000; 24 and 80 if they are unknown."""
    try:
        columns, rows = os.get_terminal_size(screen)
    except OSError:
        columns, rows = 0, 0
    return min(rows or 24, _MAX_SIZE), min(columns or 80, _MAX_SIZE)


def raw(cooked: "Attributes") -> "Attributes":
    """Return the attributes that `cfmakeraw` sets: bytes are read as typed, and written unchanged."""
    iflag, oflag, cflag, lflag, *speeds, characters = cooked
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    iflag &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag & ~termios.OPOST, cflag, lflag, *speeds, characters]


def restore(keyboard: int, screen: int, cooked: "Attributes") -> None:
    """Reset the screen's modes and restore the attributes, unless the terminal is gone or stopped."""
    try:
        if select.select([], [screen], [], _STALLED_SECONDS)[1]:
            os.write(screen, PLAIN + _BELOW)
    except OSError:
        pass
    try:
        termios.tcsetattr(keyboard, termios.TCSANOW, cooked)
    except (OSError, termios.error):
        pass


def _guard(pipe: int, keyboard: int, screen: int, cooked: "Attributes", raw: "Attributes") -> "NoReturn":
    try:
        os.setpgid(0, 0)
        keyboard, screen, pipe = _only(keyboard, screen, pipe)
        state = _IS_RESTORED
        while reports := os.read(pipe, 64):
            state = reports[-1:]
        if state == _IS_RAW:
            # if another shell has set its own attributes already, keep them
            now = termios.tcgetattr(keyboard)
            restore(keyboard, screen, cooked if now[:4] == raw[:4] else now)
    finally:
        os._exit(0)


def _only(*wanted: int) -> "list[int]":
    """Renumber these descriptors as 0, 1, 2 … and close all others, so that the guardian holds no pipe and no
    connection open."""
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, len(wanted)) for descriptor in wanted]
    for number, copy in enumerate(copies):
        os.dup2(copy, number)
    os.closerange(len(wanted), os.sysconf("SC_OPEN_MAX"))
    return list(range(len(wanted)))


def _nothing(number: int, frame: "FrameType | None") -> None:
    """Handle a signal by doing nothing: its number in the pipe is enough."""
