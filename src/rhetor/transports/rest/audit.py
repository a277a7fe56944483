"""The audit: `/api/v2/audit`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from rhetor.domain.audit import AuditEntry, node_of
from rhetor.domain.timestamps import timestamp
from rhetor.store.base import Record
from rhetor.transports.server.call import Call
from rhetor.transports.server.counters import REST

from .bodies import AuditNoteBody, AuditQuery

STARTED = "started"  # the outcome of a command whose end the hub does not see


async def read_audit(call: Call, query: AuditQuery) -> dict[str, Any]:
    """Return entries of the audit, the oldest first: the last ones, those after a number, or the last ones
    before a number. `rhetor audit verify` checks their chain. Several nodes number their entries on their
    own: `node` names one. Without it, numbers are those of this node, and the last entries are of all."""
    audit = call.hub.state.audit
    if query.node is None and query.after is None and query.before is None and audit.node:
        found = await audit.last(query.limit)
    else:
        found = await audit.page(node=query.node, after=query.after, before=query.before, limit=query.limit)
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
        "node": node_of(record.stream),
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
