"""Shows above the prompt what a program prints although no message asked for it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.live import Event, Hub
    from aish.terminal.hub_feed import HubFeed


class UnaskedNotices:
    """Adds a notice for each piece of such output after the cursor `after` of the program's session."""

    def __init__(self, feed: "HubFeed", session_id: str, after: str) -> None:
        self._session_id = session_id
        self._after = after
        self._notices = feed.notices
        feed.start(self._follow, "output between turns is not shown")

    async def _follow(self, hub: "Hub") -> None:
        async for event in hub.follow(self._session_id, self._after):
            self._take(event)

    def _take(self, event: "Event") -> None:
        is_unasked = event.type == "output.delta" and event.data.get("channel") == "unsolicited"
        if is_unasked and not event.turn_id and (text := str(event.data.get("text", "")).strip("\n")):
            self._notices.add(text)
