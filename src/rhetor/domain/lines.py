"""Lines of the shell's grammar: a line becomes the steps of a plan."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from rhetor.errors import Unprocessable

from .grammar import Broadcast, Call, GrammarError, Group, Pipeline, Stage, parse
from .parts import GivenPart
from .plan import Step

LINE_PEER = "hub:line"  # cannot collide: the name of a peer has no colon
LINE_DRIVER = "line"
LINE = "line"  # key in the metadata of a session that runs a line with each message
_OF_LINES = re.compile(r"[\s|{},<>]")


def is_line(target: str) -> bool:
    """Return whether a recipient is a line of the grammar, and no name or capability."""
    return _OF_LINES.search(target) is not None


def steps_of_line(line: str) -> tuple[Step, ...]:
    """Return the steps of the plan that the line describes.

    Raises:
        Unprocessable: the line does not follow the grammar (`data["column"]` is the place of the error), or
            it redirects from or to a file, which only the shell can do.
    """
    try:
        parsed = parse(line)
        return _broadcast(parsed) if isinstance(parsed, Broadcast) else _pipeline(parsed)
    except GrammarError as error:
        raise Unprocessable(str(error), column=error.column) from error


def _broadcast(line: Broadcast) -> tuple[Step, ...]:
    return tuple(
        step_of(f"s{n}", Call(target, line.text, line.options)) for n, target in enumerate(line.targets, 1)
    )


def _pipeline(line: Pipeline) -> tuple[Step, ...]:
    if line.source is not None or line.sink is not None:
        raise Unprocessable("`<` and `>` work only in the shell: the hub does not open files")
    steps: list[Step] = []
    needs: tuple[str, ...] = ()
    for number, stage in enumerate(line.stages, 1):
        made = _stage(f"s{number}", stage, needs)
        steps += made
        needs = tuple(step.id for step in made)
    return tuple(steps)


def _stage(id: str, stage: Stage | Group, needs: tuple[str, ...]) -> list[Step]:
    if isinstance(stage, Group):
        calls = [Call(target) for target in stage.targets]
        return [step_of(f"{id}.{n}", call, needs) for n, call in enumerate(calls, 1)]
    return [step_of(id, stage.call(), needs)]


def step_of(id: str, call: Call, needs: tuple[str, ...] = ()) -> Step:
    """Return the step that a call of a line becomes.

    Raises:
        Unprocessable: it has an option that works only in the shell, or whose value is invalid.
    """
    options = call.options
    if options.files or options.continues:
        option = "-f" if options.files else "-C"
        raise Unprocessable(f"{option} works only in the shell: the hub opens no files and no conversations")
    return Step(
        id,
        str(call.target),
        call.text,
        needs,
        options.session_id,
        options.context_window,
        options.execute,
        options.delimiter,
        options.if_busy,
        model=options.model or UNSET,
        system=options.system or UNSET,
        parts=tuple(map(_part, options.attachments)) or UNSET,
        response_schema=_schema(options.schema),
        if_offline="queue" if options.if_offline == "queue" else UNSET,
    )


def _part(place: str) -> GivenPart:
    if not place.startswith(("http://", "https://")):
        raise Unprocessable("-a takes only URLs here: the hub opens no files; send them as `parts`")
    return GivenPart("file", url=place)


def _schema(text: str | None) -> dict[str, Any] | UnsetType:
    if text is None:
        return UNSET
    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unprocessable(
            f"--schema takes only JSON here, because the hub opens no files: {error}"
        ) from error
    return found
