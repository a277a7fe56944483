"""`aish doctor`: what works, what is missing, and how to get it. It changes nothing and starts nothing."""

import os
import stat
import sys
from pathlib import Path
from time import monotonic

from aish import exits
from aish.client.home import socket_path, state_home
from aish.client.hub import NO_HUB, Hub
from aish.commands import wants_json
from aish.commands.budgets import PATH
from aish.commands.notify import PATH as NOTIFY
from aish.commands.notify import state
from aish.commands.system import NO_PROVIDER, model_line, provider_line, schedules_line, waiting_schedules
from aish.exits import Failure
from aish.output import print_json, print_line
from aish.turns.budgets import described
from rhetor.domain.provider_variables import provider_variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeAlias

    # a mark, the subject of the check, and the result
    Finding: TypeAlias = tuple[str, str, str]

_GOOD, _BAD, _NOTE = "✓", "✗", "–"
_STATES = {_GOOD: "ok", _BAD: "failed", _NOTE: "note"}
_ANSWERING_AGENTS = ("claude-code", "codex", "gemini")  # if one is logged in, its models answer
TIMEOUT = 1.9  # seconds for what the hub answers; it checks the programs at once, each within 1.2 seconds
CHECK_TIMEOUT = 10.0  # seconds for `rhetor doctor`, which has the same limit and must start on a busy machine
HUB_TIMEOUT = 0.9  # seconds for the status of the hub
_MIN_PYTHON = (3, 11)
_PRIVATE_FOLDER = 0o700
_HOW_TO_RENEW = "to renew it, run: rhetor cert create --replace"
_HOW_TO_ADD = (
    "set OPENAI_API_KEY, ANTHROPIC_API_KEY or OPENROUTER_API_KEY, or run aish setup, which finds local models"
    " and coding agents and stores keys"
)


def doctor(words: "list[str]") -> int:
    """Print one line per check. Return 1 if a check fails.

    Raises:
        Failure: the words are invalid.
    """
    as_json = wants_json(words, "doctor")
    findings = list(_findings())
    status = exits.FAILED if any(mark == _BAD for mark, _, _ in findings) else exits.DONE
    if as_json:
        print_json(
            [{"check": name, "state": _STATES[mark], "detail": result} for mark, name, result in findings]
        )
        return status
    from aish.render import cleaned
    from aish.screen.tables import stdout_columns, wrapped

    width = max(10, *(len(subject) for _, subject, _ in findings))
    lines = [f"{mark} {subject:<{width}} {cleaned(result)}" for mark, subject, result in findings]
    print_line(wrapped("\n".join(lines), stdout_columns(), width + 3))
    return status


def _findings() -> "Iterator[Finding]":
    home, deadline = state_home(), monotonic() + TIMEOUT
    yield _python()
    yield _sqlite()
    yield _home(Path(home))
    socket = Path(socket_path(home))
    yield (_GOOD if socket.exists() else _NOTE), "socket", str(socket)
    hub, agents = list(_hub(home)), list(_agents(home, deadline))
    yield from (*hub, *agents)
    if variables := ", ".join(provider_variables()):
        yield _GOOD, "variables", variables
    else:
        is_answered = _is_answered([*hub, *agents])
        yield _NOTE, "variables", "none set" if is_answered else f"none set; {_HOW_TO_ADD}"


def _is_answered(findings: "list[Finding]") -> bool:
    """Whether something else than the embedded model answers, or would answer if it did not fail."""
    provider = [result for _, subject, result in findings if subject == "provider"]
    if provider:
        return provider != [NO_PROVIDER]
    return any(mark == _GOOD and subject in _ANSWERING_AGENTS for mark, subject, _ in findings)


def _python() -> "Finding":
    shown = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _MIN_PYTHON:
        return _GOOD, "python", shown
    return _BAD, "python", f"{shown}; aish needs 3.11 or newer"


def _sqlite() -> "Finding":
    try:
        import sqlite3
    except ImportError:
        return _BAD, "sqlite", "this Python has no sqlite3 module; install a Python that has it"
    return _GOOD, "sqlite", sqlite3.sqlite_version


def _home(home: Path) -> "Finding":
    try:
        found = home.stat()
    except FileNotFoundError:
        return _NOTE, "home", f"{home} (the hub creates it when it first starts)"
    except OSError as error:
        return _BAD, "home", f"{home}: {error.strerror}"
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        return _BAD, "home", f"{home} belongs to uid {found.st_uid}; set RHETOR_HOME to a folder that you own"
    if mode != _PRIVATE_FOLDER:
        return _BAD, "home", f"{home} has mode {mode:04o}, so others can read it; run chmod 700"
    return _GOOD, "home", str(home)


def _hub(home: str) -> "Iterator[Finding]":
    hub = Hub(home, may_start=False)
    hub.deadline = monotonic() + HUB_TIMEOUT
    try:
        status = hub.ask("GET", "/api/v2/status")
    except Failure as failure:
        if failure.problem == NO_HUB:
            yield _NOTE, "hub", "not running; the first message starts it"
            if waiting := waiting_schedules(home):
                yield _NOTE, "schedules", f"{waiting} waiting; they run only while a hub is running"
        else:
            yield _BAD, "hub", f"{failure.line}; see {home}/hub.log"
        return
    yield _GOOD, "hub", f"version {status.get('version')}, pid {status.get('pid')}, {status.get('url')}"
    line = provider_line(status)
    yield (_NOTE if line.startswith("none") else _GOOD), "provider", line
    for found in status.get("models") or ():
        yield (_BAD if found.get("unknown") else _NOTE), "model", model_line(found)
    yield from _schedules(status.get("schedules") or {})
    yield from _certificate(status.get("certificate"))
    if servers := status.get("local_servers"):
        yield _GOOD, "local", ", ".join(map(str, servers))
    yield from _budgets(hub)
    yield from _notifications(hub)


def _schedules(found: "dict[str, Any]") -> "Iterator[Finding]":
    """Yield a finding for the schedules, if there are any."""
    if line := schedules_line(found):
        yield (_GOOD if found["starts_again"] or not found["active"] else _NOTE), "schedules", line


def _certificate(found: "dict[str, Any] | None") -> "Iterator[Finding]":
    """Yield a finding for the certificate of the hub, if it has TLS."""
    if not found:
        return
    state, day = found.get("state"), (found.get("expires") or "")[:10]
    if state == "valid":
        yield _GOOD, "certificate", f"valid until {day}"
    elif state == "expires_soon":
        yield _NOTE, "certificate", f"expires on {day}; {_HOW_TO_RENEW}"
    elif state == "expired":
        yield _BAD, "certificate", f"expired on {day}, so other machines cannot connect; {_HOW_TO_RENEW}"
    else:
        yield _BAD, "certificate", str(found.get("detail"))


def _listed(hub: Hub, path: str, name: str) -> "list[dict[str, Any]]":
    """Return what the hub lists, or nothing: it has just answered, so a hub that fails is stopping."""
    try:
        found: list[dict[str, Any]] = hub.ask("GET", path)[name]
    except Failure:
        return []
    return found


def _budgets(hub: Hub) -> "Iterator[Finding]":
    """Yield a finding for each limit, and for each budget that does not count all turns."""
    for budget in _listed(hub, PATH, "budgets"):
        for limit in budget["limits"]:
            mark = _NOTE if limit["share"] >= 1 else _GOOD  # it is no fault that a limit is reached
            yield mark, "budget", f"{budget['name']}: {described(limit, 'spent')}"
        if budget["note"]:
            yield _NOTE, "budget", f"{budget['name']}: {budget['note']}"


def _notifications(hub: Hub) -> "Iterator[Finding]":
    """Yield a finding for each recipient of notifications."""
    for recipient in _listed(hub, NOTIFY, "notify"):
        line = f"{recipient['name']}: {state(recipient)}"
        if not recipient["ok"]:
            hint = recipient["hint"] or f"try it with: aish notify test {recipient['name']}"
            yield _BAD, "notify", f"{line}; {hint}"
        else:
            yield _GOOD, "notify", line


def _agents(home: str, deadline: float) -> "Iterator[Finding]":
    """Yield a finding for each program under `tools:`, as the running hub, or a hub started here, sees it."""
    hub = Hub(home, may_start=False)
    hub.deadline = deadline
    try:
        tools = hub.ask("GET", "/api/v2/tools?check=true")["tools"]
    except Failure as failure:
        if failure.problem != NO_HUB:
            yield _BAD, "agents", failure.line
            return
        found, fault = _check_without_hub(home)
        tools = found.get("tools", ())
        yield from _certificate(found.get("certificate"))
        if providers := found.get("providers"):
            yield _GOOD, "provider", f"configured: {', '.join(providers)}"
        if fault:
            yield _BAD, "agents", fault
    for tool in tools:
        if not tool.get("installed") or tool.get("path"):  # not a wrapped program
            yield _agent(tool)


def _check_without_hub(home: str) -> "tuple[dict[str, Any], str]":
    """Return what `rhetor doctor` finds, and the error if it failed."""
    import json
    import subprocess

    command = [sys.executable, "-m", "rhetor", "doctor", "--json"]
    environment = {**os.environ, "RHETOR_HOME": home}
    try:
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CHECK_TIMEOUT)
    except subprocess.TimeoutExpired:
        return {}, f"the check timed out after {CHECK_TIMEOUT:g} s"
    if ran.returncode != 0:
        return {}, ran.stderr.strip().removeprefix(
            "rhetor: "
        ) or f"rhetor doctor exited with {ran.returncode}"
    return json.loads(ran.stdout), ""


def _agent(tool: "dict[str, Any]") -> "Finding":
    name, health, login = tool["name"], tool.get("health") or {}, tool.get("login") or {}
    if not tool.get("installed"):
        return _NOTE, name, f"not installed; {tool.get('how_to_install') or 'put it on the PATH'}"
    version = health.get("version") or (
        "" if health.get("ok") else f"does not answer: {health.get('detail')}"
    )
    known = f"logged in: {login.get('known')} ({login.get('how')})"
    good = health.get("ok") and login.get("known") != "no"
    facts = (version or "", str(tool.get("path")), known)
    return (_GOOD if good else _NOTE), name, "; ".join(fact for fact in facts if fact)


COMMANDS = {"doctor": doctor}
