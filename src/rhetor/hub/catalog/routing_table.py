"""The routing table: forwards, terminals, routes, purposes and promoted context, in memory and as rows.

The table is loaded once, at start, because every message reads it. A use case that commits a change to these
rows makes the same change to the table after the commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from rhetor.domain.rules import Context, Forward, Purpose, Route, Terminal
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Catalog, Row

Rule = Forward | Terminal | Route | Context | Purpose
R = TypeVar("R", bound=Rule)
OwnedName = tuple[str, str]  # an owner, and a name that the owner chose
MAX_ROWS = 100_000
ALIAS = "alias"  # the kind of rows with aliases, which only the shell reads


@dataclass(slots=True, eq=False, repr=False)
class RoutingTable:
    """The rules that apply now.

    `promoted`: the peers whose next message carries promoted context, by owner. `outbox_changed` notifies
    when the relay has an answer to forward.
    """

    forwards: dict[OwnedName, Forward] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)
    routes: dict[OwnedName, Route] = field(default_factory=dict)
    purposes: dict[OwnedName, Purpose] = field(default_factory=dict)
    promoted: set[OwnedName] = field(default_factory=set)
    outbox_changed: Notifier = field(default_factory=Notifier)

    async def load(self, catalog: Catalog) -> None:
        """Read all rules from the catalog. Call it once."""
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

    def mirror(self, kind: str, id: str, row: Row | None) -> None:
        """Use a rule as it is stored. None: it was dropped."""
        if kind == "terminal":
            self._mirror_terminal(id, row)
        elif kind == "context":
            self._mirror_context(id, row)
        else:
            type, table = self._table(kind)
            if row is None:
                table.pop(_place(table, id), None)
            else:
                rule = msgspec.json.decode(row.doc, type=type)
                table[rule.owner, _name(rule)] = rule

    def ids(self, kind: str) -> list[str]:
        """Return the ids of the rows of this kind that are in the table."""
        if kind == "terminal":
            return list(self.terminals)
        places = self.promoted if kind == "context" else self._table(kind)[1]
        return [place_id(*place) for place in places]

    def _table(self, kind: str) -> tuple[type[Any], dict[OwnedName, Any]]:
        tables: dict[str, tuple[type[Any], dict[OwnedName, Any]]] = {
            "forward": (Forward, self.forwards),
            "route": (Route, self.routes),
            "purpose": (Purpose, self.purposes),
        }
        return tables[kind]

    def _mirror_terminal(self, id: str, row: Row | None) -> None:
        if row is None:
            self.terminals.pop(id, None)
        else:
            self.terminals[id] = msgspec.json.decode(row.doc, type=Terminal)

    def _mirror_context(self, id: str, row: Row | None) -> None:
        context = msgspec.json.decode(row.doc, type=Context) if row is not None else None
        if context is not None and context.next:
            self.promoted.add((context.owner, context.peer))
        else:
            self.promoted.discard(_place(self.promoted, id))

    def routes_of(self, owner: str) -> dict[str, Route]:
        """Return the owner's routes by name."""
        return {name: route for (by, name), route in self.routes.items() if by == owner}

    def forwards_of(self, owner: str) -> list[Forward]:
        """Return the owner's forwards."""
        return [forward for (by, _), forward in self.forwards.items() if by == owner]

    def forward_of(self, owner: str, source: str) -> Forward | None:
        """Return the forward of the answers of the peer `source`, if there is one."""
        return self.forwards.get((owner, source))

    def purpose_of(self, owner: str, name: str) -> str | None:
        """Return the purpose that the owner gave to a peer or terminal, if any."""
        purpose = self.purposes.get((owner, name))
        return purpose.text if purpose else None


def _place(places: Iterable[OwnedName], id: str) -> OwnedName:
    """Return the place whose row has this id; one that does not exist if there is none."""
    return next((place for place in places if place_id(*place) == id), ("", ""))


async def _all(catalog: Catalog, kind: type[R]) -> list[R]:
    rows = await catalog.find(kind_of(kind), limit=MAX_ROWS)
    return [msgspec.json.decode(row.doc, type=kind) for row in rows]


def kind_of(kind: type) -> str:
    """Return the kind of the catalog rows that hold rules of this class."""
    return kind.__name__.lower()


def row_id(value: Forward | Route | Context | Purpose) -> str:
    """Return the id of a rule's catalog row."""
    return place_id(value.owner, _name(value))


def place_id(owner: str, name: str) -> str:
    """Return the id of the catalog row of the owner's rule for `name`."""
    return f"{owner}/{name}"


def row_of(value: Rule, state: str = "kept") -> Row:
    """Return the rule as a catalog row."""
    id = value.name if isinstance(value, Terminal) else row_id(value)
    return Row(kind_of(type(value)), id, state, msgspec.json.encode(value), owner=value.owner, at=value.at)


def _name(value: Forward | Route | Context | Purpose) -> str:
    if isinstance(value, Forward):
        return value.source
    return value.peer if isinstance(value, Context) else value.name
