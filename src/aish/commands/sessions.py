"""`aish sessions`, or `aish session`: conversations, by name or id."""

# ruff: noqa: PTH100, PTH109, PTH111, PTH112
import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import run_subcommand, usage_error
from aish.commands.sessions_checkpoints import (
    checkpoint,
    diff,
    restore,
    timeline,
    warn_of_limits,
)
from aish.commands.sessions_export import export, show
from aish.commands.sessions_fork import fork
from aish.commands.sessions_import import import_conversations
from aish.commands.sessions_lookup import OPEN_STATES, find_session, path_of, split_options
from aish.exits import Failure
from aish.output import STDOUT, print_json, print_line
from aish.progress import ask_with_progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Session = dict[str, Any]

_FIRST_WORDS = 60  # characters of a session's first message


def sessions(words: "list[str]") -> int:
    """Run the subcommand that the first word names; without words, list the sessions.

    Raises:
        Failure: the words are invalid, there is no such session, or the hub rejects the request.
    """
    name, *rest = words or ["list"]
    return run_subcommand("sessions", _SUBCOMMANDS, name, rest)


def _list(words: "list[str]") -> int:
    plain, options = split_options(words, "sessions list", ("--tool",), ("--all", "--json"))
    if plain and plain != ["json"]:
        raise usage_error("sessions list")
    hub, tool = Hub(), None
    if "--tool" in options:
        tool = hub.ask("GET", f"/api/v2/ai/{quote(options['--tool'])}")["id"]  # fails if the peer is unknown
    if "--all" in options:
        found = _ask_for(hub, tool, summary="true")
    else:
        found = _open_sessions(hub, tool, summary="true")
    found = [session for session in found if session["started"]]
    if plain or "--json" in options:
        return print_json(found)
    return print_line(_table(found, _own_subject(hub, found)) if found else "No sessions")


def _own_subject(hub: Hub, found: "list[Session]") -> "str | None":
    """Return who the caller is, if the list has sessions of several owners."""
    if len({session.get("owner") for session in found}) < 2:
        return None
    subject: str = hub.ask("GET", "/api/v2/whoami")["subject"]
    return subject


def _ask_for(hub: Hub, tool: "str | None", **given: str) -> "list[Session]":
    given = {"tool": tool, **given} if tool else given
    query = "&".join(f"{key}={quote(value)}" for key, value in given.items())
    found: list[Session] = hub.ask("GET", f"/api/v2/sessions?{query}")["sessions"]
    return found


def _open_sessions(hub: Hub, tool: "str | None", **given: str) -> "list[Session]":
    """Return the sessions that have not ended, most recently used first."""
    found = [session for state in OPEN_STATES for session in _ask_for(hub, tool, state=state, **given)]
    return sorted(found, key=lambda session: str(session["used_at"]), reverse=True)


def _table(found: "list[Session]", own: "str | None") -> str:
    from aish.commands.times import age
    from aish.render import one_line
    from aish.screen.tables import stdout_columns, table

    rows = [["NAME", "TOOL", "STATE", "AGE", "MESSAGES", "COST", "ID", "FIRST WORDS"]]
    for one in found:
        summary = one["summary"]
        shared = f"shared by {one['owner']}  " if own not in (None, one.get("owner")) else ""
        cells = (
            *(one["name"] or "", one["specialist_id"], one["state"], age(one["used_at"])),
            *(str(summary["messages"]), _cost(summary), one["id"], shared + _beginning(summary["first"])),
        )
        rows.append([one_line(cell) for cell in cells])
    return table(rows, stdout_columns())


def _cost(summary: "dict[str, Any]") -> str:
    """Return the cost in USD; a plus sign after it stands for what is unknown."""
    if summary["cost"] is None:
        return "" if summary["cost_is_complete"] else "unknown"
    return f"{float(summary['cost']):.4f}{'' if summary['cost_is_complete'] else '+'}"


def _beginning(text: str) -> str:
    return text if len(text) <= _FIRST_WORDS else f"{text[: _FIRST_WORDS - 1]}…"


def _create(words: "list[str]") -> int:
    valued = ("--tool", "--project", "--cwd", "-s", "--session")
    plain, options = split_options(words, "sessions create", valued)
    window = options.get("-s", options.get("--session"))
    is_number = window is None or (window.isdecimal() and len(window) < 6)
    if len(plain) != 1 or "--tool" not in options or not is_number:
        raise usage_error("sessions create")
    folder = os.path.abspath(os.path.expanduser(options.get("--cwd", "."))) if _current_folder() else ""
    if "--cwd" in options and not os.path.isdir(folder):
        raise Failure(f"no such folder: {folder}", exits.USAGE)
    body: dict[str, Any] = {"specialist_id": options["--tool"], "name": plain[0]}
    if window is not None:
        body["context_window"] = int(window)
    hub = Hub()
    if "--project" in options:  # fails if there is no such project; a program works in its folder
        body["project_id"] = hub.ask("GET", f"/api/projects/{quote(options['--project'])}")["id"]
        folder = folder if "--cwd" in options else ""
    made = hub.ask("POST", "/api/v2/sessions", {**body, **({"cwd": folder} if folder else {})})
    return print_line(f"✓ Created session {plain[0]} with {made['specialist_id']} ({made['id']})")


def _current_folder() -> str:
    """Return the working directory; empty if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _resume(words: "list[str]") -> int:
    plain, _ = split_options(words, "sessions resume")
    if not 1 <= len(plain) <= 2:
        raise usage_error("sessions resume")
    hub = Hub()
    session = find_session(hub, plain[-1])
    peer = session["specialist_id"]
    if len(plain) == 2 and plain[0] not in (peer, session["name"]):
        raise Failure(f"{plain[1]} is a session with {peer}, not with {plain[0]}", exits.USAGE)
    from aish.turns.input import STDIN
    from aish.turns.message import working_folder

    session = hub.ask("POST", f"{path_of(session)}/resume", {"standing": True, **working_folder()})
    if os.isatty(STDIN) and os.isatty(STDOUT):
        from aish.terminal.conversation import run_conversation
        from rhetor.domain.grammar import Options

        return run_conversation(peer, Options(session_id=session["id"]))
    name = session["name"] or session["id"]
    return print_line(f'✓ Resumed {name}; continue with: aish {peer} --session-id {name} "…"')


def _save(words: "list[str]") -> int:
    plain, options = split_options(words, "sessions save", ("--tool",))
    if not 1 <= len(plain) <= 2:
        raise usage_error("sessions save")
    hub = Hub()
    name = plain[0]
    if len(plain) == 1 and (known := _session_named(hub, name)):
        made = ask_with_progress(hub, "checkpoint", f"{path_of(known)}/checkpoint", {})
        warn_of_limits(made)
        hub.ask("POST", f"{path_of(known)}/save", {})
        return print_line(f"✓ Saved {name} (checkpoint {made['checkpoint_id']})")
    session = find_session(hub, plain[1]) if len(plain) == 2 else _last_used(hub, options.get("--tool"))
    hub.ask("POST", f"{path_of(session)}/save", {"name": name})
    return print_line(f"✓ Saved the session with {session['specialist_id']} as {name} ({session['id']})")


def _session_named(hub: Hub, name: str) -> "Session | None":
    try:
        return find_session(hub, name)
    except Failure as failure:
        if failure.code != exits.UNKNOWN:
            raise
        return None


def _last_used(hub: Hub, tool: "str | None") -> "Session":
    """Return the last used session that has no name and does not belong to another folder.

    Raises:
        Failure: there is none (exit code 3).
    """
    here = _current_folder()
    for session in _open_sessions(hub, tool):
        folder = (session.get("metadata") or {}).get("cwd")
        if not session["name"] and folder in (None, here):
            return dict(session)
    raise Failure("no unnamed session in this folder; give an id (aish sessions list)", exits.UNKNOWN)


def _delete(words: "list[str]") -> int:
    plain, _ = split_options(words, "sessions delete")
    if len(plain) != 1:
        raise usage_error("sessions delete")
    hub = Hub()
    hub.ask("DELETE", path_of(find_session(hub, plain[0])))
    return print_line(f"✓ Deleted {plain[0]}; its messages stay in the log")


_SUBCOMMANDS = {
    "list": _list,
    "create": _create,
    "resume": _resume,
    "save": _save,
    "delete": _delete,
    "show": show,
    "fork": fork,
    "checkpoint": checkpoint,
    "timeline": timeline,
    "diff": diff,
    "restore": restore,
    "export": export,
    "import": import_conversations,
}
COMMANDS = {"session": sessions, "sessions": sessions}
