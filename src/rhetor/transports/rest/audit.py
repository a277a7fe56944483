"""The audit: `/api/v2/audit`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from rhetor.domain.audit import AuditEntry
from rhetor.domain.timestamps import timestamp
from rhetor.store.base import Record
from rhetor.transports.server.call import Call
from rhetor.transports.server.counters import REST

from .bodies import AuditNoteBody, AuditQuery

STARTED = "started"  # the outcome of a command whose end the hub does not see


async def read_audit(call: Call, query: AuditQuery) -> dict[str, Any]:
    """Return entries of the audit, the oldest first: the last ones, those after a number, or the last ones
    before a number. `rhetor audit verify` checks their chain."""
    audit = call.hub.state.audit
    found = await audit.page(after=query.after, before=query.before, limit=query.limit)
    return {"entries": [shown for record in found if (shown := _shape(record)) is not None]}


async def note_command(call: Call, body: AuditNoteBody) -> dict[str, str]:
    """Write an entry for a command that reads the state folder without the hub."""
    audit = call.hub.state.audit
    await audit.note(call.who, body.action, body.target, api=REST, outcome=STARTED)
    return {"status": "noted"}


def _shape(record: Record) -> dict[str, Any] | None:
    entry = record.event.payload
    if not isinstance(entry, AuditEntry):  # what a damaged database has lost
        return None
    return {
        "number": record.seq,
        "at": timestamp(record.at),
        "subject": entry.subject,
        "credential": entry.credential,
        "address": entry.address,
        "api": entry.api,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
        "outcome": entry.outcome,
        "of": None if entry.of is UNSET else entry.of,
        "chain": entry.chain,
    }
