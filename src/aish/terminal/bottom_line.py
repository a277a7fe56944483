"""The bottom line of a prompt: `1 turn · 2 unread · 1 permission`, updated as the hub reports changes."""

import os

from aish.turns.message import TERMINAL_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from aish.live import Activity, ActivityWatch, Hub
    from aish.terminal.hub_feed import HubFeed

    Styled = list[tuple[str, str]]

_ALERT = "class:bottom.alert"
_PLAIN = "class:bottom"


class BottomLine:
    """Follows the activity of the hub, and passes it to `show` in the thread of the feed. While the hub is
    away, nothing is known, so the line is empty."""

    def __init__(self, feed: "HubFeed", show: "Callable[[Styled], None]") -> None:
        self._show = show
        feed.start(self._watch, "running turns are not shown")

    async def _watch(self, hub: "Hub") -> None:
        from aish.live import UnknownPeer
        from aish.turns.unnamed_terminal import name

        try:
            await self._follow(hub.watch_activity(os.environ.get(TERMINAL_NAME) or name()))
        except UnknownPeer:  # the variable was set by hand, or the terminal was removed: it has no messages
            await self._follow(hub.watch_activity())

    async def _follow(self, watch: "ActivityWatch") -> None:
        async for activity in watch:
            self._show(line_of(activity) if activity else [])


def line_of(activity: "Activity") -> "Styled":
    """Return the text of the bottom line with its styles, without what is zero."""
    parts = (
        (_PLAIN, activity.turns, "turn" if activity.turns == 1 else "turns"),
        (_PLAIN, activity.unread, "unread"),
        (_ALERT, activity.permissions, "permission" if activity.permissions == 1 else "permissions"),
    )
    line: Styled = []
    for style, count, noun in parts:
        if count:
            line += [(_PLAIN, " · ")] if line else []
            line.append((style, f"{count} {noun}"))
    return line
