"""The budgets in force: those of the configuration, and those that clients set, which are catalog rows.

What is spent is in the rows of `usage`. What is reserved for running turns is only in memory: it is lost with
the hub, and so are the turns. If several hubs share a database, each has a row of it for the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from rhetor.domain.budget import GLOBAL, Amount, Budget, Reached, Standing
from rhetor.domain.budget_ledger import Ledger, Mark, Reservation
from rhetor.hub.catalog.usage import Usage
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Catalog, Row

KIND, SET = "budget", "set"
NOTE, NOTED = "budget-note", "noted"
RESERVED = "budget-reservations"  # the kind of the rows whose ids are the names of nodes
_reservations = msgspec.json.Decoder(dict[str, Reservation]).decode


async def confirm_nothing() -> bool:
    """Confirm reservations of a hub that shares its database with no other: no other node has any."""
    return False


def tell_nobody() -> None:
    """Tell no other node what is reserved."""


class Budgets:
    """All budgets, what is spent of them, and what is reserved. False if there are no budgets.

    `changed` fires when there may be more room in a budget. `usage`: has what was spent. `confirm` stores
    what is reserved here and reads what other nodes have reserved; it returns False if there are no others.
    `reserved` is called when the reservations have changed.
    """

    def __init__(self, usage: Usage, configured: Iterable[Budget] = ()) -> None:
        self.changed = Notifier()
        self._configured = {budget.name: budget for budget in configured}
        self._set: dict[str, Budget] = {}
        self._usage = usage
        self._ledger = Ledger(self._spent)
        self.confirm: Callable[[], Awaitable[bool]] = confirm_nothing
        self.reserved: Callable[[], None] = tell_nobody
        self._use()

    async def load(self, catalog: Catalog) -> None:
        """Read from the catalog which budgets clients have set, and which limits were noted."""
        rows = await catalog.find(KIND, state=SET, limit=100_000)
        self._set = {row.id: msgspec.json.decode(row.doc, type=Budget) for row in rows}
        self._use()
        for row in await catalog.find(NOTE, state=NOTED, limit=100_000):
            self._ledger.mark_noted([msgspec.json.decode(row.doc, type=Mark)])

    def mirror(self, kind: str, id: str, row: Row | None) -> None:
        """Use a row as it is stored. None: it was dropped."""
        if kind == RESERVED:
            if row is None:
                self._ledger.elsewhere.pop(id, None)
            else:
                self._ledger.elsewhere[id] = _reservations(row.doc)
            self.changed.notify()
        elif kind == NOTE:
            if row is not None:
                self._ledger.mark_noted([msgspec.json.decode(row.doc, type=Mark)])
        elif row is not None:
            self.put(msgspec.json.decode(row.doc, type=Budget))
        elif id in self._set:
            self.remove(id)

    @property
    def names_set(self) -> list[str]:
        """The names of the budgets that clients have set."""
        return list(self._set)

    def configure(self, budgets: Iterable[Budget]) -> None:
        """Replace the configured budgets."""
        self._configured = {budget.name: budget for budget in budgets}
        self._use()

    def __bool__(self) -> bool:
        return bool(self._ledger)

    def __iter__(self) -> Iterator[Budget]:
        return iter(self._ledger)

    def get(self, name: str) -> Budget | None:
        return self._ledger.get(name)

    def is_configured(self, name: str) -> bool:
        """Whether the configuration has a budget of this name."""
        return name in self._configured

    def is_set(self, name: str) -> bool:
        """Whether a client has set the budget of this name."""
        return name in self._set

    def put(self, budget: Budget) -> None:
        """Use a budget whose `row` is committed."""
        self._set[budget.name] = budget
        self._use()

    def remove(self, name: str) -> None:
        """Use the configured budget of this name again, if there is one, instead of the one that was set."""
        del self._set[name]
        self._use()

    def reserve(
        self, turn_id: str, wanted: Reservation, now: int, *, above: Collection[str], excused: Collection[str]
    ) -> Reached | None:
        """Reserve an amount for a turn, or return a limit that is reached; see `Ledger.reserve`."""
        reached = self._ledger.reserve(turn_id, wanted, now, above=above, excused=excused)
        self.reserved()
        return reached

    def took(self, turn_id: str, amount: Amount) -> None:
        """Note that a turn spent an amount, which is in the sums of `usage` now."""
        self._ledger.took(turn_id, amount)
        self.reserved()

    def release(self, turn_id: str) -> None:
        """Remove what is left of a turn's reservation, if there is one."""
        if self._ledger.release(turn_id):
            self.changed.notify()
            self.reserved()

    @property
    def reservations(self) -> Mapping[str, Reservation]:
        """What is reserved here in the budgets, by turn."""
        return self._ledger.reservations

    def keep_nodes(self, nodes: Collection[str]) -> None:
        """Count only what these other nodes have reserved."""
        lost = self._ledger.elsewhere.keys() - set(nodes)
        for node in lost:
            del self._ledger.elsewhere[node]
        if lost:
            self.changed.notify()

    def standings(self, name: str, now: int) -> Sequence[Standing]:
        """Return how much of each limit of a budget is used now."""
        return self._ledger.standings(name, now)

    def to_note(self, names: Iterable[str], now: int, more: Amount) -> Sequence[Standing]:
        """Return the limits of which most is used when `more` is spent, and that were not noted in this
        period. The caller commits the `note_row` of each."""
        return self._ledger.to_note(names, now, more)

    def _use(self) -> None:
        self._ledger.use((self._configured | self._set).values())
        self.changed.notify()

    def _spent(self, name: str, since: str) -> Amount:
        kind, _, own = name.partition(".")
        total = self._usage.total("" if kind == GLOBAL else kind, own, since)
        return Amount(total.input_tokens + total.output_tokens, total.cost, total.unpriced)


def row(budget: Budget, now: int) -> Row:
    """Return the row of a budget that a client sets."""
    return Row(KIND, budget.name, SET, msgspec.json.encode(budget), at=now)


def note_row(standing: Standing) -> Row:
    """Return the row which says that a limit was noted. It replaces that of the period before."""
    doc = msgspec.json.encode(Mark.of(standing))
    return Row(NOTE, f"{standing.name}/{standing.measure}", NOTED, doc, at=standing.starts_at)
