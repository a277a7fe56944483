"""`aish sessions list|create|resume|save|delete|show|fork|export|import`: conversations, by name or id."""

# ruff: noqa: PTH100, PTH109, PTH111, PTH112
import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.commands.sessions_lookup import about, path_of, session_called, show_text, taken
from aish.exits import Failure
from aish.output import STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Session = dict[str, Any]

_FORMS = {
    "list": "list [--tool NAME] [--all] [--json]",
    "create": "create NAME --tool T [--cwd DIR] [-s N]",
    "resume": "resume NAME | resume TOOL ID",
    "save": "save NAME [ID] [--tool T]",
    "delete": "delete NAME",
    "show": "show NAME [--json]",
    "fork": "fork NAME [NEW]",
    "export": "export NAME [--format md|json|jsonl]",
    "import": "import [--tool T] [--since TIME] [--dry-run] [--json] [PATH…]",
}
HOW = "aish sessions " + " | ".join(_FORMS.values())
_OPEN = ("active", "paused", "waiting")
_MOST_FORKS = 100


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, there is no such session, or the hub refuses.
    """
    what, *rest = words or ["list"]
    if what not in _FORMS:
        raise usage(HOW)
    if what == "import":
        from aish.commands.sessions_import import run_import

        return run_import(rest, how_to(what))
    if what in ("show", "export"):
        from aish.commands import sessions_export

        act: Callable[[list[str], Exception], int] = getattr(sessions_export, what)
        return act(rest, how_to(what))
    named: dict[str, Callable[[list[str]], int]] = {
        "list": _list,
        "create": _create,
        "resume": _resume,
        "save": _save,
        "delete": _delete,
        "fork": _fork,
    }
    return named[what](rest)


def how_to(what: str) -> Exception:
    """The failure that says how it is written."""
    return usage(f"aish sessions {_FORMS[what]}")


def _list(words: "list[str]") -> int:
    plain, options = taken(words, how_to("list"), ("--tool",), ("--all", "--json"))
    if plain and plain != ["json"]:
        raise how_to("list")
    hub, among = Hub(), ""
    if "--tool" in options:
        peer = hub.ask("GET", f"/api/v2/ai/{quote(options['--tool'])}")  # one that there is not is said
        among = f"?tool={quote(peer['id'])}"
    found = hub.ask("GET", f"/api/v2/sessions{among}")["sessions"]
    if "--all" not in options:
        found = [session for session in found if session["state"] in _OPEN]
    if plain or "--json" in options:
        import json

        return show_text(json.dumps(found, indent=2, ensure_ascii=False))
    return show_text(_table(found) if found else "No sessions")


def _table(found: "list[Session]") -> str:
    from aish.render import cleaned, table

    rows = [("NAME", "TOOL", "STATE", "USED", "ID", "ABOUT")]
    for one in found:
        used = one["used_at"][:16].replace("T", " ")
        cells = (one["name"] or "", one["specialist_id"], one["state"], used, one["id"], about(one))
        rows.append(tuple(" ".join(cleaned(str(cell)).split()) for cell in cells))  # type: ignore[arg-type]
    return table(rows)


def _create(words: "list[str]") -> int:
    plain, options = taken(words, how_to("create"), ("--tool", "--cwd", "-s", "--session"))
    window = options.get("-s", options.get("--session", "10"))
    if len(plain) != 1 or "--tool" not in options or not (window.isdecimal() and len(window) < 6):
        raise how_to("create")
    folder = os.path.abspath(os.path.expanduser(options.get("--cwd", "."))) if _is_somewhere() else ""
    if "--cwd" in options and not os.path.isdir(folder):
        raise Failure(f"there is no folder {folder}", exits.USAGE)
    body = {"specialist_id": options["--tool"], "name": plain[0], "context_window": int(window)}
    made = Hub().ask("POST", "/api/v2/sessions", {**body, **({"cwd": folder} if folder else {})})
    return show_text(f"✓ {plain[0]} is a session with {made['specialist_id']} ({made['id']})")


def _is_somewhere() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:  # the folder is no more
        return False


def _resume(words: "list[str]") -> int:
    plain, _ = taken(words, how_to("resume"))
    if not 1 <= len(plain) <= 2:
        raise how_to("resume")
    hub = Hub()
    session = session_called(hub, plain[-1])
    peer = session["specialist_id"]
    if len(plain) == 2 and plain[0] not in (peer, session["name"]):
        raise Failure(f"{plain[1]} is a session with {peer}, not with {plain[0]}", exits.USAGE)
    from aish.turns.message import STDIN, folder

    session = hub.ask("POST", f"{path_of(session)}/resume", {"standing": True, **folder()})
    if os.isatty(STDIN) and os.isatty(STDOUT):
        from aish.language.prompt import run_conversation
        from rhetor.domain.grammar import Options

        return run_conversation(peer, Options(session_id=session["id"]))
    called = session["name"] or session["id"]
    return show_text(f'✓ {called} goes on: aish {peer} --session-id {called} "…"')


def _save(words: "list[str]") -> int:
    plain, options = taken(words, how_to("save"), ("--tool",))
    if not 1 <= len(plain) <= 2:
        raise how_to("save")
    hub = Hub()
    name = plain[0]
    if len(plain) == 1 and (known := _called(hub, name)):
        made = hub.ask("POST", f"{path_of(known)}/checkpoint", {})
        hub.ask("POST", f"{path_of(known)}/save", {})
        return show_text(f"✓ {name} is kept as it is now (checkpoint {made['checkpoint_id']})")
    session = session_called(hub, plain[1]) if len(plain) == 2 else _last_used(hub, options.get("--tool"))
    hub.ask("POST", f"{path_of(session)}/save", {"name": name})
    return show_text(f"✓ The session with {session['specialist_id']} is called {name} ({session['id']})")


def _called(hub: Hub, name: str) -> "Session | None":
    try:
        return session_called(hub, name)
    except Failure as failure:
        if failure.code != exits.UNKNOWN:
            raise
        return None


def _last_used(hub: Hub, tool: "str | None") -> "Session":
    """The conversation without a name that was used last; of those that have a folder, in this one."""
    among = f"?tool={quote(tool)}" if tool else ""
    here = os.getcwd() if _is_somewhere() else ""
    for session in hub.ask("GET", f"/api/v2/sessions{among}")["sessions"]:
        folder = (session.get("metadata") or {}).get("cwd")
        if session["state"] in _OPEN and not session["name"] and folder in (None, here):
            return dict(session)
    raise Failure("No session to save: say which one (aish sessions list)", exits.UNKNOWN)


def _delete(words: "list[str]") -> int:
    plain, _ = taken(words, how_to("delete"))
    if len(plain) != 1:
        raise how_to("delete")
    hub = Hub()
    hub.ask("DELETE", path_of(session_called(hub, plain[0])))
    return show_text(f"✓ {plain[0]} has ended; what was said in it stays in the log")


def _fork(words: "list[str]") -> int:
    plain, _ = taken(words, how_to("fork"))
    if not 1 <= len(plain) <= 2:
        raise how_to("fork")
    hub = Hub()
    parent = session_called(hub, plain[0])
    name = plain[1] if len(plain) == 2 else _free_name(hub, parent["name"])
    made = hub.ask("POST", f"{path_of(parent)}/fork", {"name": name} if name else {})
    return show_text(f"✓ {name or made['id']} goes on from {plain[0]} ({made['id']})")


def _free_name(hub: Hub, name: "str | None") -> "str | None":
    """`work-2` for a copy of `work`, or the next one that nobody has."""
    for number in range(2, _MOST_FORKS) if name else ():
        if not hub.ask("GET", f"/api/v2/sessions?name={quote(f'{name}-{number}')}")["sessions"]:
            return f"{name}-{number}"
    return None
