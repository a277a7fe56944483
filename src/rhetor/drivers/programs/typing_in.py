"""Typing a message into a program's terminal, and seeing that it arrived before Enter goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.errors import NotEchoed, Unprocessable

from .echo import Echo
from .failures import HostLost
from .running import clock
from .screen import Screen
from .values import Chunk, Exited

if TYPE_CHECKING:
    from .terminal import TerminalProgram

PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
PIECE_CHARACTERS = 256  # of what is typed at once where a program takes it for keys
ECHO_SECONDS = 2.0
ATTEMPTS = 3  # at a program that shows nothing at all yet: what it is sent before it listens is lost
SETTLE_LINE, SETTLE_SCREEN = 0.03, 0.3  # of silence before Enter


class Typist:
    """For one message; the caller has the floor."""

    def __init__(self, program: TerminalProgram, screen: Screen) -> None:
        self._program = program
        self._screen = screen

    async def type(self, text: str) -> None:
        """Raises:
        NotEchoed: the program did not show it.
        Unprocessable: it cannot be typed there.
        ProgramEnded: it ended meanwhile."""
        echo = Echo(text, self._screen.cols)
        for _ in range(ATTEMPTS):
            await self._write(text)
            silent = await self._until_seen(echo)
            if echo.seen or not silent:
                break
        if not echo.seen:
            raise NotEchoed(
                f"{self._program.peer.name} did not show what was typed, so it was not submitted",
                hint="attach to it and look",
            )
        await self._settle(SETTLE_SCREEN if self._screen.alternate else SETTLE_LINE)

    async def _write(self, text: str) -> None:
        link = self._program.link
        if self._screen.bracketed_paste:
            if PASTE_ENDS in text:
                raise Unprocessable("the text has the sequence that ends a paste: it cannot be typed there")
            await link.write(f"{PASTE_BEGINS}{text}{PASTE_ENDS}".encode(), "keys")
            return
        for at in range(0, len(text), PIECE_CHARACTERS):
            await link.write(text[at : at + PIECE_CHARACTERS].encode(), "text")

    async def _until_seen(self, echo: Echo) -> bool:
        """Read until the text was seen or the time is over; whether nothing at all came."""
        ends, silent = clock() + ECHO_SECONDS, True
        while not echo.seen:
            item = await self._program.feed.next(ends)
            if item is None:
                return silent
            self._require(item)
            if isinstance(item, Chunk):
                silent = False
                await self._look(echo, item.data)
        return silent

    async def _look(self, echo: Echo, data: bytes) -> None:
        echo.feed(data)
        screen = await self._program.drawn()
        if screen.alternate:
            echo.look(screen.text())

    async def _settle(self, seconds: float) -> None:
        """Until nothing comes for so long; a program that draws without end is not waited for."""
        ends = clock() + 10 * seconds
        while (now := clock()) < ends:
            item = await self._program.feed.next(min(ends, now + seconds))
            if item is None:
                return
            self._require(item)

    def _require(self, item: object) -> None:
        if isinstance(item, Exited | HostLost):
            self._program.over(item)
            raise self._program.failure()
