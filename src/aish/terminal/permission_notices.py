"""Provides a prompt with notices of permission requests and of their outcomes."""

from aish.questions import describe_answers
from aish.render import one_line, revealed
from aish.turns import permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.live import Hub, Permission, PermissionChange
    from aish.terminal.hub_feed import HubFeed

_MIN_ID = 6  # characters after a common prefix: an agent may begin all its ids with the same word
_EXPIRED, _RESET = "expiry", "reset"


class PermissionNotices:
    """Adds a notice for each permission request and for its outcome."""

    def __init__(self, feed: "HubFeed") -> None:
        self._notices = feed.notices
        self._pending: dict[tuple[str, str], Permission] = {}
        self._shown: set[tuple[str, str]] = set()  # by the turns of this prompt, together with their ends
        permissions.SHOWN_HERE.append(self._was_shown)
        feed.start(self._watch, "permission requests are not shown")

    async def _watch(self, hub: "Hub") -> None:
        async for change in hub.watch_permissions():
            self._take(change)

    def _was_shown(self, session_id: str, request_id: str) -> None:
        """Show nothing more of a request. This connection to the hub may learn of its end later than the turn
        does, above all if the hub was restarted."""
        self._shown.add((session_id, request_id))
        self._notices.withdraw(f"{session_id}\0{request_id}")

    def _take(self, change: "PermissionChange") -> None:
        request = change.request
        key = (request.session_id, request.request_id)
        name = "\0".join(key)
        if change.pending:
            self._pending[key] = request
            asks = "" if permissions.describe_pause(request.detail) else "asks: "
            text = f"⏸ {request.peer} {asks}{_summary(request)}"
            self._notices.add(f"{text} — aish approve {self._short_id(request)}", key=name, rings=True)
            if key in self._shown:
                self._notices.withdraw(name)
            return
        self._pending.pop(key, None)
        is_known = key in self._shown or request.request_id in permissions.ANSWERED_HERE
        if not self._notices.withdraw(name) and not is_known:
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
