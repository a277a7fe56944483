"""The names of peers, sessions and so on that the hub knows, for completion.

It never starts a hub. Without one, or if the hub does not answer in time, there are no names.
"""

from time import monotonic

from aish.client.hub import Hub, quote
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    Found: TypeAlias = dict[str, Any]
    Named: TypeAlias = Iterator[tuple[str, str]]

TIMEOUT = 1.0  # seconds for all requests: Tab must not hang
_OPEN_STATES = ("active", "paused", "waiting")
_PROGRAMS = ("terminal", "tool")
_PEERS = "/api/v2/ai"


class HubNames:
    """Asks the hub for names, and for each list only once."""

    def __init__(self, hub: Hub | None = None) -> None:
        self._hub = hub or Hub(may_start=False)
        self._hub.deadline = monotonic() + TIMEOUT
        self._lists: dict[str, list[Found]] = {}

    def names(self, kind: str, words: "Sequence[str]") -> "list[tuple[str, str]]":
        """Return the names of a kind, as `aish.catalogue.completion.Names` says."""
        find = _KINDS.get(kind)
        return [*find(self, words)] if find else []

    def listed(self, path: str, key: str) -> "list[Found]":
        """Return a list of the hub; an empty one if the hub cannot be asked."""
        if path not in self._lists:
            try:
                self._lists[path] = list(self._hub.ask("GET", path)[key])
            except (Failure, KeyError):
                self._lists[path] = []
        return self._lists[path]


def _peers(names: HubNames, words: "Sequence[str]") -> "Named":
    for peer in names.listed(_PEERS, "peers"):
        if peer.get("kind") != "team" and peer.get("websocket_supported", True):
            yield peer["id"], peer.get("description") or ""


def _of_kind(*kinds: str) -> "Callable[[HubNames, Sequence[str]], Named]":
    def find(names: HubNames, words: "Sequence[str]") -> "Named":
        for peer in names.listed(_PEERS, "peers"):
            if peer.get("kind") in kinds and peer.get("websocket_supported", True):
                yield peer["id"], peer.get("description") or ""

    return find


def _capabilities(names: HubNames, words: "Sequence[str]") -> "Named":
    best: dict[str, tuple[float, str]] = {}
    for peer in names.listed(_PEERS, "peers"):
        for name, score in (peer.get("capabilities") or {}).get("scores", {}).items():
            best[name] = max(best.get(name, (0.0, "")), (score, peer["id"]))
    for name, (score, peer_id) in sorted(best.items()):
        yield name, f"{peer_id}, {score:g}"


def _teams(names: HubNames, words: "Sequence[str]") -> "Named":
    for peer in names.listed(_PEERS, "peers"):
        if peer.get("kind") == "team":
            yield peer["id"].removeprefix("team:"), peer.get("description") or ""


def _terminals(names: HubNames, words: "Sequence[str]") -> "Named":
    for terminal in names.listed("/api/v2/terminals", "terminals"):
        yield terminal["name"], "a terminal"


def _sessions(names: HubNames, words: "Sequence[str]") -> "Named":
    """Yield the sessions that have not ended, those with a name first, then the most recently used."""
    found = [
        session
        for state in _OPEN_STATES
        for session in names.listed(f"/api/v2/sessions?state={state}", "sessions")
    ]
    found.sort(key=lambda session: str(session.get("used_at")), reverse=True)
    for session in sorted(found, key=lambda session: not session["name"]):
        hub, is_hubs, part = str(session["specialist_id"]).partition(":")  # `hub:schedule` keeps its answers
        about = f"a session of a {part}" if is_hubs else f"a session with {hub}"
        yield session["name"] or session["id"], about


def _checkpoints(names: HubNames, words: "Sequence[str]") -> "Named":
    """Yield the checkpoints of the session in `sessions diff SESSION`, by name or id."""
    if len(words) < 3:
        return
    found = names.listed(f"/api/v2/sessions?name={quote(words[2])}", "sessions")
    session = found[0]["id"] if found else words[2]
    for each in names.listed(f"/api/v2/sessions/{quote(session)}/checkpoints", "checkpoints"):
        yield each["name"] or each["checkpoint_id"], each["at"]


def _options(names: HubNames, words: "Sequence[str]") -> "Named":
    """Yield the options of the permission request in `approve PERMISSION`."""
    for request in names.listed("/api/v2/permissions", "permissions"):
        if request["request_id"].startswith(words[1]):
            for option in request["options"]:
                yield option["option_id"], option["name"]


def _permissions(names: HubNames, words: "Sequence[str]") -> "Named":
    for request in names.listed("/api/v2/permissions", "permissions"):
        yield request["request_id"], f"{request['peer']}: {request['tool']}"


def _named(path: str, key: str, about: str) -> "Callable[[HubNames, Sequence[str]], Named]":
    """Return the function for a list whose items have a `name`. `about`: the key of the description."""

    def find(names: HubNames, words: "Sequence[str]") -> "Named":
        for each in names.listed(path, key):
            yield each["name"], str(each.get(about) or "")

    return find


def _models(names: HubNames, words: "Sequence[str]") -> "Named":
    """Yield the models that peers use, and those that the providers list in time."""
    for peer in names.listed(_PEERS, "peers"):
        if "/" in str(peer.get("model")):
            yield peer["model"], f"used by {peer['id']}"
    for model in names.listed("/api/v2/models", "models"):
        yield model["model"], ", ".join(model.get("takes") or ())


def _logins(names: HubNames, words: "Sequence[str]") -> "Named":
    for login in names.listed("/api/v2/logins", "logins"):
        yield login["id"], f"{login['subject']}, {login['user_agent'] or login['address']}"


def _settings(names: HubNames, words: "Sequence[str]") -> "Named":
    """Yield the settings and their sections."""
    found = names.listed("/api/v2/config", "config")
    yield from ((section, "") for section in sorted({each["key"].partition(".")[0] for each in found}))
    yield from ((each["key"], str(each.get("origin") or "")) for each in found)


def _routes(names: HubNames, words: "Sequence[str]") -> "Named":
    for route in names.listed("/api/v2/routes", "routes"):
        yield route["name"], " → ".join(hop["ai"] for hop in route["hops"])


_KINDS: "dict[str, Callable[[HubNames, Sequence[str]], Named]]" = {
    "ALIAS": _named("/api/v2/aliases", "aliases", "command"),
    "CAPABILITY": _capabilities,
    "CHECKPOINT": _checkpoints,
    "LOGIN": _logins,
    "MODEL": _models,
    "OPTION": _options,
    "PEER": _peers,
    "PERMISSION": _permissions,
    "PROJECT": _named("/api/projects", "projects", "path"),
    "PROVIDER": _named("/api/v2/keys", "keys", "source"),
    "RECIPIENT": _named("/api/v2/notify", "notify", "kind"),
    "ROUTE": _routes,
    "SCHEDULE": _named("/api/v2/schedules", "schedules", "line"),
    "SERVER": _named("/api/mcp-servers", "mcp_servers", "transport"),
    "SESSION": _sessions,
    "SETTING": _settings,
    "SPECIALIST": _of_kind("specialist"),
    "TEAM": _teams,
    "TERMINAL": _terminals,
    "TOOL": _of_kind(*_PROGRAMS),
}
