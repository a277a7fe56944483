"""Teams that clients define while the hub runs. They are durable, and used like configured teams."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.command import ChangeTeam, DropTeam, MakeTeam
from rhetor.domain.principal import Principal
from rhetor.domain.socket import GROUP
from rhetor.errors import (
    NameTaken,
    StateConflict,
    TeamConfigured,
    UnknownPeer,
    UnknownTeam,
    Unprocessable,
)
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_name, require_person
from rhetor.hub.core.commits import command_key
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.sockets import end_sockets
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND, MADE = "team", "made"
EVERYONE = "all"
MOST_MEMBERS = 100
log = logging.getLogger(__name__)


async def load_teams(state: State) -> None:
    """Load the stored teams. A team whose name the configuration now uses is skipped and logged."""
    for row in await state.store.find(KIND, state=MADE, limit=100_000):
        mirror(state, row.id, row)


def mirror(state: State, name: str, row: Row | None) -> None:
    """Use a team as it is stored. None: it was deleted."""
    if row is None:
        if name in state.peers.teams and not state.peers.is_configured_team(name):
            state.peers.remove_team(name)
    elif _is_reserved(state, name):
        log.warning("team hidden by the configuration", extra={"team": name})
    else:
        state.peers.put_team(name, msgspec.json.decode(row.doc))


async def make(state: State, principal: Principal, command: MakeTeam) -> tuple[str, ...]:
    """Define a team, and return the full names of its members, each once.

    Raises:
        Malformed: the name is invalid.
        Unprocessable: the team has no members or too many, or a member is not a peer.
        NameTaken: a peer or a team has the name.
        KeyReused: the command id was used with another command.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    require_name(command.name, "team name")
    if _is_reserved(state, command.name):
        raise NameTaken("peer" if state.peers.has(command.name) else KIND, command.name)
    members = _members(state, principal, command.members)
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
    """Replace the members of a team, and return their full names, each once.

    Raises:
        UnknownTeam: there is no such team.
        TeamConfigured: the team is defined in the configuration.
        Unprocessable: the team would have no members or too many, or a member is not a peer.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    _require_made(state, command.name)
    members = _members(state, principal, command.members)
    row = _row(state, principal, command.name, members)
    await _commit(state, command.name, [row])
    state.peers.put_team(command.name, members)
    return members


async def drop(state: State, principal: Principal, command: DropTeam) -> None:
    """Delete the team, and close its sockets for all users.

    Raises:
        UnknownTeam: there is no such team.
        TeamConfigured: the team is defined in the configuration.
        Forbidden: the caller is a peer's program.
        StoreRefused: a commit was rejected; the team may be deleted already while its sockets are still open.
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
    except StateConflict:  # another command deleted the team meanwhile
        raise UnknownTeam(name) from None


def _row(state: State, principal: Principal, name: str, members: Sequence[str]) -> Row:
    doc = msgspec.json.encode(members)
    return Row(KIND, name, MADE, doc, owner=principal.subject, at=state.ids.now())


def _members(state: State, principal: Principal, names: Sequence[str]) -> tuple[str, ...]:
    """Return the full names of the members, each once."""
    if not 0 < len(names) <= MOST_MEMBERS:
        raise Unprocessable(f"a team must have 1 to {MOST_MEMBERS} members")
    found: list[str] = []
    unknown: list[str] = []
    for name in names:
        try:
            if ":" in name:
                raise UnknownPeer(name)
            found.append(peers_for(state, principal).get(name).name)
        except UnknownPeer:
            unknown.append(name)
    if unknown:
        raise Unprocessable(f"no peer is called {unknown[0]!r}", unknown=unknown)
    return tuple(dict.fromkeys(found))


def _is_reserved(state: State, name: str) -> bool:
    """Whether a peer or a configured team has the name."""
    return name == EVERYONE or state.peers.is_configured_team(name) or state.peers.has(name)


def _require_made(state: State, name: str) -> None:
    if name == EVERYONE or state.peers.is_configured_team(name):
        raise TeamConfigured(name)
    if name not in state.peers.teams:
        raise UnknownTeam(name)
