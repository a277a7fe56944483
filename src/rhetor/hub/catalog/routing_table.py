"""What was arranged, in memory as it is in the catalog: looked at on the way of every message.

It is read once, at the start; who changes the catalog changes it here after the commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from rhetor.domain.rules import Context, Forward, Purpose, Route, Terminal
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Catalog, Row

Rule = Forward | Terminal | Route | Context | Purpose
Kept = TypeVar("Kept", bound=Rule)
Place = tuple[str, str]  # an owner, and a name of theirs
MOST = 100_000


@dataclass(slots=True)
class RoutingTable:
    """`promoted`: peers that are to be told something with their next message, by owner.
    `outbox_changed` notifies when an answer is to be forwarded."""

    forwards: dict[Place, Forward] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)
    routes: dict[Place, Route] = field(default_factory=dict)
    purposes: dict[Place, Purpose] = field(default_factory=dict)
    promoted: set[Place] = field(default_factory=set)
    outbox_changed: Notifier = field(default_factory=Notifier)

    async def load(self, catalog: Catalog) -> None:
        for forward in await _all(catalog, Forward):
            self.forwards[forward.owner, forward.source] = forward
        for terminal in await _all(catalog, Terminal):
            self.terminals[terminal.name] = terminal
        for route in await _all(catalog, Route):
            self.routes[route.owner, route.name] = route
        for purpose in await _all(catalog, Purpose):
            self.purposes[purpose.owner, purpose.name] = purpose
        for context in await _all(catalog, Context):
            if context.next:
                self.promoted.add((context.owner, context.peer))

    def routes_of(self, owner: str) -> dict[str, Route]:
        return {name: route for (whose, name), route in self.routes.items() if whose == owner}

    def forwards_of(self, owner: str) -> list[Forward]:
        return [forward for (whose, _), forward in self.forwards.items() if whose == owner]

    def forward_of(self, owner: str, source: str) -> Forward | None:
        return self.forwards.get((owner, source))

    def purpose_of(self, owner: str, name: str) -> str | None:
        purpose = self.purposes.get((owner, name))
        return purpose.text if purpose else None


async def _all(catalog: Catalog, kind: type[Kept]) -> list[Kept]:
    rows = await catalog.find(kind_of(kind), limit=MOST)
    return [msgspec.json.decode(row.doc, type=kind) for row in rows]


def kind_of(kind: type) -> str:
    return kind.__name__.lower()


def row_id(value: Forward | Route | Context | Purpose) -> str:
    return place_id(value.owner, _name(value))


def place_id(owner: str, name: str) -> str:
    return f"{owner}/{name}"


def row_of(value: Rule, state: str = "kept") -> Row:
    """As the catalog keeps it."""
    id = value.name if isinstance(value, Terminal) else row_id(value)
    return Row(kind_of(type(value)), id, state, msgspec.json.encode(value), owner=value.owner, at=value.at)


def _name(value: Forward | Route | Context | Purpose) -> str:
    if isinstance(value, Forward):
        return value.source
    return value.peer if isinstance(value, Context) else value.name
