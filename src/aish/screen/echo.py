"""The terminal's echo, which is off while lines are drawn, because what is typed would be written into them.

What is typed meanwhile is not lost: the next program that reads the terminal gets it. If this process is
killed, the user's shell turns the echo on again, as after every program that was killed.
"""

import os
import termios


def is_ours(descriptor: int, *, reads_keys: bool = False) -> bool:
    """Whether this process may draw on the terminal: it is in the foreground, and no other program, such as a
    pager, reads single keys from it. `reads_keys`: this process does so itself."""
    try:
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            return False
        return reads_keys or bool(_modes(descriptor) & termios.ICANON)
    except (OSError, termios.error):
        return True  # it is not the terminal that controls this process


class Echo:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_stopped = False

    def stop(self) -> None:
        self._is_stopped = is_ours(self._descriptor) and self._set(on=False)

    def restore(self) -> None:
        if self._is_stopped and is_ours(self._descriptor):
            self._set(on=True)

    def _set(self, *, on: bool) -> bool:
        """Turn it on or off; return whether that changed anything."""
        try:
            attributes = termios.tcgetattr(self._descriptor)
            before = attributes[3]
            attributes[3] = before | termios.ECHO if on else before & ~termios.ECHO
            if attributes[3] != before:
                termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)
            return bool(attributes[3] != before)
        except (OSError, termios.error):
            return False


def _modes(descriptor: int) -> int:
    return int(termios.tcgetattr(descriptor)[3])
