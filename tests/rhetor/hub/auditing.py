"""An audit over a store, and helpers that read it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rhetor.domain.audit import AuditEntry, Count
from rhetor.domain.principal import Principal
from rhetor.domain.secrets import Secrets
from rhetor.hub.core.audit import Audit
from rhetor.hub.core.background import Background
from rhetor.hub.core.ids import Ids
from rhetor.hub.state import State
from rhetor.store.base import Record, Store

CASEY = Principal("casey", address="unix pid 7", credential="socket")


@asynccontextmanager
async def auditing(store: Store, secrets: Secrets | None = None, node: str = "") -> AsyncIterator[Audit]:
    async with Background() as background:
        yield Audit(store, background, Ids(), secrets or Secrets(), node)


async def records(audit: Audit) -> list[Record]:
    return list(await audit.page(limit=100_000))


async def entries(of: Audit | State) -> list[AuditEntry]:
    """Return all entries, each without its chain."""
    found = []
    for record in await records(of.audit if isinstance(of, State) else of):
        entry = record.event.payload
        assert isinstance(entry, AuditEntry)
        found.append(entry)
    return found


async def said(of: Audit | State) -> list[tuple[str, str, str, str]]:
    """Return who did what to what, and the outcome, of each entry."""
    return [(e.subject, e.action, e.target, e.outcome) for e in await entries(of)]


__all__ = ["CASEY", "Count", "auditing", "entries", "records", "said"]
