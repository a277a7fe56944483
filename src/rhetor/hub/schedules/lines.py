"""What a schedule's line means: the plan that runs it, and what cannot be scheduled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.command import StartPlan
from rhetor.domain.grammar import Broadcast, GrammarError, Options, Pipeline, Stage, parse
from rhetor.domain.grammar.lists import split_list
from rhetor.domain.lines import steps_of_line
from rhetor.domain.plan import Step
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import SendRoute
from rhetor.domain.rules import RESERVED
from rhetor.domain.schedule import Schedule
from rhetor.errors import CannotSchedule, Unprocessable
from rhetor.hub.core.checks import check_content
from rhetor.hub.plans import routes

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_BYTES = 65536
LONG = 2000  # characters, which are parsed in about 10 ms
TEAM_CHAT, ROUTE = "team-chat", "route"
EVERYBODY = "team:all"
_OF_THE_SHELL = {  # options of a call, which show or read something
    "files": "-f",
    "continues": "-C",
    "timeout": "--timeout",
    "json": "--json",
    "raw": "--raw",
    "quiet": "--quiet",
    "usage": "--usage",
    "no_stream": "--no-stream",
}
ROUTE_FORM = 'route NAME "message"'


async def plan_of(state: State, principal: Principal, schedule: Schedule, line: str) -> StartPlan:
    """Return the plan that runs the line.

    Raises:
        CannotSchedule: the hub cannot run the line by itself.
        Unprocessable: the line does not follow the grammar.
        Malformed, TooLarge: the line is empty, not valid Unicode, or too large.
        NotFound: the line names a route that the caller does not have.
    """
    meaning = await _meaning(line)
    sender, cwd = schedule.label, schedule.cwd
    if isinstance(meaning, Stage):
        name, *words = meaning.arguments
        return routes.plan_of(state, principal, SendRoute(name, " ".join(words), from_=sender, cwd=cwd))
    return StartPlan(meaning, from_=sender, cwd=cwd)


async def models_of(line: str) -> set[str]:
    """Return the models that the steps of the line name.

    Raises:
        CannotSchedule, Unprocessable, Malformed, TooLarge: as `plan_of`.
    """
    meaning = await _meaning(line)
    return set() if isinstance(meaning, Stage) else {step.model for step in meaning if step.model}


async def _meaning(line: str) -> Stage | tuple[Step, ...]:
    """Return the steps of the line, or the stage if it sends a message along a route."""
    check_content(line, MOST_BYTES, "the line")
    return read(line) if len(line) <= LONG else await asyncio.to_thread(read, line)


def read(line: str) -> Stage | tuple[Step, ...]:
    """Do the same as `plan_of`, without what depends on the caller.

    Raises:
        CannotSchedule, Unprocessable: as `plan_of`.
    """
    try:
        parsed = _parsed(line)
        if isinstance(parsed, Broadcast):
            _check_options(parsed.options)
        elif route := _route(parsed):
            return route
        else:
            _check_pipeline(parsed)
    except GrammarError as error:
        raise Unprocessable(str(error), column=error.column) from error
    return tuple(_to_everybody(step) for step in steps_of_line(line))


def _parsed(line: str) -> Pipeline | Broadcast:
    if len(split_list(line)) > 1:
        raise CannotSchedule("it is more than one line; add a schedule for each")
    return parse(line)


def _route(line: Pipeline) -> Stage | None:
    """Return the stage that sends a message along a route; None if no stage does."""
    found = [stage for stage in line.stages if isinstance(stage, Stage) and stage.word == ROUTE]
    if not found:
        return None
    if len(line.stages) > 1 or line.source is not None or line.sink is not None:
        raise CannotSchedule("a route must be the whole line")
    stage = found[0]
    stage.reject_separators()
    if len(stage.arguments) < len(("NAME", "message")) or stage.arguments[0] in routes.VERBS:
        raise CannotSchedule(f"write a route as {ROUTE_FORM}")
    if any(word[:1] == "-" for word in stage.arguments):
        raise CannotSchedule(f"a route takes no options; write it as {ROUTE_FORM}")
    return stage


def _check_pipeline(line: Pipeline) -> None:
    if line.source is not None or line.sink is not None:
        raise CannotSchedule("`<` and `>` work only in the shell")
    for stage in line.stages:
        if isinstance(stage, Stage):
            if stage.word in RESERVED - {TEAM_CHAT}:
                raise CannotSchedule(f"{stage.word} is a command of the shell")
            _check_options(stage.call().options)


def _check_options(options: Options) -> None:
    for name, option in _OF_THE_SHELL.items():
        if getattr(options, name):
            raise CannotSchedule(f"{option} works only in the shell")


def _to_everybody(step: Step) -> Step:
    return replace(step, target=EVERYBODY) if step.target == TEAM_CHAT else step
