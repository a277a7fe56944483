"""Aliases of the shell: `/api/v2/aliases`."""

from __future__ import annotations

from typing import Any

from rhetor.dialects import resources
from rhetor.domain.rule_commands import RemoveAlias
from rhetor.hub.forwarding import aliases
from rhetor.transports.server.call import Call

from .bodies import AliasBody
from .bodies.common import NewName


async def list_aliases(call: Call) -> dict[str, Any]:
    """List the caller's aliases."""
    found = await aliases.aliases_of(call.hub.state, call.who)
    return {"aliases": [resources.alias(each) for each in found]}


async def one_alias(call: Call, name: str) -> dict[str, Any]:
    return resources.alias(await aliases.alias_of(call.hub.state, call.who, name))


async def put_alias(call: Call, name: NewName, body: AliasBody) -> dict[str, Any]:
    """Create or replace an alias, a name for a line of the shell."""
    return resources.alias(await call.execute(body.command_for(name)))


async def remove_alias(call: Call, name: str) -> dict[str, Any]:
    return resources.alias(await call.execute(RemoveAlias(name)))
