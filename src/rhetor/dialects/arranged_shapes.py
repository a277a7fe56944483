"""Forwards, terminals, routes, contexts and purposes as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rhetor.domain.arrangement import Forward, Hop, Purpose, Route, Staged, Terminal
from rhetor.store.base import Head

from .raw import timestamp


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


def staged(staged: Staged) -> dict[str, Any]:
    return {"ai": staged.peer, "staged": list(staged.staged), "next": list(staged.next)}


def purpose(purpose: Purpose) -> dict[str, Any]:
    return {"name": purpose.name, "purpose": purpose.text or None}
