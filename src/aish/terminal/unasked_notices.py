"""Shows above the prompt what a program prints although no message asked for it.

It follows the session of the program over a connection of its own, which stays open as long as the prompt. If
there is no hub, or if the hub sends something unexpected, the prompt works without these notices.
"""

from aish.terminal.notices import NOTICES, Notices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.live import Event
    from aish.turns.background import Background


class UnaskedNotices:
    """While `background` runs, adds a notice for each piece of such output after the cursor `after` of the
    session."""

    def __init__(
        self, background: "Background", home: str, session_id: str, after: str, notices: Notices = NOTICES
    ) -> None:
        self._background = background
        self._home = home
        self._session_id = session_id
        self._after = after
        self._notices = notices
        background.start(self._guard(), "unasked output")

    async def _guard(self) -> None:
        try:
            await self._follow()
        except Exception as error:  # noqa: BLE001  # the shell continues even if the hub sends invalid data
            self._notices.add(f"aish: output that comes unasked is not shown at this prompt: {error}")

    async def _follow(self) -> None:
        from aish.live import connect  # imported in this thread, so that the prompt does not wait

        hub = await self._background.enter(connect(self._home, start=False, reconnect_timeout=None))
        async for event in hub.follow(self._session_id, self._after):
            self._take(event)

    def _take(self, event: "Event") -> None:
        is_unasked = event.type == "output.delta" and event.data.get("channel") == "unsolicited"
        if is_unasked and not event.turn_id and (text := str(event.data.get("text", "")).strip("\n")):
            self._notices.add(text)
