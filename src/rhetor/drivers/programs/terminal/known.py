"""How single programs take what is typed or pasted, if that differs from what most programs do."""

from __future__ import annotations

import re
from typing import Final

from .screen import Screen

# take keys as commands, and insert a paste as text
_EDITORS: Final = {"vi", "vim", "vim.basic", "vim.tiny", "vim.nox", "vim.gtk3", "view", "vimdiff", "nvim"}
_INSERTS: Final = re.compile(r"-- .*(INSERT|REPLACE)")
# take several lines that are pasted as one command
_ONE_COMMAND: Final = {"gdb", "gdb-multiarch"}


def takes_paste(program: str, screen: Screen) -> bool:
    """Return whether a message is to be pasted into the program, rather than typed. An editor takes a paste
    only while text is inserted, for otherwise a message is a command."""
    if not screen.bracketed_paste:
        return False
    return program not in _EDITORS or any(map(_INSERTS.match, screen.text()[-1:]))


def takes_lines(program: str, screen: Screen) -> bool:
    """Return whether the lines of a message are submitted one after the other, rather than all at once."""
    if screen.alternate:
        return False  # a newline submits nothing
    return not screen.bracketed_paste or program in _ONE_COMMAND
