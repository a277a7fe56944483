"""Sessions: `/api/v2/sessions`, and `/api/v2/imports`, which imports the transcripts of coding agents."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from rhetor.dialects import resources
from rhetor.dialects.event_filter import split, types_of
from rhetor.domain import command as c
from rhetor.domain.session import Session
from rhetor.domain.timestamps import timestamp
from rhetor.hub.catalog.shares import Share
from rhetor.hub.sessions import sessions, states
from rhetor.hub.sessions import shares as hub_shares
from rhetor.hub.sessions.checkpoints import last_answers
from rhetor.store.base import Summary
from rhetor.transports.server import event_pages
from rhetor.transports.server.call import Call, Caller, json_response
from rhetor.transports.server.long_work import Result, with_progress
from rhetor.transports.server.node import Node
from rhetor.transports.views import sessions as views

from .bodies import (
    EventsQuery,
    ImportBody,
    MessagesQuery,
    PageQuery,
    ResumeBody,
    SaveBody,
    SessionBody,
    SessionMessageBody,
    SessionsQuery,
    ShareBody,
)
from .peers import accept, as_sent, streamed, whole_answer

MESSAGES = 1000


async def start(call: Call, body: SessionBody) -> Response:
    session = await call.execute(body.command(call.key))
    shown = await described(call.node, session)
    return json_response({**shown, "specialist_id": as_sent(body.specialist_id, session.peer)})


async def list_sessions(call: Caller, query: SessionsQuery) -> dict[str, Any]:
    """List the caller's sessions without their messages, the most recently used one first."""
    state, peer = call.hub.state, query.peer or query.tool
    wanted = () if query.state is UNSET else (query.state,)
    found = await sessions.listed(
        state, call.who, peer=peer, states=wanted, project=query.project, name=query.name
    )
    listed = await views.described(state, found)
    if not query.summary:
        return {"sessions": listed}
    summaries = await state.store.summaries([session.id for session in found])
    return {"sessions": [{**each, "summary": _summary(summaries[each["id"]])} for each in listed]}


def _summary(summary: Summary) -> dict[str, Any]:
    cost = None if summary.cost is None else format(summary.cost, "f")
    first, messages = summary.first, summary.messages
    return {"first": first, "messages": messages, "cost": cost, "cost_is_complete": summary.is_complete}


async def one_session(call: Call, id: str, query: MessagesQuery) -> Response:
    """Return a session with its last messages."""
    return await shown(call.node, await states.readable_session(call.hub.state, call.who, id), query.messages)


async def end(call: Call, id: str) -> Response:
    """End the session, and its own program if it has one. Its messages are kept; its name becomes free."""
    return await shown(call.node, await call.execute(c.StopSession(id)))


async def message(call: Call, id: str, body: SessionMessageBody) -> Response:
    accepted, headers = await accept(call, body.command(id, call.key))
    return await whole_answer(call, accepted, headers)


async def stream(call: Call, id: str, body: SessionMessageBody, query: EventsQuery) -> Response:
    wanted = types_of(split(query.events))
    accepted, headers = await accept(call, body.command(id, call.key))
    return streamed(call, accepted, headers, wanted)


async def read_events(call: Call, id: str, query: PageQuery) -> Response:
    """Return a page of events; with `Accept: text/event-stream`, stream them and follow the session.

    `Last-Event-ID` takes precedence over `after`. A position that cannot be resumed gets 410.
    """
    id = await call.hub.may_read(call.who, id)
    if before := query.ends_before:
        head, _ = await call.hub.position(call.who, id, None)
        return await event_pages.events_before(call, id, head, before, query.limit, query.events)
    head, position = await call.hub.position(call.who, id, call.last_event_id or query.after)
    return await event_pages.events_of(call, id, head, position, query.limit, query.events)


async def share(call: Call, id: str, body: ShareBody) -> dict[str, Any]:
    """Let another subject read the session, and send to it or approve in it, as `scopes` says. It replaces an
    earlier share with the subject."""
    return _share(await call.execute(body.command(id)))


async def list_shares(call: Call, id: str) -> dict[str, Any]:
    """List with whom the session is shared. Only its owner may."""
    found = await hub_shares.shares(call.hub.state, call.who, id)
    return {"shares": [_share(each) for each in found]}


async def unshare(call: Call, id: str, subject: str) -> dict[str, Any]:
    """Take a share back. The streams of the session that are open for the subject end."""
    removed: Share = await call.execute(c.UnshareSession(id, subject))
    return {"session_id": removed.session_id, "subject": removed.subject, "status": "removed"}


def _share(share: Share) -> dict[str, Any]:
    return {
        "session_id": share.session_id,
        "subject": share.subject,
        "scopes": list(share.scopes),
        "at": timestamp(share.at),
    }


async def pause(call: Call, id: str) -> Response:
    return await shown(call.node, await call.execute(c.PauseSession(id)))


async def resume(call: Call, id: str, body: ResumeBody) -> Response:
    return await shown(call.node, await call.execute(body.command(id)))


async def save(call: Call, id: str, body: SaveBody) -> Response:
    """Keep the session without expiry, under the given name."""
    return await shown(call.node, await call.execute(c.SaveSession(id, body.name)))


async def interrupt(call: Call, id: str) -> Response:
    return await shown(call.node, await call.execute(c.InterruptSession(id)))


async def abandon(call: Call, id: str, turn_id: str) -> dict[str, Any]:
    """End a turn for which nobody waits any more. A wrapped program continues it."""
    return {"turn_id": turn_id, "continues": await call.execute(c.AbandonTurn(id, turn_id))}


async def stop(call: Call, id: str) -> Response:
    return await shown(call.node, await call.execute(c.StopSession(id)))


async def import_transcripts(call: Call, body: ImportBody) -> Result | Response:
    """Import the transcripts that coding agents keep themselves, each turn once. No file is changed."""
    return await with_progress(call, _import(call, body))


async def _import(call: Call, body: ImportBody) -> Result:
    found: dict[str, Any] = msgspec.to_builtins(await call.execute(body.command()))
    return found


async def shown(node: Node, session: Session, messages: int = MESSAGES) -> Response:
    """Return a response with a session and its last messages."""
    return json_response(await described(node, session, messages))


async def described(node: Node, session: Session, messages: int = MESSAGES) -> dict[str, Any]:
    """Return a session with its last messages."""
    spoken = await node.hub.state.store.spoken(session.id, messages, answered=False)
    (shown,) = await views.described(node.hub.state, [session])
    found = [resources.Message(s.role, s.content, s.at) for s in last_answers(spoken)]
    return {**shown, "messages": list(map(resources.message, found))}
