"""A shell's one connection to the hub while a person sits at its prompt: it rings when a peer asks for
permission, and knows the peers' names. It never starts a hub; without one, or with one that is not to be
understood, the prompt goes on.
"""

import asyncio

from aish.terminal.above import ABOVE, Above
from aish.turns import permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from aish.live import Hub, Permission, PermissionChange
    from aish.turns.background import Background

_LEAST_ID = 6  # of what differs: an agent may begin all its ids with the same word
_EXPIRED = "expiry"


class Ringing:
    """For as long as `background` runs, whoever asks is shown above the prompt."""

    def __init__(self, background: "Background", home: str, above: Above = ABOVE) -> None:
        self._background = background
        self._home = home
        self._above = above
        self._asked: dict[tuple[str, str], Permission] = {}
        self._wanted = asyncio.Event()
        self._names: frozenset[str] = frozenset()
        self._failed = False
        background.begin(self._guarded(self._listen()), "ringing")

    def names(self) -> frozenset[str]:
        """Those of the peers, as they were when this was last asked; from any thread."""
        self._background.loop.call_soon_threadsafe(self._wanted.set)
        return self._names

    async def _guarded(self, work: "Coroutine[Any, Any, None]") -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  a task's border: whatever a hub does, the shell goes on
            if not self._failed:
                self._failed = True
                self._above.hold(f"aish: the prompt goes on without the hub's news: {error}")

    async def _listen(self) -> None:
        from aish.live import connect  # here, in the thread: the prompt does not wait for it

        hub = await self._background.keep(connect(self._home, start=False, patience=None))
        self._background.begin(self._guarded(self._name_peers(hub)), "names")
        async for change in hub.watch_permissions():
            self._take(change)

    async def _name_peers(self, hub: "Hub") -> None:
        while True:
            self._names = frozenset(peer.id for peer in await hub.peers())
            self._wanted.clear()
            await self._wanted.wait()

    def _take(self, change: "PermissionChange") -> None:
        request = change.request
        key = (request.session_id, request.request_id)
        name = "\0".join(key)
        if change.waits:
            self._asked[key] = request
            said = f"⏸ {request.peer} asks: {permissions.summary(request.tool, request.detail)}"
            self._above.hold(f"{said} — aish approve {self._short(request)}", key=name, rings=True)
            return
        self._asked.pop(key, None)
        if not self._above.withdraw(name) and request.request_id not in permissions.ANSWERED_HERE:
            self._above.hold(_ended(change))

    def _short(self, request: "Permission") -> str:
        """As much of the id as tells it from those of the others that wait."""
        id = request.request_id
        others = [other.request_id for other in self._asked.values() if other is not request]
        for size in range(id.rfind("_") + 1 + _LEAST_ID, len(id)):
            if not any(other.startswith(id[:size]) for other in others):
                return id[:size]
        return id


def _ended(change: "PermissionChange") -> str:
    request = change.request
    what = f"{request.peer}: {permissions.summary(request.tool, request.detail)}"
    if change.option_id is not None:
        named = [option.name for option in request.options if option.option_id == change.option_id]
        return f"✓ {what} was answered elsewhere: {named[0] if named else change.option_id}"
    return f"✗ {what} {'was not answered in time' if change.by == _EXPIRED else 'is not asked any more'}"
