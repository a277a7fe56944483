"""Peers, sessions and plans as clients see them (wire page, section 0)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rhetor.domain.figures import Figures
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session, SessionState
from rhetor.store.base import Head, Spoken

from .raw import timestamp


def peer(peer: Peer, *, running: int, figures: Figures, model: str | None = None) -> dict[str, Any]:
    """A peer with its status and the evidence for it. What is not known is null."""
    busy = f"{running} turn{'s' if running != 1 else ''} running" if running else "no turn running"
    return {
        "id": peer.name,
        "name": peer.title,
        "kind": peer.kind,
        "description": peer.description,
        "status": "busy" if running else "idle",
        "evidence": busy,
        "host": None,
        "port": None,
        "pid": None,
        "websocket_supported": False,
        "model": model,
        "capabilities": {
            "streaming": True,
            "scores": {c.name: c.score for c in peer.capabilities},
            "primary": [c.name for c in peer.capabilities if c.primary],
            "context_tokens": None,
            "max_tokens": None,
        },
        "avg_response_time": figures.avg_response_time,
        "success_rate": figures.success_rate,
        "cost_per_1k_tokens": figures.cost_per_1k_tokens,
        "sessions": running,
        "forwards": [],
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
