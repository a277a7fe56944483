"""The permissions that an ACP agent asks for: what it offers, and ids under which answers find back to it.

A request's id is our own, as it stands in addresses and is one of its session's: the number of the prompt,
and the agent's id in letters of addresses. So it is understood by a later hub too.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from rhetor.domain.event import PermissionOption
from rhetor.drivers.agents.records import rows, text

MAX_ID = 200  # characters of an agent's id


def options(params: dict[str, Any]) -> tuple[PermissionOption, ...]:
    """What a request lets one choose, in the agent's own words."""
    offered = ((text(o, "optionId"), text(o, "name"), text(o, "kind")) for o in rows(params, "options"))
    return tuple(PermissionOption(id, name or id, kind) for id, name, kind in offered if id)


def outcome(option_id: str | None) -> dict[str, Any]:
    """The answer to a request; None: it was cancelled."""
    chosen = {"outcome": "selected", "optionId": option_id}
    return {"outcome": {"outcome": "cancelled"} if option_id is None else chosen}


def request_id(prompt: int, id: Any) -> str | None:
    """Our id for the request with that id in that prompt; None where it has none, or one that is too long."""
    if isinstance(id, str) and len(id) <= MAX_ID:
        return f"{prompt}-s{base64.urlsafe_b64encode(id.encode()).decode().rstrip('=')}"
    return f"{prompt}-{id}" if isinstance(id, int) and not isinstance(id, bool) else None


def agents_id(request_id: str) -> int | str | None:
    """The agent's id within ours; None where there is none."""
    token = request_id.partition("-")[2]
    try:
        if token.startswith("s"):
            return base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4)).decode()
        return int(token)
    except (ValueError, binascii.Error):
        return None
