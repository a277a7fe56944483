"""Single keys from the terminal that controls this process, also if stdin is a pipe.

A key counts only if it is pressed alone: what was typed before the keys are read, and what arrives with other
characters, is text, and is dropped.
"""

import os
import select
import termios
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_TERMINAL = "/dev/tty"
_ALONE_SECONDS = 0.25  # without another character before and after a key
_POLL_SECONDS = 0.3
_PIECE_BYTES = 4096


class Keyboard:
    """The keys, within the `with`. `stop` may be called by any thread.

    Raises:
        OSError: no terminal controls this process, or it is in the background.
    """

    def __init__(self) -> None:
        self._terminal = os.open(_TERMINAL, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        if not self._is_in_foreground():
            os.close(self._terminal)
            raise OSError("the process is in the background")
        self._stopped, self._stops = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    @classmethod
    def is_there(cls) -> bool:
        """Whether there is a terminal from which keys can be read."""
        try:
            cls().close()
        except OSError:
            return False
        return True

    def __enter__(self) -> "Self":
        self._is_silent = False
        self._earlier = termios.tcgetattr(self._terminal)
        self._attributes = _single_keys(self._earlier)
        termios.tcsetattr(self._terminal, termios.TCSAFLUSH, self._attributes)  # drops what was typed
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._is_in_foreground():
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._earlier)
        except (OSError, termios.error):
            pass  # the terminal is gone
        self.close()

    def close(self) -> None:
        for descriptor in (self._terminal, self._stopped, self._stops):
            os.close(descriptor)

    def stop(self) -> None:
        """Let `key` and `text` return None."""
        try:
            os.write(self._stops, b".")
        except OSError:
            pass  # it is stopped already

    def key(self) -> str | None:
        """Return a key that is pressed alone; None if the keyboard was stopped."""
        while True:
            if not self._is_silent:
                self._wait_for_silence()
            piece = self.text()
            if piece is None:
                return None
            self._is_silent = not self._arrives_within(_ALONE_SECONDS)
            if len(piece) == 1 and self._is_silent:
                return piece

    def text(self) -> str | None:
        """Return the characters that are typed next; None if the keyboard was stopped."""
        while not self._arrives_within(_POLL_SECONDS):
            if self._is_stopped():
                return None
        self._is_silent = False
        return os.read(self._terminal, _PIECE_BYTES).decode("utf-8", "replace") or None

    def _wait_for_silence(self) -> None:
        while self._arrives_within(_ALONE_SECONDS):
            os.read(self._terminal, _PIECE_BYTES)

    def _arrives_within(self, seconds: float) -> bool:
        """Wait until there is something to read, or until the time is over or the keyboard is stopped."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            ready = select.select([self._terminal, self._stopped], [], [], left)[0]
            if self._stopped in ready:
                return False
            if ready and self._is_in_foreground():
                return True
            if ready:  # to read it in the background would suspend this process
                select.select([self._stopped], [], [], left)
        self._set_again()
        return False

    def _is_stopped(self) -> bool:
        return bool(select.select([self._stopped], [], [], 0)[0])

    def _set_again(self) -> None:
        """Set the attributes again, if the user's shell has changed them while the process was suspended."""
        if self._is_in_foreground() and termios.tcgetattr(self._terminal)[3] & termios.ICANON:
            termios.tcsetattr(self._terminal, termios.TCSAFLUSH, self._attributes)

    def _is_in_foreground(self) -> bool:
        return os.tcgetpgrp(self._terminal) == os.getpgrp()


def _single_keys(attributes: "list[Any]") -> "list[Any]":
    """Return the attributes with which keys are read at once and not shown. Ctrl-C and Ctrl-Z work."""
    changed = list(attributes)
    changed[3] &= ~(termios.ICANON | termios.ECHO)
    changed[6] = list(attributes[6])
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    return changed
