"""A shell's one connection to the hub while a person sits at its prompt: it rings when a peer asks for
permission, and knows the peers' names. It lives in a thread of its own, and never starts a hub.
"""

import asyncio
import threading
from typing import Self

from aish import permits
from aish.above import ABOVE, Above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.live import Hub, Permission, PermissionChange

_LEAST_ID = 4
_EXPIRED = "expiry"


class Ringing:
    """Within the `with` whoever asks is shown above the prompt."""

    def __init__(self, home: str, above: Above = ABOVE) -> None:
        self._home = home
        self._above = above
        self._asked: dict[tuple[str, str], Permission] = {}
        self._loop = asyncio.new_event_loop()
        self._work: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="aish ringing", daemon=True)
        self._wanted = asyncio.Event()
        self._names: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        """Those of the peers, as they were when this was last asked; from any thread."""
        self._loop.call_soon_threadsafe(self._wanted.set)
        return self._names

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(1.0)  # a daemon: one that hangs does not hold the shell

    def _run(self) -> None:
        self._work = self._loop.create_task(self._listen(), name="ringing")
        try:
            self._loop.run_until_complete(asyncio.wait([self._work]))
        finally:
            self._loop.close()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _listen(self) -> None:
        from aish.live import HubError, connect  # here, in the thread: the prompt does not wait for it

        async with connect(self._home, start=False, patience=None) as hub:
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._name_peers(hub), name="names")
                    async for change in hub.watch_permissions():
                        self._take(change)
            except* HubError:
                pass  # a hub that refuses this is not asked again: what is typed will say why

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
            said = f"⏸ {request.peer} asks: {permits.summary(request.tool, request.detail)}"
            self._above.hold(f"{said} — aish approve {self._short(request)}", key=name, rings=True)
            return
        self._asked.pop(key, None)
        if not self._above.withdraw(name) and request.request_id not in permits.ANSWERED_HERE:
            self._above.hold(_ended(change))

    def _short(self, request: "Permission") -> str:
        """As much of the id as tells it from those of the others that wait."""
        id = request.request_id
        others = [other.request_id for other in self._asked.values() if other is not request]
        for size in range(_LEAST_ID, len(id)):
            if not any(other.startswith(id[:size]) for other in others):
                return id[:size]
        return id


def _ended(change: "PermissionChange") -> str:
    request = change.request
    what = f"{request.peer}: {permits.summary(request.tool, request.detail)}"
    if change.option_id is not None:
        named = [option.name for option in request.options if option.option_id == change.option_id]
        return f"✓ {what} was answered elsewhere: {named[0] if named else change.option_id}"
    return f"✗ {what} {'was not answered in time' if change.by == _EXPIRED else 'is not asked any more'}"
