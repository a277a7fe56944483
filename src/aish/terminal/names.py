"""The names that Tab completes at the prompt. They are fetched in the background, so that no key waits."""

import asyncio

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
_WHAT = "names are not completed"


class PromptNames(HubNames):
    """Returns the names as of the last time that they were asked for, and then fetches them again."""

    def __init__(self, feed: "HubFeed") -> None:
        self._feed = feed
        self._known: dict[str, list[dict[str, Any]]] = {}
        self._used: dict[str, str] = {}
        self._fetcher, self._slow = _Fetcher(self._known), _Fetcher(self._known)
        self._failed = False
        for kind in _FIRST_KINDS:
            self.names(kind, ())
        self._used.clear()
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
        """Return a list of the hub as far as it is known. Any thread may call this."""
        self._used[path] = key
        self._want(path, key)
        return self._known.get(path, [])

    def refresh(self) -> None:
        """Fetch again what was completed once, because the last line may have changed it."""
        for path, key in self._used.items():
            if path != _SLOW:
                self._want(path, key)

    def _want(self, path: str, key: str) -> None:
        fetcher = self._slow if path == _SLOW else self._fetcher
        fetcher.wanted[path] = key
        self._feed.soon(fetcher.has_wishes.set)


class _Fetcher:
    """Fetches the lists that are wanted, one after the other, and keeps them in `known`."""

    def __init__(self, known: "dict[str, list[dict[str, Any]]]") -> None:
        self.wanted: dict[str, str] = {}
        self.has_wishes = asyncio.Event()
        self._known = known

    async def run(self, hub: "Hub") -> None:
        from aish.live import HubError

        while True:
            await self.has_wishes.wait()
            self.has_wishes.clear()
            for path, key in list(self.wanted.items()):
                del self.wanted[path]
                try:
                    self._known[path] = list((await hub.request("GET", path))[key])
                except HubError:
                    self._known.pop(path, None)  # such as the checkpoints of a session that was deleted
