"""The API keys of model providers: `/api/v2/keys`. No response has a key."""

from __future__ import annotations

from typing import Any

from rhetor.transports.server.call import Call

from .bodies import KeyBody


async def list_keys(call: Call) -> dict[str, Any]:
    """List the providers, and where the key of each is."""
    call.node.check_environment(call)
    return {"keys": await call.node.api_keys.listed()}


async def put_key(call: Call, name: str, body: KeyBody) -> dict[str, Any]:
    """Store the key of a provider, in the system's keyring if there is one, otherwise sealed in a file. The
    next call uses it."""
    call.node.check_environment(call)
    return await call.node.api_keys.put(name, body.key)


async def remove_key(call: Call, name: str) -> dict[str, Any]:
    """Remove the stored key of a provider."""
    await call.node.api_keys.remove(name)
    return {"name": name, "status": "removed"}
