"""Aliases of the shell, kept for their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.alias import Alias, called
from rhetor.domain.grammar import GrammarError
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import PutAlias, RemoveAlias
from rhetor.domain.rules import RESERVED
from rhetor.errors import NameTaken, NotFound, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import ALIAS, place_id
from rhetor.hub.core.checks import PURPOSE_BYTES, check_content, require_name, require_person
from rhetor.hub.programs.ownership import peers_for
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_ALIASES = 500


async def put(state: State, principal: Principal, command: PutAlias) -> Alias:
    """Create or replace an alias.

    Raises:
        Malformed: the name is invalid, or the line is empty or not valid Unicode.
        TooLarge: the line or the description has more than `PURPOSE_BYTES` bytes.
        NameTaken: a command of the shell or a peer has the name.
        Unprocessable: the syntax of the line is invalid, or an alias would call an alias; or the caller has
            `MOST_ALIASES` others.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    require_name(command.name, "alias name")
    check_content(command.command, PURPOSE_BYTES, "the line of an alias")
    if command.description:
        check_content(command.description, PURPOSE_BYTES, "the description")
    if command.name.lower() in RESERVED or peers_for(state, principal).has(command.name):
        raise NameTaken("command" if command.name.lower() in RESERVED else "peer", command.name)
    try:
        calls = await asyncio.to_thread(called, command.command)
    except GrammarError as error:
        raise Unprocessable(f"invalid line: {error}") from error
    words = command.command, command.description
    alias = Alias(principal.subject, command.name, *words, state.ids.now(), calls)
    _check(alias, await aliases_of(state, principal))
    await state.store.commit(HUB_STREAM, [], rows=[_row(alias)])
    return alias


async def remove(state: State, principal: Principal, command: RemoveAlias) -> Alias:
    """Remove an alias.

    Raises:
        NotFound: the caller has no such alias.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    alias = await alias_of(state, principal, command.name)
    await state.store.commit(HUB_STREAM, [], drop=[(ALIAS, place_id(alias.owner, alias.name))])
    return alias


async def alias_of(state: State, principal: Principal, name: str) -> Alias:
    """Return the caller's alias of this name.

    Raises:
        NotFound: there is none.
    """
    row = await state.store.get(ALIAS, place_id(principal.subject, name))
    if row is None:
        raise NotFound(ALIAS, name)
    return msgspec.json.decode(row.doc, type=Alias)


async def aliases_of(state: State, principal: Principal) -> Sequence[Alias]:
    """Return the caller's aliases by name."""
    rows = await state.store.find(ALIAS, owner=principal.subject, limit=100_000)
    return sorted((msgspec.json.decode(row.doc, type=Alias) for row in rows), key=lambda alias: alias.name)


def _check(alias: Alias, others: Sequence[Alias]) -> None:
    """Check that neither the line of an alias nor that of another one would call an alias.

    Raises:
        Unprocessable: one of them would, or there are too many.
    """
    names = {alias.name, *(other.name for other in others)}
    if len(names) > MOST_ALIASES:
        raise Unprocessable(f"there are {MOST_ALIASES} aliases already; remove some first")
    if found := names.intersection(alias.calls):
        raise Unprocessable(f"an alias cannot call an alias: {alias.name} calls {min(found)}")
    if caller := next((o for o in others if alias.name in o.calls and o.name != alias.name), None):
        raise Unprocessable(f"an alias cannot call an alias: {caller.name} calls {alias.name}")


def _row(alias: Alias) -> Row:
    id = place_id(alias.owner, alias.name)
    return Row(ALIAS, id, "kept", msgspec.json.encode(alias), owner=alias.owner, at=alias.at)
