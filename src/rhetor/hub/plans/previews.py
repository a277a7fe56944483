"""What a line would do, with the places of its steps and of what is wrong, without running anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from msgspec import UNSET, Struct
from msgspec.structs import replace

from rhetor.domain.line_places import Placed, Problem, Reading, read
from rhetor.domain.nearest import did_you_mean
from rhetor.domain.plan import Plan, Step
from rhetor.domain.principal import Principal
from rhetor.domain.rules import RESERVED
from rhetor.domain.socket import TEAM
from rhetor.errors import (
    Forbidden,
    HopLimit,
    Malformed,
    NoCapablePeer,
    NotFound,
    RhetorError,
    TooLarge,
    UnknownPeer,
    UnknownTeam,
    Unprocessable,
    Unsupported,
)
from rhetor.hub.peers import Peers
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.turns.attribution import passed_through

from .lines import LONG
from .plans import check_step, expanded

if TYPE_CHECKING:
    from rhetor.hub.state import State

Kind = Literal["peer", "capability", "team", "shell"]
_REJECTED = (
    *(UnknownPeer, NoCapablePeer, NotFound, Forbidden, Unprocessable, Unsupported, Malformed, TooLarge),
)


class PreviewedStep(Struct, frozen=True):
    """A step of a line. `placed`: its place. `peer`: who would answer it now; None if nobody would, or a
    whole team. `members`: of the team that would."""

    placed: Placed
    kind: Kind
    peer: str | None
    members: tuple[str, ...] = ()


class Preview(Struct):
    """What a line would do. A line without problems can run."""

    steps: list[PreviewedStep]
    problems: list[Problem]


async def preview(state: State, principal: Principal, line: str, stdin: str) -> Preview:
    """Return what a line would do. `stdin`: the text that its first steps would receive.

    Raises:
        StoreRefused: the sessions that it names cannot be read now.
    """
    found: Reading = read(line) if len(line) <= LONG else await asyncio.to_thread(read, line)
    seen = peers_for(state, principal)
    steps = [_previewed(seen, placed) for placed in found.steps]
    problems = list(found.problems)
    for previewed in steps:
        problems += await _problems(state, principal, seen, previewed, stdin)
    if not problems and (problem := _of_all(state, principal, line, steps)):
        problems.append(problem)
    return Preview(steps, sorted(problems, key=lambda problem: problem.start))


def _previewed(peers: Peers, placed: Placed) -> PreviewedStep:
    name = placed.step.target if placed.step is not None else placed.name
    if name in RESERVED and not peers.has(name):
        return PreviewedStep(placed, "shell", None)
    kind: Kind = "capability" if name[:1] == "@" else "team" if name.startswith(TEAM) else "peer"
    try:
        if kind == "team":
            return PreviewedStep(placed, kind, None, tuple(peers.team(name.removeprefix(TEAM))))
        return PreviewedStep(placed, kind, peers.resolve(name)[0].name)
    except (UnknownPeer, NoCapablePeer):
        return PreviewedStep(placed, kind, None)


async def _problems(
    state: State, principal: Principal, peers: Peers, previewed: PreviewedStep, stdin: str
) -> list[Problem]:
    placed, step = previewed.placed, previewed.placed.step
    name = Problem(placed.name_start, len(placed.name), "")
    if previewed.kind == "shell":
        detail = f"{placed.name} is a command of the shell"
        return [Problem(name.start, name.length, detail, "run the line with aish -c, or send it to a peer")]
    if previewed.peer is None and not previewed.members:
        return [_unknown(peers, previewed, name)]
    if step is None:  # what is wrong is among the problems of the line
        return []
    # what needs the content of parts, or an answer of a provider, is checked when the line runs
    checked = replace(step, parts=UNSET, response_schema=UNSET)
    if step.parts and not step.template:
        checked = replace(checked, template="(parts)")
    try:
        for each in expanded(state, [checked]):
            await check_step(state, principal, each, stdin, ())
    except _REJECTED as error:
        return [Problem(placed.start, placed.length, error.detail, _hint(error))]
    return []


def _hint(error: RhetorError) -> str:
    return str(error.data.get("hint", ""))


def _unknown(peers: Peers, previewed: PreviewedStep, place: Problem) -> Problem:
    name = previewed.placed.name.strip("\"'")
    error: RhetorError
    known: Iterable[str]
    match previewed.kind:
        case "capability":
            error, known = NoCapablePeer(name[1:]), (f"@{each}" for each in peers.capabilities())
        case "team":
            error = UnknownTeam(name.removeprefix(TEAM))
            known = (f"{TEAM}{each}" for each in ("all", *peers.teams))
        case _:
            error, known = UnknownPeer(name), (peer.name for peer in peers)
    hint = did_you_mean(name, known) or "aish list shows the peers; programs run only in the shell"
    return Problem(place.start, place.length, error.detail, hint)


def _of_all(state: State, principal: Principal, line: str, steps: Iterable[PreviewedStep]) -> Problem | None:
    """Return what is wrong with the steps together."""
    whole: list[Step] = [each.placed.step for each in steps if each.placed.step is not None]
    try:
        Plan(expanded(state, whole)).check(state.limits.hops - len(passed_through(state, principal)))
    except (Unprocessable, HopLimit) as error:
        return Problem(0, len(line), error.detail, _hint(error))
    return None
