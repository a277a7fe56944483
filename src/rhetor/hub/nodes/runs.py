"""What executes each command that one node can give another."""

from __future__ import annotations

from rhetor.domain import node_commands as n
from rhetor.hub.forwarding import shown
from rhetor.hub.programs import lifecycle
from rhetor.hub.sessions import delivery, endings
from rhetor.hub.turns import stopping
from rhetor.hub.use_cases import USE_CASES

from .codec import Run

INTERNAL: dict[type, Run] = {
    n.DeliverMessage: delivery.delivered_here,
    n.EndPrograms: lifecycle.ended_here,
    n.EndSession: endings.ended_here,
    n.ShowAnswer: shown.shown_here,
    n.StopTurn: stopping.stopped_here,
}
RUNS: dict[type, Run] = {**{kind: use_case.run for kind, use_case in USE_CASES.items()}, **INTERNAL}
