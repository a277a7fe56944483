"""The names that Tab completes at the prompt. They are fetched in the background.

The first Tab after a line waits a moment for each list that it needs, because the line may have changed it.
"""

import asyncio
import threading

from aish.client.names import HubNames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from aish.live import Hub
    from aish.terminal.hub_feed import HubFeed

# what is known before the first Tab
_FIRST_KINDS = (
    *("PEER", "ALIAS", "SESSION", "ROUTE", "PROJECT", "SERVER", "TERMINAL", "PERMISSION", "SCHEDULE"),
    *("RECIPIENT", "PROVIDER", "SETTING"),
)
_SLOW = "/api/v2/models"  # asks the providers: nothing else waits for it, and no line changes it
_WAIT = 0.1  # seconds
_WHAT = "names are not completed"


class PromptNames(HubNames):
    """Returns the names as they are now or, if the hub is slow, as of the last time that they were needed."""

    def __init__(self, feed: "HubFeed") -> None:
        self._feed = feed
        self._known: dict[str, list[dict[str, Any]]] = {}
        self._used: dict[str, str] = {}
        self._fetcher, self._slow = _Fetcher(self._known), _Fetcher(self._known)
        self._failed = False
        self._awaited: set[str] | None = None  # the lists that Tab has waited for since the last line
        for kind in _FIRST_KINDS:
            self.names(kind, ())
        self._used.clear()
        self._awaited = set()
        feed.start(self._fetcher.run, _WHAT)
        feed.start(self._slow.run, _WHAT)

    def names(self, kind: str, words: "Sequence[str]") -> "list[tuple[str, str]]":
        try:
            return super().names(kind, words)
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # the hub sent something else
            if not self._failed:
                self._feed.notices.add(f"aish: {_WHAT} at this prompt: the hub sent no {error}")
            self._failed = True
            return []

    def listed(self, path: str, key: str) -> "list[dict[str, Any]]":
        """Return a list of the hub as far as it is known."""
        self._used[path] = key
        arrived = self._want(path, key)
        if self._awaited is not None and path not in (_SLOW, *self._awaited):
            self._awaited.add(path)
            arrived.wait(_WAIT)
        return self._known.get(path, [])

    def refresh(self) -> None:
        """Fetch again what was completed once, because the last line may have changed it."""
        self._awaited = set()
        for path, key in self._used.items():
            if path != _SLOW:
                self._want(path, key)

    def _want(self, path: str, key: str) -> threading.Event:
        """Fetch a list in the background. The event is set when it has arrived, or cannot be had."""
        fetcher = self._slow if path == _SLOW else self._fetcher
        arrived = threading.Event()
        fetcher.wanted[path] = key, arrived
        self._feed.soon(fetcher.has_wishes.set)
        return arrived


class _Fetcher:
    """Fetches the lists that are wanted, one after the other, and keeps them in `known`."""

    def __init__(self, known: "dict[str, list[dict[str, Any]]]") -> None:
        self.wanted: dict[str, tuple[str, threading.Event]] = {}
        self.has_wishes = asyncio.Event()
        self._known = known

    async def run(self, hub: "Hub") -> None:
        from aish.live import HubError

        while True:
            await self.has_wishes.wait()
            self.has_wishes.clear()
            for path in list(self.wanted):
                key, arrived = self.wanted.pop(path)
                try:
                    self._known[path] = list((await hub.request("GET", path))[key])
                except HubError:
                    self._known.pop(path, None)  # such as the checkpoints of a session that was deleted
                finally:
                    arrived.set()
