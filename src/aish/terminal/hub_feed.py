"""The prompt's own connection to the hub, over which it learns what to show.

It stays open as long as the prompt, and never starts a hub. If there is no hub, or if the hub sends something
unexpected, the prompt works without what comes over it.
"""

import asyncio

from aish.terminal.notices import NOTICES, Notices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeAlias

    from aish.live import Hub
    from aish.turns.background import Background

    Work: TypeAlias = Callable[[Hub], Coroutine[Any, Any, None]]


class HubFeed:
    """The connection, opened with the first work. `background`: where the work runs; `notices`: where
    it says what it learns, and why it ended."""

    def __init__(self, background: "Background", home: str, notices: Notices = NOTICES) -> None:
        self.notices = notices
        self._background = background
        self._home = home
        self._opening = asyncio.Lock()
        self._hub: Hub | None = None

    def start(self, work: "Work", what: str) -> None:
        """Run work that uses the hub. `what`: what a notice says if it fails, such as "x is not shown"."""
        self._background.start(self._guard(work, what), what)

    def soon(self, call: "Callable[[], object]") -> None:
        """Call a function in the thread of the work. Any thread may do so."""
        self._background.loop.call_soon_threadsafe(call)

    async def _guard(self, work: "Work", what: str) -> None:
        try:
            await work(await self._connected())
        except Exception as error:  # noqa: BLE001  # the shell continues even if the hub sends invalid data
            self.notices.add(f"aish: {what} at this prompt: {error}")

    async def _connected(self) -> "Hub":
        from aish.live import connect  # imported in this thread, so that the prompt does not wait

        async with self._opening:
            if self._hub is None:
                opening = connect(self._home, start=False, reconnect_timeout=None)
                self._hub = await self._background.enter(opening)
            return self._hub
