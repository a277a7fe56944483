"""Sessions for front ends: `/api/sessions`, another way to the sessions of `/api/v2/sessions`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.responses import Response

from rhetor.domain.command import SendMessage
from rhetor.domain.session import Session
from rhetor.errors import NotFound, Unprocessable
from rhetor.hub.core.checks import check_content
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.projects import owned_project
from rhetor.transports.server.call import Call, json_response

from .bodies import ManagedSessionBody, SessionsQuery
from .peers import as_sent
from .sessions import described, list_sessions

CLAUDE_CODE = "claude-code"


async def create(call: Call, body: ManagedSessionBody) -> Response:
    """Open a session; with `prompt`, send it as the first message, without waiting for the answer.

    A prompt that cannot be sent is rejected before the session is opened.
    """
    target = body.specialist_id or await _default_peer(call, body.project_id)
    peer, _ = peers_for(call.hub.state, call.who).resolve(target)
    if body.model is not None:
        if peer.program is not None:
            raise Unprocessable(
                f"body.model: {peer.name} is a program that chooses its own model; leave it out"
            )
        await call.node.providers.require_model(body.model)
    if body.prompt is not None:
        check_content(body.prompt, call.hub.state.limits.message_bytes, "the prompt")
    session: Session = await call.execute(body.command(target, call.key))
    if body.prompt is not None:
        await call.execute(SendMessage(body.prompt, None, session.id, command_id=body.prompt_key(call.key)))
    shown = await described(call.node, session)
    return json_response({**shown, "specialist_id": as_sent(target, session.peer)})


async def _default_peer(call: Call, project_id: str | None) -> str:
    if project_id is not None:
        with suppress(NotFound):
            project = await owned_project(call.hub.state, call.who, project_id)
            return project.settings.default_peer or CLAUDE_CODE
    return CLAUDE_CODE


async def active(call: Call) -> dict[str, Any]:
    """List the caller's sessions that have not ended, the most recently used one first."""
    found = (await list_sessions(call, SessionsQuery()))["sessions"]
    return {"sessions": [each for each in found if each["state"] in ("active", "paused", "waiting")]}
