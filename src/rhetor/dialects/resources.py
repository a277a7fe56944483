"""Peers, sessions and plans as clients see them (wire page, section 0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rhetor.domain.peer import Peer
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.program import Exit, ProgramStatus
from rhetor.domain.rules import Context, Forward, Hop, Purpose, Route, Terminal
from rhetor.domain.session import Session, SessionState
from rhetor.domain.timestamps import timestamp
from rhetor.store.base import Head, Spoken


@dataclass(frozen=True, slots=True)
class InstanceView:
    """A peer's program: its process, None where none runs, and how it is."""

    pid: int | None
    status: ProgramStatus


def peer(
    peer: Peer,
    *,
    running: int,
    stats: PeerStats,
    model: str | None = None,
    instance_view: InstanceView | None = None,
    forward: Forward | None = None,
) -> dict[str, Any]:
    """A peer with its status and the evidence for it. What is not known is null."""
    busy = f"{running} turn{'s' if running != 1 else ''} running" if running else "no turn running"
    return {
        "id": peer.name,
        "name": peer.title,
        "kind": peer.kind,
        "description": peer.description,
        "status": instance_view.status.state if instance_view else "busy" if running else "idle",
        "evidence": instance_view.status.evidence if instance_view else busy,
        "host": None,
        "port": None,
        "pid": instance_view.pid if instance_view else None,
        "delimiter": peer.program.delimiter if peer.program else None,
        "websocket_supported": True,
        "model": model,
        "capabilities": {
            "streaming": peer.streams,
            "scores": {c.name: c.score for c in peer.capabilities},
            "primary": [c.name for c in peer.capabilities if c.primary],
            "context_tokens": None,
            "max_tokens": None,
        },
        "avg_response_time": stats.avg_response_time,
        "success_rate": stats.success_rate,
        "cost_per_1k_tokens": stats.cost_per_1k_tokens,
        "sessions": running,
        "forwards": [forward.to] if forward else [],
    }


def session(
    session: Session, state: SessionState, head: Head | None, spoken: Sequence[Spoken] = ()
) -> dict[str, Any]:
    """`state`: the session's own, or `waiting`, which only who runs its turn knows."""
    return {
        "id": session.id,
        "specialist_id": session.peer,
        "name": session.name,
        "owner": session.owner,
        "project_id": session.project_id,
        "state": state,
        "created_at": timestamp(session.created_at),
        "used_at": timestamp(session.used_at),
        "ttl": session.ttl,
        "context_window": session.context_window,
        "metadata": session.metadata,
        "tools": msgspec.to_builtins(session.tools),
        "messages": [{"role": s.role, "content": s.content, "timestamp": timestamp(s.at)} for s in spoken],
        "head": f"{head.epoch}:{head.head}" if head else None,
    }


def status(
    peer: Peer, instance_view: InstanceView, ended: Exit | None, running: int, waiting: int
) -> dict[str, Any]:
    """Why a program is thought to be as it is."""
    how = instance_view.status
    dialog = {"text": how.dialog.text, "options": list(how.dialog.options)} if how.dialog else None
    return {
        "name": peer.name,
        "kind": peer.kind,
        "driver": peer.driver,
        "status": how.state,
        "evidence": how.evidence,
        "since": timestamp(how.since),
        "pid": instance_view.pid,
        "exit_code": ended.exit_code if ended else None,
        "signal": ended.signal if ended else None,
        "reasons": list(how.reasons),
        "screen": list(how.screen) if how.screen is not None else None,
        "dialog": dialog,
        "running": running,
        "waiting": waiting,
    }


def forward(forward: Forward, kind: str, circle: Sequence[str]) -> dict[str, Any]:
    """`kind`: terminal | peer, of where it goes; `circle`: the way on which it comes back, if it does."""
    failed = forward.failed
    return {
        "from": forward.source,
        "to": forward.to,
        "kind": kind,
        "json": forward.as_json,
        "execute": forward.execute,
        "session_id": forward.session_id,
        "circle": list(circle),
        "failed": {"code": failed.code, "detail": failed.detail, "at": timestamp(failed.at)}
        if failed
        else None,
        "created_at": timestamp(forward.at),
    }


def terminal(terminal: Terminal, head: Head | None, attached: int) -> dict[str, Any]:
    """`attached`: how many shells follow it now."""
    return {
        "name": terminal.name,
        "attached": attached,
        "head": f"{head.epoch}:{head.head}" if head else None,
        "seen": f"{head.epoch}:{terminal.seen}" if head else None,
        "created_at": timestamp(terminal.at),
    }


def route(route: Route) -> dict[str, Any]:
    return {"name": route.name, "hops": list(map(_hop, route.hops)), "created_at": timestamp(route.at)}


def _hop(hop: Hop) -> dict[str, Any]:
    return {"ai": hop.target, "purpose": hop.purpose or None}


def context(context: Context) -> dict[str, Any]:
    return {"ai": context.peer, "staged": list(context.staged), "next": list(context.next)}


def purpose(purpose: Purpose) -> dict[str, Any]:
    return {"name": purpose.name, "purpose": purpose.text or None}


def permission(
    session_id: str, turn_id: str, peer: str, at: int, data: dict[str, Any], answer: dict[str, Any] | None
) -> dict[str, Any]:
    """A permission request with the members of its event and, if it was answered, of its answer."""
    return {
        **data,
        "session_id": session_id,
        "turn_id": turn_id,
        "peer": peer,
        "asked_at": timestamp(at),
        **(answer or {}),
    }
