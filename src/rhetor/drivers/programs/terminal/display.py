"""The screen of a running program, and the viewers that are attached to it.

The bytes stay in the host's spool. The screen is drawn from them only when it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from rhetor.domain.program import Exit
from rhetor.drivers.programs.host.connection import answering
from rhetor.drivers.programs.host.failures import HostLost, HostSilent, ProgramOver
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Chunk

from .marks import Marks
from .screen import Screen
from .viewer import Audience, Size, TerminalViewer

UNREAD_BYTES = 128 << 10  # kept until the screen is drawn; older output is dropped
AT_ONCE_BYTES = 4 << 10  # more than this is drawn in a thread


class Display:
    """The screen of the program `name`. The attached viewers determine its size.

    `screen`: the screen when it was last drawn, or None. `resized` is called with each new number of columns.
    """

    def __init__(
        self, name: str, link: HostLink, feed: Feed, marks: Marks, resized: Callable[[int], None]
    ) -> None:
        self.screen: Screen | None = None
        self._name = name
        self._link = link
        self._feed = feed
        self._marks = marks
        self._resized = resized
        self._audience: Audience | None = None
        self._drawing = asyncio.Lock()
        self._unread = bytearray()

    @property
    def is_viewed(self) -> bool:
        return self._audience is not None and bool(self._audience.clients())

    def keep(self, data: bytes) -> None:
        """Keep a piece of output until the screen is drawn."""
        self._unread += data
        if len(self._unread) > UNREAD_BYTES:
            del self._unread[: len(self._unread) - UNREAD_BYTES]

    async def drawn(self) -> Screen:
        """Draw the output that was read, and return the screen.

        The terminal's answers are sent to the program, unless a viewer's own terminal answers it.
        """
        async with self._drawing:
            screen = self.screen or await self._first()
            while self._unread:
                data, self._unread = bytes(self._unread), bytearray()
                if len(data) > AT_ONCE_BYTES:
                    await asyncio.to_thread(screen.feed, data)
                else:
                    screen.feed(data)
        if (replies := screen.take_replies()) and not (self._audience and self._audience.types):
            await self._reply(replies)
        return screen

    async def view(self, ended: Callable[[], Exit | None], *, sender: str, writes: bool) -> TerminalViewer:
        """Attach a viewer. `ended` returns how the program ended, or None if that is not known."""
        screen = await self.drawn()
        audience = self._audience
        assert audience is not None
        viewer = TerminalViewer(
            audience,
            self._link,
            screen.snapshot(),
            self._feed.offset - len(self._unread),  # output that arrived during the drawing is not on it
            ended,
            sender=sender,
            writes=writes,
        )
        await audience.join(viewer)
        return viewer

    async def _first(self) -> Screen:
        """Return a screen of the terminal's size with the output from before this hub began to read."""
        host = await self._link.status()
        size = (host.rows, host.cols)
        screen = Screen(*size)
        await self._draw_again(screen)
        self.screen = screen
        self._resized(size[1])
        self._audience = Audience(self._name, self._link.identity.program_pid, size, self._resize)
        return screen

    async def _draw_again(self, screen: Screen) -> None:
        """Draw the last output from before this hub began to read, as far as the spool still has it.

        Raises:
            HostSilent: the host does not answer.
        """
        began = self._feed.offset - len(self._unread)
        at = max(began - UNREAD_BYTES, 0)
        if at == began:
            return
        async with answering(self._link.host_id), aclosing(self._link.read(at)) as items:
            async for item in items:
                if not isinstance(item, Chunk) or item.offset_after - len(item.data) >= began:
                    break
                surplus = max(item.offset_after - began, 0)
                data = item.data[: len(item.data) - surplus]
                await asyncio.to_thread(screen.feed, data)
                self._marks.take(data)
                if item.offset_after >= began:
                    break
        screen.take_replies()  # these queries were answered at the time

    async def _reply(self, replies: bytes) -> None:
        try:
            await self._link.write(replies, "keys")
        except (HostLost, HostSilent, ProgramOver):
            pass  # the program no longer waits for them

    async def _resize(self, size: Size) -> None:
        if self.screen is not None:
            self.screen.resize(*size)
            self._resized(size[1])
        try:
            await self._link.resize(*size)
        except (HostLost, HostSilent, ProgramOver):
            pass  # the viewers learn of the end after the last output
