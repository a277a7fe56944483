"""The tools that list peers, agents and sessions, and that read, open and end sessions."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.dialects import raw
from rhetor.domain import command as c
from rhetor.domain.session import Session
from rhetor.errors import PositionLost
from rhetor.hub.programs.ownership import peers_for
from rhetor.transports.rest import peers, programs, sessions
from rhetor.transports.rest.bodies import CapableQuery, SessionsQuery, ToolsQuery

from .arguments import CreateSession, FindCapability, Nothing, OneSession, ReadEvents
from .caller import McpCaller, Outcome

EVENTS = 500  # of one page
SHOWN = 100  # sessions that are listed
AGENTS = ("claude", "codex", "acp", "continue", "cursor")


async def list_peers(caller: McpCaller, given: Nothing) -> Outcome:
    """List every peer and every team, with its status."""
    data = await peers.list_peers(caller)
    lines = [f"{p['id']}  {p['kind']}, {p['status']}: {p['description']}" for p in data["peers"]]
    return Outcome("\n".join(lines), data)


async def list_agents(caller: McpCaller, given: Nothing) -> Outcome:
    """List the coding agents and other programs, whether they are installed and logged in."""
    found = (await programs.tools(caller, ToolsQuery()))["tools"]
    lines = [
        f"{tool['name']}  {tool['status']}, {'installed' if tool['installed'] else 'not installed'}, "
        f"logged in: {tool['login']['known']}"
        for tool in found
    ]
    return Outcome("\n".join(lines) or "no agents", {"agents": found})


async def find_claude_binary(caller: McpCaller, given: Nothing) -> Outcome:
    """Return where Claude Code is installed; to callers who must not know the place, only whether it is."""
    peer = next((peer for peer in peers_for(caller.hub.state, caller.who) if peer.driver == "claude"), None)
    if peer is None:
        return Outcome("Claude Code is not configured", {"found": False, "path": None, "peer": None})
    found = caller.node.programs.found(peer)
    if not programs.sees_places(caller.who):
        found = programs.without_places(found)
    data = {"found": found["installed"], "path": found["path"], "peer": peer.name}
    if not found["installed"]:
        how = found["how_to_install"]
        return Outcome(f"Claude Code is not installed; {how}", {**data, "how_to_install": how})
    return Outcome(found["path"] or "Claude Code is installed", {**data, "login": found["login"]})


async def find_capability(caller: McpCaller, given: FindCapability) -> Outcome:
    """List the peers that have a capability, best first."""
    found = await peers.capable(caller, given.capability, CapableQuery(threshold=given.threshold))
    lines = [f"{match['ai_id']}  {match['score']:g}" for match in found]
    text = "\n".join(lines) or f"no peer has {given.capability} at {given.threshold:g} or above"
    return Outcome(text, {"capability": given.capability, "peers": found})


async def list_sessions(caller: McpCaller, given: Nothing) -> Outcome:
    """List the caller's last sessions, the most recently used one first."""
    found = (await sessions.list_sessions(caller, SessionsQuery()))["sessions"]
    lines = [
        f"{s['id']}  {s['specialist_id']}, {s['state']}{', ' + s['name'] if s['name'] else ''}"
        for s in found[:SHOWN]
    ]
    return Outcome("\n".join(lines) or "no sessions", {"sessions": found[:SHOWN], "total": len(found)})


async def create_session(caller: McpCaller, given: CreateSession) -> Outcome:
    """Open a session with a peer, which remembers the last messages of the session."""
    session: Session = await caller.execute(c.StartSession(given.peer, given.context_window, given.name))
    data = await sessions.described(caller.node, session)
    return Outcome(f"session {session.id} with {session.peer}", data)


async def cancel_session(caller: McpCaller, given: OneSession) -> Outcome:
    """End a session, and cancel its running and waiting turns. Its messages are kept."""
    session: Session = await caller.execute(c.StopSession(given.session_id))
    return Outcome(f"session {session.id} is {session.state}", await sessions.described(caller.node, session))


async def read_events(caller: McpCaller, given: ReadEvents) -> Outcome:
    """Return the events of a session after a cursor, and the cursor of the last one.

    A position that is lost is an outcome, as in every API.
    """
    stream = await caller.hub.may_read(caller.who, given.session_id)
    try:
        head, after = await caller.hub.position(caller.who, stream, given.cursor)
    except PositionLost as lost:
        return Outcome(lost.detail, {"session_id": stream, **lost.data, "events": []}, is_error=True)
    records = await caller.hub.state.store.page(stream, after, EVENTS)
    events = [
        msgspec.json.decode(raw.encode(record, after.seq if number == 0 else None))
        for number, record in enumerate(records)
    ]
    data: dict[str, Any] = {
        "session_id": stream,
        "outcome": "ok",
        "recovered": True,
        "epoch": head.epoch,
        "head": head.head,
        "earliest": head.earliest,
        "cursor": str(records[-1].position if records else after),
        "events": events,
    }
    return Outcome(msgspec.json.encode(data).decode(), data)
