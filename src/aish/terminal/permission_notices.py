"""Provides a prompt with notices of permission requests, and with the names of the peers.

They arrive over one connection to the hub, which stays open as long as the prompt is shown. It never starts a
hub. If there is no hub, or if the hub sends something unexpected, the prompt works without them.
"""

import asyncio

from aish.questions import describe_answers
from aish.render import one_line, revealed
from aish.terminal.notices import NOTICES, Notices
from aish.turns import permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from aish.live import Hub, Permission, PermissionChange
    from aish.turns.background import Background

_MIN_ID = 6  # characters after a common prefix: an agent may begin all its ids with the same word
_EXPIRED, _RESET = "expiry", "reset"


class PermissionNotices:
    """While `background` runs, adds a notice for each permission request and for its outcome."""

    def __init__(self, background: "Background", home: str, notices: Notices = NOTICES) -> None:
        self._background = background
        self._home = home
        self._notices = notices
        self._pending: dict[tuple[str, str], Permission] = {}
        self._wanted = asyncio.Event()
        self._names: frozenset[str] = frozenset()
        self._failed = False
        background.start(self._guard(self._watch()), "permission notices")

    def names(self) -> frozenset[str]:
        """Return the names of the peers as of the last call, and fetch them again. Any thread may call it."""
        self._background.loop.call_soon_threadsafe(self._wanted.set)
        return self._names

    async def _guard(self, work: "Coroutine[Any, Any, None]") -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # the shell continues even if the hub sends invalid data
            if not self._failed:
                self._failed = True
                self._notices.add(f"aish: permission requests are not shown at this prompt: {error}")

    async def _watch(self) -> None:
        from aish.live import connect  # imported in this thread, so that the prompt does not wait

        hub = await self._background.enter(connect(self._home, start=False, reconnect_timeout=None))
        self._background.start(self._guard(self._fetch_names(hub)), "peer names")
        async for change in hub.watch_permissions():
            self._take(change)

    async def _fetch_names(self, hub: "Hub") -> None:
        while True:
            self._names = frozenset(peer.id for peer in await hub.peers())
            self._wanted.clear()
            await self._wanted.wait()

    def _take(self, change: "PermissionChange") -> None:
        request = change.request
        key = (request.session_id, request.request_id)
        name = "\0".join(key)
        if change.pending:
            self._pending[key] = request
            asks = "" if permissions.describe_pause(request.detail) else "asks: "
            text = f"⏸ {request.peer} {asks}{_summary(request)}"
            self._notices.add(f"{text} — aish approve {self._short_id(request)}", key=name, rings=True)
            return
        self._pending.pop(key, None)
        if not self._notices.withdraw(name) and request.request_id not in permissions.ANSWERED_HERE:
            self._notices.add(_outcome(change))

    def _short_id(self, request: "Permission") -> str:
        """Return the beginning of the id, long enough to differ from the ids of other pending requests."""
        id = request.request_id
        others = [other.request_id for other in self._pending.values() if other is not request]
        for size in range(id.rfind("_") + 1 + _MIN_ID, len(id)):
            if not any(other.startswith(id[:size]) for other in others):
                return id[:size]
        return id


def _summary(request: "Permission") -> str:
    if request.questions:
        return " · ".join(one_line(revealed(question.question)) for question in request.questions)
    return permissions.summary(request.tool, request.detail)


def _outcome(change: "PermissionChange") -> str:
    request = change.request
    what = f"{request.peer}: {_summary(request)}"
    if permissions.describe_pause(request.detail):
        what = f"the pause of {request.peer}"
        if change.by == _RESET:
            return f"✓ {what} is over"
    if change.answers is not None:
        return f"✓ {what} was answered elsewhere: {describe_answers(change.answers)}"
    if change.option_id is not None:
        named = [option.name for option in request.options if option.option_id == change.option_id]
        return f"✓ {what} was answered elsewhere: {named[0] if named else change.option_id}"
    return f"✗ {what} {'expired without an answer' if change.by == _EXPIRED else 'was withdrawn'}"
