"""What budgets have left: amounts are reserved before a call and replaced by what it really took.

A call may begin while less than a limit is spent and reserved. So a limit is exceeded by at most one
reservation, however many calls begin at once, if no call takes more than its reservation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from .budget import Amount, Budget, Measure, Reached, Standing, period_of
from .peer_stats import PeerStats
from .usage import day_of

ZERO, SMALLEST = Decimal(0), Decimal("0.000001")
CHARACTERS_PER_TOKEN = 4
FIRST_ANSWER = 4096  # tokens
FIRST_PRICE = Decimal("0.00001")  # USD per token: 10 USD per million
Spent = Callable[[str, str], Amount]  # what was spent for the name of a budget since a day


class Mark(Struct, frozen=True, array_like=True):
    """A limit of which most was used in the period from `starts_at`. `limit`: its value, in digits."""

    name: str
    measure: Measure
    starts_at: int
    limit: str = ""

    @classmethod
    def of(cls, standing: Standing) -> Mark:
        return cls(standing.name, standing.measure, standing.starts_at, f"{standing.limit:f}")


class Reservation(Struct, frozen=True):
    """What is reserved for a turn in the budgets `names`. `peer` and `origin`: who answers, and the original
    message from which the turn follows."""

    names: tuple[str, ...]
    amount: Amount
    peer: str
    origin: str


class Ledger:
    """The budgets, and what is reserved for running turns. `spent`: returns what was spent since a day of the
    current month. `elsewhere`: what other nodes have reserved, by node and turn."""

    def __init__(self, spent: Spent) -> None:
        self._spent = spent
        self._budgets: dict[str, Budget] = {}
        self._reservations: dict[str, Reservation] = {}
        self.elsewhere: dict[str, Mapping[str, Reservation]] = {}
        self._noted: set[Mark] = set()

    def __bool__(self) -> bool:
        """Whether there are budgets."""
        return bool(self._budgets)

    def __iter__(self) -> Iterator[Budget]:
        return iter(self._budgets.values())

    def get(self, name: str) -> Budget | None:
        return self._budgets.get(name)

    def use(self, budgets: Iterable[Budget]) -> None:
        """Replace all budgets. Reservations stay."""
        self._budgets = {budget.name: budget for budget in budgets}

    def reserve(
        self,
        turn_id: str,
        wanted: Reservation,
        at: int,
        *,
        above: Collection[str] = (),
        excused: Collection[str] = (),
    ) -> Reached | None:
        """Reserve an amount for a turn, in place of what it had reserved. Return a limit that is reached
        instead, if there is one; then nothing is reserved.

        `above`: the peers that wait for this turn's answer; what is reserved for their turns does not stand
        in its way. `excused`: the names of budgets that are not to be checked.
        """
        self._reservations.pop(turn_id, None)
        for name in wanted.names:
            if name not in self._budgets or name in excused:
                continue
            if reached := self._reached(name, wanted, at, above):
                return reached
        self._reservations[turn_id] = wanted
        return None

    def release(self, turn_id: str) -> bool:
        """Remove what is left of a turn's reservation; return False if there is none."""
        return self._reservations.pop(turn_id, None) is not None

    def took(self, turn_id: str, amount: Amount) -> None:
        """Note that a turn spent an amount: its reservation becomes smaller by the same amount."""
        if held := self._reservations.get(turn_id):
            self._reservations[turn_id] = replace(held, amount=held.amount.less(amount))

    @property
    def reservations(self) -> Mapping[str, Reservation]:
        """What is reserved here in the budgets, by turn."""
        return {
            turn_id: held
            for turn_id, held in self._reservations.items()
            if not self._budgets.keys().isdisjoint(held.names)
        }

    def standings(self, name: str, at: int) -> Sequence[Standing]:
        """Return how much of each limit of a budget is used at a time (Unix time in milliseconds)."""
        budget = self._budgets.get(name)
        return [self._standing(name, m, at) for m, _ in budget.limits] if budget else []

    def to_note(self, names: Iterable[str], at: int, more: Amount) -> Sequence[Standing]:
        """Return the limits of which most is used when `more` is spent, and mark them, so that each is
        returned once in a period, and again if its value changes."""
        known = (standing for name in names for standing in self.standings(name, at))
        after = (replace(s, spent=s.spent + more.measured(s.measure)) for s in known)
        found = [standing for standing in after if standing.is_to_be_noted]
        new = [standing for standing in found if Mark.of(standing) not in self._noted]
        self.mark_noted(map(Mark.of, new))
        return new

    def mark_noted(self, noted: Iterable[Mark]) -> None:
        """Mark limits as noted."""
        self._noted.update(noted)

    def _all(self) -> Iterator[Reservation]:
        yield from self._reservations.values()
        for held in self.elsewhere.values():
            yield from held.values()

    def _reached(self, name: str, wanted: Reservation, at: int, above: Collection[str]) -> Reached | None:
        budget = self._budgets[name]
        for measure, limit in budget.limits:
            standing = self._standing(name, measure, at, (wanted.origin, above))
            if standing.spent + standing.reserved >= limit:
                return Reached(standing, budget.fallback)
        return None

    def _standing(
        self, name: str, measure: Measure, at: int, without: tuple[str, Collection[str]] = ("", ())
    ) -> Standing:
        start, end = period_of(measure, at)
        spent = self._spent(name, day_of(start))
        origin, above = without
        reserved = (
            held.amount.measured(measure)
            for held in self._all()
            if name in held.names and not (held.peer in above and held.origin == origin)
        )
        return Standing(
            name,
            measure,
            dict(self._budgets[name].limits)[measure],
            spent.measured(measure),
            sum(reserved, start=ZERO),
            start,
            end,
            spent.unpriced,
        )


def estimate(stats: PeerStats, characters: int) -> Amount:
    """Return what to reserve for a turn whose input has this many characters.

    That is twice what the peer's past turns took on average, and at least the input. For a peer without past
    turns, it is the input and an answer of `FIRST_ANSWER` tokens. The price is that of its past turns: 0 if
    the price of none of them is known, and `FIRST_PRICE` if there are none.
    """
    given = -(-characters // CHARACTERS_PER_TOKEN)
    if not stats.metered:
        tokens = given + FIRST_ANSWER
        return Amount(tokens, tokens * FIRST_PRICE)
    tokens = max(given, round(2 * stats.used / stats.metered))
    price = Decimal(stats.cost / stats.tokens) if stats.tokens else ZERO
    return Amount(tokens, (tokens * price).quantize(SMALLEST))
