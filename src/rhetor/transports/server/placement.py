"""Which node has what a request is about, if it is in the memory or on the disk of one node: the members `at`
of routes. Each function returns the name of a node: the own one if no node has it, or if the caller may not
know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from rhetor.domain.machine import MACHINE
from rhetor.domain.principal import Principal
from rhetor.errors import RhetorError
from rhetor.hub.core.nodes import Nodes
from rhetor.hub.programs.ownership import is_own, own_instances, peers_for
from rhetor.hub.sessions.checkpoints import owned_checkpoint
from rhetor.hub.sessions.states import readable_session
from rhetor.hub.state import State

Scope = MutableMapping[str, Any]
At = Callable[[State, Scope, Mapping[str, str]], Awaitable[str]]


def of_peer(name: str) -> At:
    """Return the function for a path with a peer under this name: the node of its program. If the caller has
    programs of the peer at several nodes, that of this node precedes."""

    async def at(state: State, scope: Scope, names: Mapping[str, str]) -> str:
        with suppress(RhetorError):
            return _of_program(state, _caller(scope), peers_for(state, _caller(scope)).get(names[name]).name)
        return state.nodes.own

    return at


def _of_program(state: State, who: Principal, peer: str) -> str:
    node = state.nodes.of_peer(peer)
    if node != state.nodes.own or own_instances(state, who, peer):
        return node
    for name, board in state.elsewhere.boards.items():
        if any(each.peer == peer and is_own(state, who, each.owner) for each in board.programs):
            return name
    return node


def of_session(name: str) -> At:
    """Return the function for a path with a session under this name: its owner. If that was lost, the command
    of the request waits for the next one."""

    async def at(state: State, scope: Scope, names: Mapping[str, str]) -> str:
        with suppress(RhetorError):
            session = await readable_session(state, _caller(scope), names[name])
            owner = await state.nodes.owner(session.id)
            return owner if owner in state.nodes.live else state.nodes.own
        return state.nodes.own

    return at


def of_checkpoint(name: str) -> At:
    """Return the function for a path with a checkpoint under this name: the owner of its session."""

    async def at(state: State, scope: Scope, names: Mapping[str, str]) -> str:
        with suppress(RhetorError):
            found = await owned_checkpoint(state, _caller(scope), names[name])
            return await state.nodes.owner(found.session_id)
        return state.nodes.own

    return at


async def of_machine(state: State, scope: Scope, names: Mapping[str, str]) -> str:
    """Return the node that has the link of the machine that sends the request, also while the machine was
    away: with it, what was said meanwhile arrives once and in order. If that node was lost, the lead."""
    name, nodes = _caller(scope).subject, state.nodes
    machine = state.machines.find(name)
    if machine is not None and machine.node in nodes.live:
        return machine.node
    if machine is not None and machine.node not in ("", nodes.own):
        return nodes.lead or nodes.own  # it takes over the lost node, and with it the machine's programs
    return nodes.of_peer(MACHINE + name)


def of_query(parameter: str) -> At:
    """Return the function for requests with an id from `tagged` in this parameter of their query."""

    async def at(state: State, scope: Scope, names: Mapping[str, str]) -> str:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return of_tagged(state.nodes, query.get(parameter, [""])[0])

    return at


def of_header(header: bytes) -> At:
    """Return the function for requests with an id from `tagged` in this header, whose name is in lower
    case."""

    async def at(state: State, scope: Scope, names: Mapping[str, str]) -> str:
        found = next((value for name, value in scope["headers"] if name == header), b"")
        return of_tagged(state.nodes, found.decode("latin-1").strip(" \t"))

    return at


def tagged(nodes: Nodes, id: str) -> str:
    """Return the id of something in this node's memory, as other nodes recognize it."""
    return f"{id}-{_tag(nodes.own)}" if nodes.own else id


def untagged(nodes: Nodes, id: str) -> str:
    """Return the id of something in this node's memory as `tagged` got it."""
    return id.removesuffix(f"-{_tag(nodes.own)}") if nodes.own else id


def of_tagged(nodes: Nodes, id: str) -> str:
    """Return the node that has tagged an id; the own one if no live node has."""
    tag = id.rpartition("-")[2]
    return next((name for name in nodes.live if _tag(name) == tag), nodes.own)


def _tag(node: str) -> str:
    """Return the end of a node's name, which belongs to its state folder alone."""
    return node.rpartition("-")[2]


def _caller(scope: Scope) -> Principal:
    principal: Principal = scope["state"]["principal"]
    return principal
