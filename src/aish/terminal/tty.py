"""The user's own terminal in raw mode, and that it surely comes back out of it.

A guardian, a small process of its own, waits until this one is gone: it puts the terminal right where this
one could not, because it was killed. What is shown and what keys mean this module refuses to know.
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

# Every mode that a program may have left on, off: alternate screen, application keys, mouse, focus,
# bracketed and synchronized writing, kitty's and xterm's keys, scroll region, character set, colours.
PLAIN = (
    b"\x1b[?1049l\x1b[?1l\x1b>\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l"
    b"\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[<9u\x1b[>4m\x1b[?6l\x1b[4l\x1b[r"
    b"\x1b(B\x0f\x1b[0 q\x1b[0m\x1b[?7h\x1b[?25h"
)
# The program drew anywhere on the screen: what comes next begins below all of it.
_BELOW = b"\x1b[999;1H\r\n"
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_LOOKED_AT = (signal.SIGWINCH, signal.SIGCONT)
_MOST = 1000  # rows and columns that the hub takes
_STALLED_SECONDS = 0.5
_IS_RAW, _IS_RESTORED = b"r", b"."


class Signalled(BaseException):
    """This process was asked to end; it does so once the terminal is restored."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class RawTerminal:
    """The terminal at these descriptors: raw within the `with`, and as it was behind it, however that is
    left. SIGTERM and SIGHUP leave it too, as `Signalled`, and then end the process.

    Select on `wakeup` and call `woken` when it is readable.
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
            self._guardian.tell(_IS_RAW)
            termios.tcsetattr(self._keyboard, termios.TCSANOW, self._raw)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def woken(self) -> None:
        """The size may have changed. Behind a stop the terminal is raw again."""
        try:
            told = os.read(self.wakeup, 4096)
        except BlockingIOError:
            return
        if signal.SIGCONT in told:
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
    """A process that outlives this one if need be, and then restores the terminal.

    It has a process group of its own and takes no signals, so that it ends only after this one. It is told
    through a pipe what state the terminal is in; the pipe's end is the end of this process.
    """

    def __init__(self, keyboard: int, screen: int, cooked: "Attributes", raw: "Attributes") -> None:
        reads, self._tells = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _guard(reads, keyboard, screen, cooked, raw)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(reads)

    def tell(self, state: bytes) -> None:
        try:
            os.write(self._tells, state)
        except BrokenPipeError:
            pass  # somebody killed it

    def release(self) -> None:
        """The terminal is restored: the guardian ends without doing anything, and leaves no zombie."""
        self.tell(_IS_RESTORED)
        os.close(self._tells)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass


def window_size(screen: int = 1) -> tuple[int, int]:
    """Rows and columns, each from 1 to 1000; 24 and 80 where nobody knows."""
    try:
        columns, rows = os.get_terminal_size(screen)
    except OSError:
        columns, rows = 0, 0
    return min(rows or 24, _MOST), min(columns or 80, _MOST)


def raw(cooked: "Attributes") -> "Attributes":
    """The attributes of `cfmakeraw`: every byte as it is typed, and as it is written."""
    iflag, oflag, cflag, lflag, *speeds, characters = cooked
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    iflag &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag & ~termios.OPOST, cflag, lflag, *speeds, characters]


def restore(keyboard: int, screen: int, cooked: "Attributes") -> None:
    """The screen plain, the attributes as they were. A terminal that is gone, or stopped, is left alone."""
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
        while told := os.read(pipe, 64):
            state = told[-1:]
        if state == _IS_RAW:
            # A shell that was faster has its own attributes there by now, and they are to stay.
            now = termios.tcgetattr(keyboard)
            restore(keyboard, screen, cooked if now[:4] == raw[:4] else now)
    finally:
        os._exit(0)


def _only(*wanted: int) -> "list[int]":
    """These descriptors as 0, 1, 2 …, all others closed: a guardian keeps no pipe and no connection open."""
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, len(wanted)) for descriptor in wanted]
    for number, copy in enumerate(copies):
        os.dup2(copy, number)
    os.closerange(len(wanted), os.sysconf("SC_OPEN_MAX"))
    return list(range(len(wanted)))


def _nothing(number: int, frame: "FrameType | None") -> None:
    """The number in the pipe is all that is wanted."""
