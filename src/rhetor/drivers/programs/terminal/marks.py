"""The marks in a program's output (OSC 133), with which a shell reports its prompts and commands."""

from __future__ import annotations

import re

_MARK = re.compile(rb"\x1b\]133;([ABCD])([^\x07\x1b]{0,64})(?:\x07|\x1b\\)")
_MARK_BYTES = 80


class Marks:
    """The marks that one program has written. A mark may be split between two pieces of output."""

    def __init__(self) -> None:
        self._last = b""
        self._edge = b""
        self._of_commands = True

    @property
    def seen(self) -> bool:
        """Whether the program has marked a prompt or a command."""
        return bool(self._last)

    @property
    def of_commands(self) -> bool:
        """Whether the program marks where its commands begin, not only where its prompts do."""
        return self.seen and self._of_commands

    @property
    def in_command(self) -> bool:
        """Whether the last mark was the beginning of a command."""
        return self._last == b"C"

    def take(self, data: bytes) -> None:
        if b"\x1b" not in data and not self._edge:
            return
        whole, seen = self._edge + data, 0
        for found in _MARK.finditer(whole):
            self._last, seen = found[1], found.end()
            if self._last == b"A":
                self._of_commands = b"unmarked" not in found[2]
        rest = whole[max(seen, len(whole) - _MARK_BYTES) :]
        self._edge = rest[rest.find(b"\x1b") :] if b"\x1b" in rest else b""
