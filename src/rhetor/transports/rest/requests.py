"""Answers to pending requests: results of tools that clients run, and permissions."""

from __future__ import annotations

from typing import Any

from rhetor.hub.turns import answers
from rhetor.hub.turns.answers import Answered
from rhetor.transports.server.call import Call
from rhetor.transports.server.requests import shown

from .bodies import OptionBody, ToolResultBody


async def tool_result(call: Call, id: str, call_id: str, body: ToolResultBody) -> dict[str, Any]:
    """Continue the turn with the result of a tool call. Only the first result counts; later ones get 409."""
    answered: Answered = await call.execute(body.command(id, call_id, call.key))
    return {"call_id": call_id, "turn_id": answered.turn_id, "cursor": str(answered.position)}


async def permission(call: Call, id: str, request_id: str, body: OptionBody) -> dict[str, Any]:
    """Answer a permission request. Only the first answer counts; later ones get 409."""
    answered: Answered = await call.execute(body.command(id, request_id, call.key))
    return {"request_id": request_id, "turn_id": answered.turn_id, "cursor": str(answered.position)}


async def permissions(call: Call) -> dict[str, Any]:
    """List the caller's pending permission requests, oldest first. In a request of a plan, `session_id` is
    the id of the plan."""
    found = await answers.open_permissions(call.hub.state, call.who)
    return {"permissions": [shown(request) for request in found]}
