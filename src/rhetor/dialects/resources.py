"""Peers, sessions, forwards, terminals, routes and context as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rhetor.domain.alias import Alias
from rhetor.domain.event import Position
from rhetor.domain.inbox import Note
from rhetor.domain.peer import Peer
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.program import Exit, ProgramStatus
from rhetor.domain.rules import Context, Forward, Hop, Purpose, Route, Terminal
from rhetor.domain.schedule import Schedule
from rhetor.domain.session import Session, SessionState
from rhetor.domain.timestamps import timestamp


class InstanceView(msgspec.Struct, frozen=True):
    """A peer's program. `pid`: None if it is not running."""

    pid: int | None
    status: ProgramStatus


class Message(msgspec.Struct, frozen=True):
    """One message of a session. `role`: user | assistant; `at`: Unix time in milliseconds."""

    role: str
    content: str
    at: int


def peer(
    peer: Peer,
    *,
    running: int,
    sessions: int | Sequence[Session],
    stats: PeerStats,
    model: str | None = None,
    instance_view: InstanceView | None = None,
    forward: Forward | None = None,
    address: tuple[str, int] | None = None,
    now: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return a peer with its status and the evidence for it. `running`: how many of its turns are running.
    `sessions`: the caller's sessions with a tool, or the number of those with another peer that have not
    ended. `address`: the host and the port of the hub. `now`: the caller's turns that run or wait. Unknown
    values are null."""
    busy = f"{running} turn{'s' if running != 1 else ''} running" if running else "no turn running"
    return {
        "id": peer.name,
        "name": peer.title,
        "kind": peer.kind,
        "description": peer.description,
        "status": instance_view.status.state if instance_view else "busy" if running else "idle",
        "evidence": instance_view.status.evidence if instance_view else busy,
        "host": address[0] if address else None,
        "port": address[1] if address else None,
        "pid": instance_view.pid if instance_view else None,
        "delimiter": peer.program.delimiter if peer.program else None,
        "websocket_supported": True,
        "model": model,
        "capabilities": _capabilities(peer, stats),
        "avg_response_time": stats.avg_response_time,
        "success_rate": stats.success_rate,
        "cost_per_1k_tokens": stats.cost_per_1k_tokens,
        "sessions": sessions if isinstance(sessions, int) else list(map(brief, sessions)),
        "forwards": [forward.to] if forward else [],
        "now": list(now),
    }


def _capabilities(peer: Peer, stats: PeerStats) -> dict[str, Any]:
    """Return what a peer can do. For clients of the older API, the object also has the statistics, with the
    cost as a number, and each capability under its name with underscores."""
    cost = stats.cost_per_1k_tokens
    return {
        **{c.name.replace("-", "_"): c.score for c in peer.capabilities},
        "streaming": peer.streams,
        "scores": {c.name: c.score for c in peer.capabilities},
        "primary": [c.name for c in peer.capabilities if c.primary],
        "context_tokens": None,
        "context_window": None,
        "max_tokens": None,
        "avg_response_time": stats.avg_response_time,
        "success_rate": stats.success_rate,
        "cost_per_1k_tokens": None if cost is None else float(cost),
    }


def brief(session: Session) -> dict[str, Any]:
    """Return a session as an entry of its peer."""
    return {"id": session.id, "name": session.name, "state": session.state, "started": session.started}


def session(
    session: Session,
    state: SessionState,
    head: Position | None,
    messages: Sequence[Message] = (),
    *,
    title: str | None = None,
    turn: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a session with its last messages. `head`: its last position; None if its log is empty. `state`:
    the session's state, or `waiting` if its running turn waits for an answer. `title`: the first line of its
    last message. `turn`: the one that runs now."""
    return {
        "id": session.id,
        "specialist_id": session.peer,
        "name": session.name,
        "title": title,
        "owner": session.owner,
        "project_id": session.project_id,
        "state": state,
        "turn": turn,
        "started": session.started,
        "created_at": timestamp(session.created_at),
        "used_at": timestamp(session.used_at),
        "ttl": session.ttl,
        "context_window": session.context_window,
        "metadata": session.metadata,
        "tools": msgspec.to_builtins(session.tools),
        "messages": list(map(message, messages)),
        "head": head.seq if head else None,
        "cursor": str(head) if head else None,
    }


def message(message: Message) -> dict[str, Any]:
    """Return a message of a session."""
    return {"role": message.role, "content": message.content, "timestamp": timestamp(message.at)}


def status(
    peer: Peer,
    instance_view: InstanceView,
    ended: Exit | None,
    running: int,
    waiting: int,
    session_id: str | None = None,
) -> dict[str, Any]:
    """Return the status of a peer's program, and the evidence for it.

    `session_id`: the caller's session in which the program's output between turns is logged, if there is one.
    `ended`: how the program ended, if it did. `running`: how many of the peer's turns are running. `waiting`:
    how many accepted messages have not started a turn yet.
    """
    current = instance_view.status
    dialog = (
        {"text": current.dialog.text, "options": list(current.dialog.options)} if current.dialog else None
    )
    return {
        "name": peer.name,
        "kind": peer.kind,
        "driver": peer.driver,
        "status": current.state,
        "evidence": current.evidence,
        "since": timestamp(current.since),
        "pid": instance_view.pid,
        "exit_code": ended.exit_code if ended else None,
        "signal": ended.signal if ended else None,
        "reasons": list(current.reasons),
        "screen": list(current.screen) if current.screen is not None else None,
        "dialog": dialog,
        "running": running,
        "waiting": waiting,
        "session_id": session_id,
    }


def forward(forward: Forward, kind: str, circle: Sequence[str], from_kind: str | None) -> dict[str, Any]:
    """Return a forward. `kind`: terminal | peer, the kind of its destination; `circle`: the peers through
    which answers return to its source, empty if they do not; `from_kind`: the kind of its source, None if the
    source no longer exists."""
    failed = forward.failed
    return {
        "from": forward.source,
        "from_kind": from_kind,
        "to": forward.to,
        "kind": kind,
        "json": forward.as_json,
        "execute": forward.execute,
        "session_id": forward.session_id,
        "circle": list(circle),
        "failed": {
            "code": failed.code,
            "detail": failed.detail,
            "hint": failed.hint or None,
            "at": timestamp(failed.at),
        }
        if failed
        else None,
        "created_at": timestamp(forward.at),
    }


def terminal(terminal: Terminal, head: Position | None, attached: int) -> dict[str, Any]:
    """Return a named shell. `attached`: how many shells follow its stream now; `head`: the last position of
    the stream, None if it is empty."""
    return {
        "name": terminal.name,
        "attached": attached,
        "head": head.seq if head else None,
        "cursor": str(head) if head else None,
        "seen": f"{head.epoch}:{terminal.seen}" if head else None,
        "created_at": timestamp(terminal.at),
    }


def route(route: Route) -> dict[str, Any]:
    return {"name": route.name, "hops": list(map(_hop, route.hops)), "created_at": timestamp(route.at)}


def schedule(schedule: Schedule, run: tuple[str, str, int] | None) -> dict[str, Any]:
    """Return a schedule. `run`: the turn, its state and the time of the last run; None if there was none."""
    last = schedule.last
    return {
        "id": schedule.id,
        "name": schedule.name,
        "owner": schedule.owner,
        "cron": schedule.cron,
        "timezone": schedule.zone,
        "line": schedule.line,
        "overlap": schedule.overlap,
        "state": "paused" if schedule.paused else "active",
        "session": schedule.session,
        "session_id": schedule.session_id,
        "cwd": schedule.cwd,
        "next_at": timestamp(schedule.due) if schedule.due is not None else None,
        "last_due": {"due_at": timestamp(last.due), "skipped": last.skipped or None} if last else None,
        "last_run": {"turn_id": run[0], "status": run[1], "at": timestamp(run[2])} if run else None,
        "created_at": timestamp(schedule.at),
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {"ai": hop.target, "purpose": hop.purpose or None}


def context(context: Context) -> dict[str, Any]:
    return {"ai": context.peer, "staged": list(context.staged), "next": list(context.next)}


def purpose(purpose: Purpose) -> dict[str, Any]:
    return {"name": purpose.name, "purpose": purpose.text or None}


def alias(alias: Alias) -> dict[str, Any]:
    return {
        "name": alias.name,
        "command": alias.command,
        "description": alias.description or None,
        "created_at": timestamp(alias.at),
    }


def note(note: Note) -> dict[str, Any]:
    return {
        "id": note.id,
        "from": note.from_,
        "to": note.to,
        "timestamp": timestamp(note.at),
        "purpose": note.purpose or None,
        "message": note.text,
    }


def permission(
    session_id: str, turn_id: str, peer: str, at: int, data: dict[str, Any], answer: dict[str, Any] | None
) -> dict[str, Any]:
    """Return a permission request with the members of its event and, if it was answered, of its answer."""
    return {
        **data,
        "session_id": session_id,
        "turn_id": turn_id,
        "peer": peer,
        "asked_at": timestamp(at),
        **(answer or {}),
    }
