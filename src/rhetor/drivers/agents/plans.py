"""Decodes the plans that agents report: the steps that they want to take, and how far they are."""

from __future__ import annotations

from typing import Any

from rhetor.domain.event import EntryStatus, PlanEntry
from rhetor.domain.output import Planned
from rhetor.drivers.agents.records import rows, text

# as ACP and as Codex write them; anything else is pending
_STATUSES: dict[str, EntryStatus] = {
    "in_progress": "in_progress",
    "inProgress": "in_progress",
    "completed": "completed",
}


def of_acp(update: dict[str, Any]) -> Planned:
    """Return the plan in an update `plan` (https://agentclientprotocol.com/protocol/agent-plan)."""
    return _planned(rows(update, "entries"), "content")


def of_codex(params: dict[str, Any]) -> Planned:
    """Return the plan in the notification `turn/plan/updated`."""
    return _planned(rows(params, "plan"), "step")


def _planned(found: list[dict[str, Any]], name: str) -> Planned:
    steps = ((text(row, name).strip(), _STATUSES.get(text(row, "status"), "pending")) for row in found)
    return Planned(tuple(PlanEntry(step, status) for step, status in steps if step))
