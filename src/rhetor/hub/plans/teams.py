"""Teams that are made while the hub runs: the same as those of the configuration, and durable."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.command import ChangeTeam, DropTeam, MakeTeam, Principal
from rhetor.domain.socket import GROUP
from rhetor.errors import (
    Malformed,
    NameTaken,
    StateConflict,
    TeamConfigured,
    UnknownPeer,
    UnknownTeam,
    Unprocessable,
)
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_person
from rhetor.hub.core.commits import command_key
from rhetor.hub.sessions.sockets import end_sockets
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND, MADE = "team", "made"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
EVERYONE = "all"
MOST_MEMBERS = 100
log = logging.getLogger(__name__)


async def load_teams(state: State) -> None:
    """Make those known that an earlier hub was told of; one that is configured by now is as configured."""
    for row in await state.store.find(KIND, state=MADE, limit=100_000):
        if _is_reserved(state, row.id):
            log.warning("a team gave way to the configuration", extra={"team": row.id})
        else:
            state.peers.put_team(row.id, msgspec.json.decode(row.doc))


async def make(state: State, principal: Principal, command: MakeTeam) -> tuple[str, ...]:
    """The team's members.

    Raises:
        Malformed, Unprocessable: that is no name; there are no members, or one is no peer.
        NameTaken: a peer or a team has the name.
        Forbidden: a peer's program asks.
    """
    state.require_open()
    require_person(principal)
    if not NAME.fullmatch(command.name):
        raise Malformed("a team's name is a letter, then up to 63 letters, digits, `_`, `.` or `-`")
    if _is_reserved(state, command.name):
        raise NameTaken("peer" if _is_peer(state, command.name) else KIND, command.name)
    members = _members(state, command.members)
    key = command_key(principal, command, members)
    try:
        row = _row(state, principal, command.name, members)
        committed = await state.store.commit(HUB_STREAM, [], key=key, expects=[row.unchanged], rows=[row])
    except StateConflict:
        raise NameTaken(KIND, command.name) from None
    if committed.replayed:
        return tuple(msgspec.json.decode(committed.result))
    state.peers.put_team(command.name, members)
    return members


async def change(state: State, principal: Principal, command: ChangeTeam) -> tuple[str, ...]:
    """Raises:
    UnknownTeam, TeamConfigured, Unprocessable, Forbidden: as they say."""
    state.require_open()
    require_person(principal)
    _require_made(state, command.name)
    members = _members(state, command.members)
    row = _row(state, principal, command.name, members)
    await _commit(state, command.name, [row])
    state.peers.put_team(command.name, members)
    return members


async def drop(state: State, principal: Principal, command: DropTeam) -> None:
    """Forget the team, and end the sockets of all who wrote to it.

    Raises:
        UnknownTeam, TeamConfigured, Forbidden: as they say.
    """
    require_person(principal)
    _require_made(state, command.name)
    await _commit(state, command.name, [])
    state.peers.remove_team(command.name)
    await end_sockets(state, GROUP + command.name)


async def _commit(state: State, name: str, rows: Sequence[Row]) -> None:
    expect = Expect(KIND, name, frozenset({MADE}))
    drop = [] if rows else [(KIND, name)]
    try:
        await state.store.commit(HUB_STREAM, [], expects=[expect], rows=rows, drop=drop)
    except StateConflict:  # somebody dropped it at this moment
        raise UnknownTeam(name) from None


def _row(state: State, principal: Principal, name: str, members: Sequence[str]) -> Row:
    doc = msgspec.json.encode(members)
    return Row(KIND, name, MADE, doc, owner=principal.subject, at=state.ids.now())


def _members(state: State, names: Sequence[str]) -> tuple[str, ...]:
    """The members by the names that they are known by, each once."""
    if not 0 < len(names) <= MOST_MEMBERS:
        raise Unprocessable(f"a team has from 1 to {MOST_MEMBERS} members")
    found: list[str] = []
    unknown: list[str] = []
    for name in names:
        try:
            if ":" in name:
                raise UnknownPeer(name)
            found.append(state.peers.get(name).name)
        except UnknownPeer:
            unknown.append(name)
    if unknown:
        raise Unprocessable(f"no peer is called {unknown[0]!r}", unknown=unknown)
    return tuple(dict.fromkeys(found))


def _is_reserved(state: State, name: str) -> bool:
    """Whether the name is a peer's, or one of the configuration's."""
    return name == EVERYONE or state.peers.is_configured_team(name) or _is_peer(state, name)


def _is_peer(state: State, name: str) -> bool:
    try:
        state.peers.get(name)
    except UnknownPeer:
        return False
    return True


def _require_made(state: State, name: str) -> None:
    if name == EVERYONE or state.peers.is_configured_team(name):
        raise TeamConfigured(name)
    if name not in state.peers.teams:
        raise UnknownTeam(name)
