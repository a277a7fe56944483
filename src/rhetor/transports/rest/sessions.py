"""Sessions: `/api/v2/sessions`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Request, Response

from rhetor.auth.policy import Policy
from rhetor.dialects import raw, resources
from rhetor.domain import command as c
from rhetor.domain.session import Session, SessionState
from rhetor.hub.sessions import checkpoints as branching
from rhetor.hub.sessions import sessions
from rhetor.hub.turns import answers
from rhetor.transports.server import sse
from rhetor.transports.server.router import Doors, Streams

from .bodies import (
    CheckpointBody,
    PlaceBody,
    RestoreBody,
    ResumeBody,
    SaveBody,
    SessionBody,
    SessionMessageBody,
)
from .dependencies import Here, Key, Who
from .peers import accept, streamed, whole_answer

doors = Doors(tags=["sessions"])
MESSAGES = 1000
NO_WISH = ResumeBody()


@doors.on("POST", "/api/v2/sessions", Policy.USER)
async def start(body: SessionBody, who: Who, here: Here, key: Key = None) -> Response:
    session = await here.hub.execute(who, body.command(key))
    return await _shown(here, session)


@doors.on("GET", "/api/v2/sessions", Policy.USER)
async def list_sessions(
    who: Who,
    here: Here,
    peer: str | None = None,
    tool: str | None = None,
    state: SessionState | None = None,
    project: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """The caller's sessions, the one used last first, without their messages."""
    hub = here.hub.state
    kept = SessionState.ACTIVE if state == SessionState.WAITING else state
    found = await sessions.listed(hub, who, peer=peer or tool, session_state=kept, project=project, name=name)
    shown = [(s, answers.shown_state(hub, s)) for s in found]
    listed = [
        resources.session(s, now, await hub.store.head(s.id)) for s, now in shown if state in (None, now)
    ]
    return {"sessions": listed}


@doors.on("GET", "/api/v2/sessions/{id}", Policy.USER)
async def one_session(
    id: str, who: Who, here: Here, messages: Annotated[int, Query(ge=0, le=100_000)] = MESSAGES
) -> Response:
    """A session with its last messages."""
    return await _shown(here, await sessions.owned_session(here.hub.state, who, id), messages)


@doors.on("DELETE", "/api/v2/sessions/{id}", Policy.USER)
async def end(id: str, who: Who, here: Here) -> Response:
    """End the session, and its program where it has one of its own. What was said in it stays; its name is
    free."""
    return await _shown(here, await here.hub.execute(who, c.StopSession(id)))


@doors.on("POST", "/api/v2/sessions/{id}/message", Policy.USER, short=SessionMessageBody)
async def message(
    id: str, body: SessionMessageBody, request: Request, who: Who, here: Here, key: Key = None
) -> Response:
    accepted, headers = await accept(request, who, here, body.command(id, key))
    return await whole_answer(request, here, accepted, headers)


@doors.on(
    "POST", "/api/v2/sessions/{id}/stream", Policy.USER, short=SessionMessageBody, streams=Streams.ALWAYS
)
async def stream(
    id: str, body: SessionMessageBody, request: Request, who: Who, here: Here, key: Key = None
) -> Response:
    accepted, headers = await accept(request, who, here, body.command(id, key))
    return streamed(request, here, accepted, headers)


@doors.on("GET", "/api/v2/sessions/{id}/events", Policy.USER, streams=Streams.ASKED)
async def read_events(
    id: str,
    request: Request,
    who: Who,
    here: Here,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """A page of events; with `Accept: text/event-stream` all of them from there, and then live.

    Where both are given, `Last-Event-ID` wins over `after`. A position that cannot be resumed is 410.
    """
    id = await here.hub.may_read(who, id)
    head, position = await here.hub.position(who, id, last_event_id or after)
    return await sse.events_of(here.hub, request, id, head, position, limit)


@doors.on("POST", "/api/v2/sessions/{id}/pause", Policy.USER)
async def pause(id: str, who: Who, here: Here) -> Response:
    return await _shown(here, await here.hub.execute(who, c.PauseSession(id)))


@doors.on("POST", "/api/v2/sessions/{id}/resume", Policy.USER)
async def resume(id: str, who: Who, here: Here, body: ResumeBody = NO_WISH) -> Response:
    return await _shown(here, await here.hub.execute(who, body.command(id)))


@doors.on("POST", "/api/v2/sessions/{id}/save", Policy.USER)
async def save(id: str, body: SaveBody, who: Who, here: Here) -> Response:
    """Keep the session: it does not expire any more, and has the name that is given."""
    return await _shown(here, await here.hub.execute(who, c.SaveSession(id, body.name)))


@doors.on("POST", "/api/v2/sessions/{id}/interrupt", Policy.USER)
async def interrupt(id: str, who: Who, here: Here) -> Response:
    return await _shown(here, await here.hub.execute(who, c.InterruptSession(id)))


@doors.on("POST", "/api/v2/sessions/{id}/stop", Policy.USER)
async def stop(id: str, who: Who, here: Here) -> Response:
    return await _shown(here, await here.hub.execute(who, c.StopSession(id)))


@doors.on("POST", "/api/v2/sessions/{id}/checkpoint", Policy.USER)
async def checkpoint(id: str, body: CheckpointBody, who: Who, here: Here) -> dict[str, Any]:
    made = await here.hub.execute(who, c.MakeCheckpoint(id, body.name or "", body.cursor))
    return {"checkpoint_id": made.checkpoint_id, "name": made.name, "parent": made.parent}


@doors.on("GET", "/api/v2/sessions/{id}/checkpoints", Policy.USER)
async def checkpoints(id: str, who: Who, here: Here) -> dict[str, Any]:
    found = await branching.checkpoints(here.hub.state, who, id)
    return {"checkpoints": [{**made, "at": raw.timestamp(made["at"])} for made in found]}


@doors.on("POST", "/api/v2/sessions/{id}/restore", Policy.USER)
async def restore(id: str, body: RestoreBody, who: Who, here: Here) -> Response:
    return await _shown(here, await here.hub.execute(who, c.RestoreSession(id, body.at)))


@doors.on("POST", "/api/v2/sessions/{id}/fork", Policy.USER)
async def fork(id: str, body: PlaceBody, who: Who, here: Here) -> Response:
    return await _shown(here, await here.hub.execute(who, c.ForkSession(id, body.at, body.name)))


async def _shown(here: Here, session: Session, messages: int = MESSAGES) -> Response:
    store = here.hub.state.store
    spoken = await store.spoken(session.id, messages, answered=False)
    state = answers.shown_state(here.hub.state, session)
    shape = resources.session(session, state, await store.head(session.id), spoken)
    return sse.json_response(shape)
