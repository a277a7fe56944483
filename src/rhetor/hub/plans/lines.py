"""What a line means that the hub runs by itself, and which lines it cannot run."""

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
from rhetor.errors import CannotRunLine, Unprocessable
from rhetor.hub.core.checks import check_content

from . import routes

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
Meaning = Stage | tuple[Step, ...]


async def meaning_of(line: str, *, message: bool = False) -> Meaning:
    """Return the steps of the line, or the stage if it sends a message along a route. `message`: a message
    comes with the line, so a route needs none.

    Raises:
        CannotRunLine: the hub cannot run the line by itself.
        Unprocessable: the line does not follow the grammar.
        Malformed, TooLarge: the line is empty, not valid Unicode, or too large.
    """
    check_content(line, MOST_BYTES, "the line")
    if len(line) <= LONG:
        return read(line, message=message)
    return await asyncio.to_thread(read, line, message=message)


def plan_of(
    state: State, principal: Principal, meaning: Meaning, sender: str, cwd: str | None, message: str = ""
) -> StartPlan:
    """Return the plan that runs a line, with the message as the input of its first steps.

    Raises:
        NotFound: the line names a route that the caller does not have.
        Malformed, TooLarge: a message along a route is empty, not valid Unicode, or too large.
    """
    if isinstance(meaning, Stage):
        name, *words = meaning.arguments
        content = "\n\n".join(filter(None, (" ".join(words), message)))
        return routes.plan_of(state, principal, SendRoute(name, content, from_=sender, cwd=cwd))
    return StartPlan(meaning, message, from_=sender, cwd=cwd)


def read(line: str, *, message: bool = False) -> Meaning:
    """Do the same as `meaning_of`, for a line that is not too large.

    Raises:
        CannotRunLine, Unprocessable: as `meaning_of`.
    """
    try:
        parsed = _parsed(line)
        if isinstance(parsed, Broadcast):
            _check_options(parsed.options)
        elif route := _route(parsed, 1 if message else 2):
            return route
        else:
            _check_pipeline(parsed)
    except GrammarError as error:
        raise Unprocessable(str(error), column=error.column) from error
    return tuple(_to_everybody(step) for step in steps_of_line(line))


def _parsed(line: str) -> Pipeline | Broadcast:
    if len(split_list(line)) > 1:
        raise CannotRunLine("it is more than one line")
    return parse(line)


def _route(line: Pipeline, least: int) -> Stage | None:
    """Return the stage that sends a message along a route; None if no stage does. `least`: how many arguments
    it needs."""
    found = [stage for stage in line.stages if isinstance(stage, Stage) and stage.word == ROUTE]
    if not found:
        return None
    if len(line.stages) > 1 or line.source is not None or line.sink is not None:
        raise CannotRunLine("a route must be the whole line")
    stage = found[0]
    stage.reject_separators()
    if len(stage.arguments) < least or stage.arguments[0] in routes.VERBS:
        raise CannotRunLine(f"write a route as {ROUTE_FORM}")
    if any(word[:1] == "-" for word in stage.arguments):
        raise CannotRunLine(f"a route takes no options; write it as {ROUTE_FORM}")
    return stage


def _check_pipeline(line: Pipeline) -> None:
    if line.source is not None or line.sink is not None:
        raise CannotRunLine("`<` and `>` work only in the shell")
    for stage in line.stages:
        if isinstance(stage, Stage):
            if stage.word in RESERVED - {TEAM_CHAT}:
                raise CannotRunLine(f"{stage.word} is a command of the shell")
            _check_options(stage.call().options)


def _check_options(options: Options) -> None:
    for name, option in _OF_THE_SHELL.items():
        if getattr(options, name):
            raise CannotRunLine(f"{option} works only in the shell")


def _to_everybody(step: Step) -> Step:
    return replace(step, target=EVERYBODY) if step.target == TEAM_CHAT else step
