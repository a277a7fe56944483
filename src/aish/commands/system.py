"""`aish status`, `aish shutdown` and `aish whoami`: the hub, and who the caller is to it."""

import os
import select
from time import monotonic

from aish import exits
from aish.client.connection import connect, server_of
from aish.client.hub import NO_HUB, Hub
from aish.commands import JSON_WORDS, usage_error, wants_json
from aish.exits import Failure
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NO_PROVIDER = "none: the embedded offline model answers"
STATUS_TIMEOUT = 10.0  # seconds
_SHUTDOWN_TIMEOUT = 30.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25  # seconds
_SECOND_COLUMN = 10


def status(words: "list[str]") -> int:
    """Show the hub. Return 0 if it is running, and 5 if it is not.

    Raises:
        Failure: the words are invalid, or something other than a hub answers.
    """
    if len(words) > 1 or any(word not in JSON_WORDS for word in words):
        raise usage_error("status")
    hub = Hub(may_start=False)
    hub.deadline = monotonic() + STATUS_TIMEOUT
    try:
        found = hub.ask("GET", "/api/v2/status")
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
        waiting = waiting_schedules(hub.home)
        if words:
            print_json({"running": False, **({"schedules": waiting} if waiting else {})})
        else:
            print_line("hub  not running (the first message starts it)")
            if waiting:
                print_line(f"schedules {waiting} waiting; they run only while a hub is running")
        return exits.UNREACHABLE
    return print_json({"running": True, **found}) if words else print_line(_table(found))


def provider_line(status: "dict[str, Any]") -> str:
    """Return a line about the provider: `openai gpt-x at https://…`, or that the embedded model answers."""
    provider = status.get("provider")
    if not isinstance(provider, dict) or provider.get("name") == "offline":
        return NO_PROVIDER
    if provider.get("error"):
        hint = f"; {provider['hint']}" if provider.get("hint") else ""
        return f"none: {provider['error']}{hint}"
    place = f" at {provider['base_url']}" if provider.get("base_url") else ""
    return f"{provider.get('name', '?')} {provider.get('model') or ''}".rstrip() + place


def model_line(finding: "dict[str, Any]") -> str:
    """Return a line about a model that a setting names and that cannot be used, with the reason."""
    hint = f"; {finding['hint']}" if finding.get("hint") else ""
    return f"{finding.get('setting')}: {finding.get('detail')}{hint}"


def waiting_schedules(home: str) -> int:
    """Return how many schedules the last hub would run now; 0 if there are none."""
    try:
        with open(f"{home}/schedules", encoding="utf-8") as file:
            return int(file.read(20))
    except (OSError, ValueError):
        return 0


def schedules_line(found: "dict[str, Any]") -> "str | None":
    """Return a line about the schedules: how many there are, and when the next one runs; None if there are
    none."""
    from aish.commands.schedules import NOT_STARTED_AGAIN, zoned_time

    if not found.get("active"):
        return f"{found['paused']} paused" if found.get("paused") else None
    paused = f", {found['paused']} paused" if found["paused"] else ""
    line = f"{found['active']} active{paused}, next {zoned_time(found['next_at'])}"
    return line if found["starts_again"] else f"{line}; {NOT_STARTED_AGAIN}"


def node_line(node: "dict[str, Any]") -> str:
    """Return a line about one of the nodes that share the database with the hub."""
    said = [f"{node['name']} at {node['address']}"]
    said += ["this one"] if node["own"] else []
    said += ["leads"] if node["leads"] else []
    said += [_counted(node["sessions"], "session") if node["live"] else "lost"]
    if refused := node["refused_writes"]:
        said.append(f"{_counted(refused, 'late write')} refused")
    return ", ".join(said)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _table(found: "dict[str, Any]") -> str:
    from aish.render import cleaned, local_time
    from aish.screen.tables import stdout_columns, wrapped

    shown = {
        "hub": f"running, version {found.get('version')}, pid {found.get('pid')}",
        "started": local_time(found["started_at"]) if found.get("started_at") else None,
        "home": found.get("home"),
        "sockets": ", ".join(found.get("sockets") or ()),
        "url": found.get("url"),
        "peers": found.get("peers"),
        "sessions": f"{found.get('sessions')}, {found.get('running')} turns running",
        "schedules": schedules_line(found.get("schedules") or {}),
        "provider": provider_line(found),
        "models": "\n          ".join(map(model_line, found.get("models") or ())) or None,
        "nodes": "\n          ".join(map(node_line, found.get("nodes") or ())) or None,
    }
    lines = [f"{name:<9} {cleaned(str(value))}" for name, value in shown.items() if value is not None]
    return wrapped("\n".join(lines), stdout_columns(), _SECOND_COLUMN)


def whoami(words: "list[str]") -> int:
    """Show who the caller is to the hub.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached.
    """
    as_json = wants_json(words, "whoami")
    found = Hub().ask("GET", "/api/v2/whoami")
    if as_json:
        return print_json(found)
    from aish.render import cleaned
    from aish.turns.message import TERMINAL_NAME

    shown = {
        "name": found["subject"],
        "peer": found["ai"],
        "scopes": ", ".join(found["scopes"]),
        "by": f"{found['credential']} from {found['address']}",
        "terminal": os.environ.get(TERMINAL_NAME),
    }
    return print_line("\n".join(f"{key:<9} {cleaned(value)}" for key, value in shown.items() if value))


def shutdown(words: "list[str]") -> int:
    """Stop the hub, and wait until its process has exited.

    Raises:
        Failure: the hub rejects the request, or is still running after 30 seconds.
    """
    if words:
        raise usage_error("shutdown")
    hub = Hub(may_start=False)
    hub.deadline = monotonic() + _SHUTDOWN_TIMEOUT
    process = _open_process(hub.home)
    try:
        hub.ask("POST", "/api/v2/shutdown")
        if process is not None:
            has_exited = _wait_for_exit(process, hub.deadline)
        else:
            has_exited = _wait_for_close(hub.home, hub.deadline)
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
        return print_line("No hub is running")
    finally:
        if process is not None:
            os.close(process)
    if not has_exited:
        raise Failure(f"the hub is still running after {_SHUTDOWN_TIMEOUT:.0f} s; see {hub.home}/hub.log")
    return print_line("Stopped the hub")


def _open_process(home: str) -> int | None:
    """Return a descriptor that becomes readable when the hub's process exits; None if no hub is running or
    the system has no such descriptors."""
    try:
        connection = connect(home)
    except OSError:
        return None
    server = server_of(connection)
    connection.close()
    if server is None or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(server[0])
    except OSError:
        return None


def _wait_for_exit(process: int, deadline: float) -> bool:
    return bool(select.select([process], [], [], max(deadline - monotonic(), 0))[0])


def _wait_for_close(home: str, deadline: float) -> bool:
    """Wait until the hub no longer listens; return False if the deadline has passed.

    Nothing reports that a socket was closed, so try to connect at growing intervals.
    """
    pause = _FIRST_PAUSE
    while monotonic() < deadline:
        try:
            connect(home).close()
        except OSError:
            return True
        select.select([], [], [], pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
    return False


COMMANDS = {
    "status": status,
    "shutdown": shutdown,
    "whoami": whoami,
}
