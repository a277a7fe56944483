"""Text that was typed into a terminal and not run: whether it is still there, and how it is removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rhetor.drivers.programs.program import clock
from rhetor.drivers.programs.readiness import QUIET_SECONDS
from rhetor.errors import ProgramBlocked

from .message_input import KILL_LINE, Terminal
from .screen import Screen

TAIL: Final = 200  # characters at its end that are compared
DRAW_SECONDS: Final = 0.05  # a line editor may draw again after the text is gone
_ERASE = b"\x7f"


class Pending:
    """The text that was typed into one program and not run. `text`: empty if there is none."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def shown(self, screen: Screen) -> bool:
        """Return whether the text is still before the cursor, or somewhere on a full screen."""
        tail = _visible(self.text)[-TAIL:]
        if screen.alternate:
            return tail in _visible("".join(screen.text()))
        at = screen.cursor
        rows = screen.text()[: at.row + 1]
        rows[-1] = rows[-1][: at.col + (at.col == screen.cols - 1)]
        return bool(tail) and _visible("".join(rows)).endswith(tail)

    async def settle(self, content: str, program: Terminal, screen: Screen) -> str:
        """Remove the text if it is still there and `content` would join it. Return a note on what was done.

        Raises:
            ProgramBlocked: the text could not be removed.
        """
        text = self.text
        if not text or not self.shown(screen):
            self.text = ""
        elif content:
            await self._erase(program, screen)
            self.text = ""
            return f"removed text that was typed and not run: {text!r}\n"
        return ""

    async def _erase(self, program: Terminal, screen: Screen) -> None:
        for keys in self._erasers():
            await program.link.write(keys, "keys")
            ends = clock() + QUIET_SECONDS
            while self.shown(screen) and clock() < ends:
                await program.await_output(ends)
            if not self.shown(screen):
                await program.await_output(clock() + DRAW_SECONDS)
                return
        name = program.peer.name
        raise ProgramBlocked(
            f"{name} has text that was typed and not run: {self.text!r}",
            hint=f'run it with: aish {name} "" -x',
        )

    def _erasers(self) -> Iterator[bytes]:
        """Yield keys that may remove the text, to be typed until it is gone."""
        yield KILL_LINE
        yield _ERASE * len(self.text)


def _visible(text: str) -> str:
    return "".join(text.split())
