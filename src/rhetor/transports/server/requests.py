"""Permission requests as clients see them."""

from __future__ import annotations

from typing import Any

from rhetor.dialects.resources import permission
from rhetor.hub.catalog.requests import Request


def shown(request: Request) -> dict[str, Any]:
    return permission(request.stream, request.turn_id, request.peer, request.at, request.data, request.answer)
