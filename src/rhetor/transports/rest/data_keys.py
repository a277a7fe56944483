"""The keys with which the hub seals what it stores: `/api/v2/data-keys`."""

from __future__ import annotations

from typing import Any

from rhetor.transports.server.call import Call


async def listed(call: Call) -> dict[str, Any]:
    """Return the ids and dates of the keys; never a key."""
    return await call.node.data_keys.described()


async def rotate(call: Call) -> dict[str, str]:
    """Seal new content with a new key at once, and the rest in the background."""
    return {"id": await call.node.data_keys.rotate()}
