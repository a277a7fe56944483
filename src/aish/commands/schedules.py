"""`aish schedule`: lines that the hub runs at set times."""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, run_subcommand, show_list, take_value, usage_error, wants_json
from aish.exits import Failure
from aish.output import print_json, print_line, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rhetor.domain.grammar import Group, Stage

    Schedule = dict[str, Any]

_PATH = "/api/v2/schedules"
_HEADING = ("NAME", "NEXT", "LAST", "TIMES", "LINE")
_LINE_SHOWN = 30  # characters of a line in a list
_OPTIONS = {"--zone": "timezone", "--overlap": "overlap", "--session": "session"}
_ROUTE = "route"
_SCHEDULES = "hub:schedule"  # the peer of their sessions
_PROGRAMS = ("tool", "terminal")
_FEWEST = 3  # words after the options: the name, the times and the line
NOT_STARTED_AGAIN = "a shell started this hub, so nothing starts it again when the machine restarts"
_HOW_TO_KEEP = "to keep a hub running, run it as a service (docs/how-to/deploy.md)"


def schedule(words: "list[str]") -> int:
    """Add, list, show, run, pause, resume or remove schedules.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    actions = {
        "add": _add,
        "list": _list,
        "show": _show,
        "run": _run,
        "pause": _pause,
        "resume": _resume,
        "remove": _remove,
    }
    return run_subcommand("schedule", actions, action, rest)


def _add(words: "list[str]") -> int:
    body, (name, cron, *line) = _added(words)
    hub = Hub()
    body |= {"name": name, "cron": cron, "line": _line(line), "cwd": _folder()}
    try:
        made = hub.ask("POST", _PATH, body)
    except Failure as failure:
        raise _explained(hub, failure, str(body["line"])) from None
    code = print_line(f"✓ Added the schedule {name}: {_when(made)}, answers in the session {made['session']}")
    if not hub.ask("GET", "/api/v2/status")["schedules"]["starts_again"]:
        say(f"aish: {NOT_STARTED_AGAIN}\n{_HOW_TO_KEEP}")
    return code


def _added(words: "list[str]") -> "tuple[Schedule, list[str]]":
    """Split the words into the options and the others. Options stand before the line."""
    body: Schedule = {}
    plain: list[str] = []
    left = list(words)
    while left and len(plain) < _FEWEST - 1:
        word = left.pop(0)
        name, is_joined, value = word.partition("=")
        if name in _OPTIONS:
            body[_OPTIONS[name]] = value if is_joined else take_value(left, "schedule add")
        elif word[:1] == "-":
            raise usage_error("schedule add")
        else:
            plain.append(word)
    while left and left[0].partition("=")[0] in _OPTIONS:
        name, is_joined, value = left.pop(0).partition("=")
        body[_OPTIONS[name]] = value if is_joined else take_value(left, "schedule add")
    plain += left[1:] if left[:1] == ["--"] else left
    if len(plain) < _FEWEST or plain[2][:1] == "-":
        raise usage_error("schedule add")
    return body, plain


def _line(words: "list[str]") -> str:
    """Return the line: one word as it is, or several as the words of a line, which were quoted before. The
    values of variables take the place of their names now, because the hub does not have them.

    Raises:
        Failure: the line does not follow the grammar, or a variable is not set.
    """
    if len(words) == 1 and "$" not in words[0]:
        return words[0]
    from rhetor.domain.grammar import Broadcast, GrammarError, parse
    from rhetor.domain.grammar.text import quoted

    if len(words) > 1:
        return " ".join(word if _is_plain(word) else quoted(word) for word in words)
    try:
        parsed = parse(words[0], os.environ.get)
        if isinstance(parsed, Broadcast) or parsed.source or parsed.sink:
            return str(parsed)
        return " | ".join(map(_expanded, parsed.stages))
    except GrammarError as error:
        raise Failure(str(error), exits.USAGE) from None


def _is_plain(word: str) -> bool:
    return bool(word) and all(char.isalnum() or char in "-_.@:,=/+" for char in word)


def _expanded(stage: "Stage | Group") -> str:
    """Return the text of a stage with the values of its variables."""
    from rhetor.domain.grammar import Stage
    from rhetor.domain.grammar.text import quoted

    if not isinstance(stage, Stage):
        return str(stage)
    stage = stage.expanded(os.environ.get)
    if stage.word == _ROUTE:
        return " ".join((_ROUTE, *map(quoted, stage.arguments)))
    return str(stage.call())


def _folder() -> "str | None":
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return None


def _explained(hub: Hub, failure: Failure, line: str) -> Failure:
    """Return the failure to show. If a stage of the line is a program or an alias, that is the reason."""
    if failure.problem != "unknown_peer":
        return failure
    from shutil import which

    from rhetor.domain.grammar import Stage, parse

    parsed = parse(line)
    aliases = {each["name"] for each in hub.ask("GET", "/api/v2/aliases")["aliases"]}
    for stage in getattr(parsed, "stages", ()):
        word = stage.word if isinstance(stage, Stage) else ""
        what = "an alias" if word in aliases else "a program" if word and which(word) else ""
        if what and failure.message.endswith(f" {word}"):
            why = f"the line cannot be scheduled: {word} is {what}, and the hub runs only peers"
            hint = "cron and systemd timers can run the line as: aish -c LINE"
            return Failure(why, exits.USAGE, problem="cannot_schedule", hint=hint)
    return failure


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "schedule list")
    found = Hub().ask("GET", _PATH)["schedules"]
    return show_list(found, _HEADING, _row, "No schedules", as_json=as_json)


def _row(schedule: "Schedule") -> "tuple[str, ...]":
    line = " ".join(schedule["line"].split())
    return (
        schedule["name"],
        _next(schedule),
        _last(schedule),
        f"{schedule['cron']}  {schedule['timezone']}",
        line if len(line) <= _LINE_SHOWN else f"{line[: _LINE_SHOWN - 1]}…",
    )


def _show(words: "list[str]") -> int:
    as_json = words[-1:] != [] and words[-1] in JSON_WORDS
    found = Hub().ask("GET", _of(words[: len(words) - as_json], "show"))
    if as_json:
        return print_json(found)
    from aish.render import cleaned

    shown = {
        "line": found["line"],
        "times": f"{found['cron']}  ({found['timezone']})",
        "next": _next(found),
        "last": _last(found),
        "overlap": found["overlap"],
        "session": f"{found['session']} ({found['session_id']})",
        "folder": found["cwd"],
        "owner": found["owner"],
    }
    rows = [f"  {name:<8} {cleaned(str(value))}" for name, value in shown.items() if value]
    return print_line("\n".join([f"Schedule {found['name']}", *rows]))


def _run(words: "list[str]") -> int:
    from aish.turns.message import RAW_EVENTS, NoOptions, Turn

    as_json = words[-1:] != [] and words[-1] in JSON_WORDS
    path = _of(words[: len(words) - as_json], "run")

    class Options(NoOptions):
        json = as_json

    accept = RAW_EVENTS if as_json else "text/event-stream"
    hub = Hub()
    line = str(hub.ask("GET", path)["line"])
    return Turn(hub, words[0], Options, request=(f"{path}/run", accept, _writer(hub, line))).run("")


def _writer(hub: Hub, line: str) -> str:
    """Return a peer that writes as the last stage of the line does: Markdown, or what a program prints."""
    from rhetor.domain.grammar import Broadcast, Group, parse

    parsed = parse(line)
    if isinstance(parsed, Broadcast):
        targets = [str(target) for target in parsed.targets]
    else:
        last = parsed.stages[-1]
        targets = [str(each) for each in last.targets] if isinstance(last, Group) else [last.word]
    programs = {each["id"] for each in hub.ask("GET", "/api/v2/ai")["peers"] if each["kind"] in _PROGRAMS}
    return next((target for target in targets if target in programs), _SCHEDULES)


def _pause(words: "list[str]") -> int:
    Hub().ask("POST", f"{_of(words, 'pause')}/pause")
    return print_line(f"✓ Paused the schedule {words[0]}")


def _resume(words: "list[str]") -> int:
    made = Hub().ask("POST", f"{_of(words, 'resume')}/resume")
    return print_line(f"✓ Resumed the schedule {words[0]}: {_when(made)}")


def _remove(words: "list[str]") -> int:
    Hub().ask("DELETE", _of(words, "remove"))
    return print_line(f"✓ Removed the schedule {words[0]}")


def _of(words: "list[str]", action: str) -> str:
    if len(words) != 1 or words[0][:1] == "-":
        raise usage_error(f"schedule {action}")
    return f"{_PATH}/{quote(words[0])}"


def _when(schedule: "Schedule") -> str:
    return "paused" if schedule["state"] == "paused" else f"next run {_next(schedule)}"


def _next(schedule: "Schedule") -> str:
    return "paused" if schedule["next_at"] is None else zoned_time(schedule["next_at"])


def _last(schedule: "Schedule") -> str:
    """Return what became of the last run or, if it was later, of the last time that had none."""
    due, run = schedule["last_due"], schedule["last_run"]
    if due and due["skipped"] and not (run and run["at"] > due["due_at"]):
        return f"{_short_time(due['due_at'])} skipped: {due['skipped']}"
    return f"{_short_time(run['at'])} {run['status']}" if run else "-"


def _short_time(at: str) -> str:
    from aish.render import local_time

    return local_time(at, seconds=False)


def zoned_time(at: str) -> str:
    """Return an RFC 3339 time as local time with its zone: `2026-12-01 08:00 CET`."""
    from datetime import datetime

    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M %Z")


COMMANDS = {"schedule": schedule}
