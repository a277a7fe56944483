"""The permission requests of an ACP agent: their options, answers and ids.

Clients see our own id of a request, which is unique in its session and can be part of a URL: the number of
the prompt, and the agent's id in URL-safe characters. A later hub can decode it too.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from rhetor.domain.event import PermissionOption
from rhetor.drivers.agents.records import rows, text

MAX_ID = 200  # characters of an agent's id


def options(params: dict[str, Any]) -> tuple[PermissionOption, ...]:
    """Return the options of a request, with the agent's own names."""
    offered = ((text(o, "optionId"), text(o, "name"), text(o, "kind")) for o in rows(params, "options"))
    return tuple(PermissionOption(id, name or id, kind) for id, name, kind in offered if id)


def outcome(option_id: str | None) -> dict[str, Any]:
    """Return the answer to a request. None: the request was cancelled."""
    chosen = {"outcome": "selected", "optionId": option_id}
    return {"outcome": {"outcome": "cancelled"} if option_id is None else chosen}


def request_id(prompt: int, id: Any) -> str | None:
    """Return our id for the agent's request `id` in that prompt, or None if `id` is invalid or too long."""
    if isinstance(id, str) and len(id) <= MAX_ID:
        return f"{prompt}-s{base64.urlsafe_b64encode(id.encode()).decode().rstrip('=')}"
    return f"{prompt}-{id}" if isinstance(id, int) and not isinstance(id, bool) else None


def agents_id(request_id: str) -> int | str | None:
    """Return the agent's id from ours, or None if ours is invalid."""
    token = request_id.partition("-")[2]
    try:
        if token.startswith("s"):
            return base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4)).decode()
        return int(token)
    except (ValueError, binascii.Error):
        return None
