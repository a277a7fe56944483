"""Routes: named chains of peers, each of which receives the answer of the one before it.

A message to a route runs as a plan.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.command import StartPlan
from rhetor.domain.plan import Plan, Step
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import PutRoute, RemoveRoute, SendRoute
from rhetor.domain.rules import Route, flattened
from rhetor.errors import NameTaken, NotFound, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import row_id, row_of
from rhetor.hub.core.checks import PURPOSE_BYTES, check_content, require_person
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.turns.context import purpose_context

from .plans import Planned, expanded, start

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "route"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
VERBS = frozenset({"list", "name", "remove", "show"})  # subcommands of the shell's `route`
_VERBS = ", ".join(sorted(VERBS))


async def put(state: State, principal: Principal, command: PutRoute) -> Route:
    """Store a route. It replaces the caller's route with the same name, unless `new` is set.

    Raises:
        UnknownPeer, NoCapablePeer, UnknownTeam: the target of a hop does not exist.
        NotFound: a hop is a route that the caller does not have.
        Unprocessable: the name is invalid, the route contains itself, or it has too many hops.
        HopLimit: a message would pass through more peers than allowed.
        Malformed, TooLarge: a purpose is empty, not valid Unicode, or too large.
        NameTaken: `new` is set, and the caller has a route with this name.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    if not NAME.fullmatch(command.name) or command.name in VERBS:
        rule = "it must have 1 to 100 letters, digits, `_`, `.` or `-`"
        raise Unprocessable(f"invalid route name {command.name[:100]!r}: {rule}, and not be one of {_VERBS}")
    route = Route(principal.subject, command.name, command.hops, state.ids.now())
    if command.new and (route.owner, route.name) in state.routing_table.routes:
        raise NameTaken(KIND, command.name)
    _check(state, principal, route)
    row = row_of(route)
    expects = [row.unchanged] if command.new else []
    await state.store.commit(HUB_STREAM, [], expects=expects, rows=[row])
    state.routing_table.routes[principal.subject, route.name] = route
    return route


async def remove(state: State, principal: Principal, command: RemoveRoute) -> Route:
    """Delete the caller's route. Plans that were started from it continue.

    Raises:
        NotFound: the caller has no such route.
        Forbidden: the caller is a peer's program.
        StoreRefused: nothing was changed; the command may be sent again.
    """
    require_person(principal)
    route = route_of(state, principal, command.name)
    await state.store.commit(HUB_STREAM, [], drop=[(KIND, row_id(route))])
    state.routing_table.routes.pop((route.owner, route.name), None)
    return route


async def send(state: State, principal: Principal, command: SendRoute) -> Planned:
    """Start the plan that sends a message along the route.

    Raises:
        NotFound: the caller has no such route, or no longer has a route that is one of its hops.
        UnknownPeer, NoCapablePeer, UnknownTeam: the target of a hop no longer exists.
        Unprocessable, HopLimit: the route now contains itself, or has too many hops or peers.
        Malformed, TooLarge: the message is empty, not valid Unicode, or too large.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was started; the command may be sent again.
    """
    return await start(state, principal, plan_of(state, principal, command))


def plan_of(state: State, principal: Principal, command: SendRoute) -> StartPlan:
    """Return the plan that sends a message along the route.

    Raises:
        NotFound, Unprocessable, Malformed, TooLarge: as `send`.
    """
    route = route_of(state, principal, command.name)
    check_content(command.content, state.limits.message_bytes)
    steps = _steps(state, principal, route)
    return StartPlan(steps, command.content, None, command.command_id, command.from_, command.cwd)


def route_of(state: State, principal: Principal, name: str) -> Route:
    """Return the caller's route of this name.

    Raises:
        NotFound: the caller has no such route.
    """
    route = state.routing_table.routes.get((principal.subject, name))
    if route is None:
        raise NotFound(KIND, name)
    return route


def routes_of(state: State, principal: Principal) -> Sequence[Route]:
    return sorted(state.routing_table.routes_of(principal.subject).values(), key=lambda route: route.name)


def _steps(state: State, principal: Principal, route: Route) -> tuple[Step, ...]:
    hops = flattened(route, state.routing_table.routes_of(principal.subject))
    steps: list[Step] = []
    for number, hop in enumerate(hops, 1):
        needs = (steps[-1].id,) if steps else ()
        context = (purpose_context(hop.purpose, f"route {route.name}", route.at),) if hop.purpose else ()
        steps.append(Step(f"h{number}", hop.target, "", needs, context=context))
    return tuple(steps)


def _check(state: State, principal: Principal, route: Route) -> None:
    for hop in route.hops:
        if hop.purpose:
            check_content(hop.purpose, PURPOSE_BYTES, "a purpose")
    steps = expanded(state, _steps(state, principal, route))
    Plan(steps).check(state.limits.hops)
    for step in steps:
        peers_for(state, principal).resolve(step.target)
