"""How the hub is: `/api/v2/health`, for people. `/healthz` and `/readyz` are for supervisors, and `/metrics`
for Prometheus."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from rhetor.domain.audit import STREAM, AuditEntry
from rhetor.domain.event import Position
from rhetor.domain.principal import ADMIN
from rhetor.domain.timestamps import timestamp
from rhetor.hub.programs.now import count_programs, is_running, statuses_of, turns_now
from rhetor.hub.programs.ownership import is_own, peers_for
from rhetor.hub.programs.status import status_of
from rhetor.hub.sessions import sessions
from rhetor.transports.server.call import Call
from rhetor.transports.server.certificate import described

from .metrics import lags, process

BACKUP = "backup"
MOST_READ = 20_000  # entries of the audit that are searched for the last backup
PAGE = 500


async def health(call: Call) -> dict[str, Any]:
    """Return how the hub is. Callers without the scope admin see only what concerns themselves."""
    sees_all = call.who.has(ADMIN)
    node, problems = call.node, [*_problems(call)]
    certificate = described(node.certificate.expires) if node.certificate else None
    return {
        "status": "attention" if problems else "ok",
        "problems": problems,
        "version": node.version,
        "started_at": timestamp(node.started_at),
        "uptime": max(0.0, time.time() - node.started_at / 1000),
        "turns": _turns(call, sees_all=sees_all),
        "sessions": sum((await sessions.counted(call.hub.state, call.who)).values()),
        "connections": dict(sorted(node.connections.by_api(None if sees_all else call.who.subject).items())),
        "certificate": certificate,
        "process": _process() if sees_all else None,
        "store": await _store(call) if sees_all else None,
        "followers": await _followers(call) if sees_all else None,
        "programs": count_programs(call.hub.state) if sees_all else None,
        "last_backup": await _last_backup(call) if sees_all else None,
        "nodes": await node.nodes() if sees_all and node.nodes else None,
    }


def _turns(call: Call, *, sees_all: bool) -> dict[str, int]:
    """Return how many turns run, wait for a person, and are queued: the caller's own, or all of them."""
    state = call.hub.state

    def counts(owner: str) -> bool:
        return sees_all or is_own(state, call.who, owner)

    running = list(turns_now(state, counts))
    waiting = sum(each.state == "waiting" for each in running)
    queued = sum(counts(row.owner) and not is_running(state, row.id) for row in state.live.queued)
    return {"running": len(running) - waiting, "waiting": waiting, "queued": queued}


def _process() -> dict[str, Any]:
    now = process()
    return {
        "pid": os.getpid(),
        "memory": now.resident,
        "cpu_seconds": now.cpu,
        "descriptors": now.descriptors,
        "tasks": len(asyncio.all_tasks()),
    }


async def _store(call: Call) -> dict[str, Any]:
    store, commits = call.hub.state.store, call.hub.state.store.commit_stats
    oldest = await store.oldest(STREAM)
    count = sum(commits.counts)
    return {
        "bytes": await store.size(),
        "free_bytes": await asyncio.to_thread(_free, call.node.home),
        "events": commits.events,
        "events_per_second": round(commits.recent.per_second, 2),
        "commit_seconds": round(commits.seconds / count, 6) if count else None,
        "oldest_event_at": timestamp(oldest) if oldest is not None else None,
    }


def _free(home: str) -> int | None:
    """Return how many bytes are free where the hub keeps its state."""
    try:
        return shutil.disk_usage(home).free
    except OSError:
        return None


async def _followers(call: Call) -> dict[str, int]:
    found = await lags(call.hub.state)
    return {"count": len(found), "behind": sum(map(bool, found)), "most_behind": max(found, default=0)}


def _problems(call: Call) -> Iterator[dict[str, str]]:
    """Yield what needs somebody's attention, as far as the caller sees it."""
    state = call.hub.state
    if (certificate := call.node.certificate) is not None:
        found = described(certificate.expires)
        if found["state"] != "valid":
            hint = "renew it, for example with: rhetor cert create"
            yield _problem("certificate", f"the certificate of TCP expires at {found['expires']}", hint)
    for peer in peers_for(state, call.who):
        if statuses_of(state, peer.name) and status_of(state, peer).state == "stuck":
            hint = f"see: aish explain {peer.name}"
            yield _problem("stuck", f"{peer.name} has printed nothing for a while, or does not answer", hint)
    if call.who.has(ADMIN):
        for finding in call.node.providers.findings:
            detail = f"{finding['setting']}: {finding['detail']}"
            yield _problem("model", detail, str(finding.get("hint") or ""))


def _problem(code: str, detail: str, hint: str) -> dict[str, str]:
    return {"code": code, "detail": detail, "hint": hint}


class _Backups(Struct):
    """The last backup that the audit has, and the place up to which its entries were read."""

    epoch: str = ""
    read: int = 0
    found: dict[str, Any] | None = None


async def _last_backup(call: Call) -> dict[str, Any] | None:
    """Return when a backup was last begun while the hub ran, and its file."""
    store = call.hub.state.store
    known: _Backups = call.node.components.setdefault("backups", _Backups())
    head = await store.head(STREAM)
    if head is None:
        return None
    if head.epoch != known.epoch:
        known.epoch, known.read, known.found = head.epoch, max(0, head.head - MOST_READ), None
    place = Position(head.epoch, max(known.read, head.earliest - 1))
    while records := await store.page(STREAM, place, PAGE):
        for record in records:
            entry = record.event.payload if b'"backup"' in record.data else None
            if isinstance(entry, AuditEntry) and entry.action == BACKUP:
                known.found = {"at": timestamp(record.at), "file": entry.target}
        place = records[-1].position
    known.read = place.seq
    return known.found
