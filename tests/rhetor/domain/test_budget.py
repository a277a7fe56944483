"""Budgets: periods, what is spent and reserved, and when a limit is reached."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from rhetor.domain.budget import (
    Amount,
    Budget,
    Measure,
    Standing,
    amount_text,
    names_for,
    period_of,
    raised,
    with_limit,
)
from rhetor.domain.budget_ledger import FIRST_ANSWER, FIRST_PRICE, Ledger, Reservation, estimate
from rhetor.domain.event import TurnCompleted
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.usage import day_of
from tests.scale import scaled

NOON = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()) * 1000
DAY = 86_400_000


class Books:
    """A ledger, and what was spent for all names together, by day."""

    def __init__(self, *budgets: Budget, spent: dict[str, Amount] | None = None) -> None:
        self.spent = dict(spent or {})
        self.ledger = Ledger(self._since)
        self.ledger.use(budgets)

    def _since(self, name: str, since: str) -> Amount:
        found = [amount for day, amount in self.spent.items() if day >= since]
        usd = sum((a.usd for a in found), start=Decimal(0))
        return Amount(sum(a.tokens for a in found), usd, sum(a.unpriced for a in found))

    def spend(self, turn_id: str, amount: Amount, at: int = NOON) -> None:
        before = self._since("", day_of(at))
        usd, unpriced = before.usd + amount.usd, before.unpriced + amount.unpriced
        self.spent[day_of(at)] = Amount(before.tokens + amount.tokens, usd, unpriced)
        self.ledger.took(turn_id, amount)


def wanted(tokens: int = 0, usd: str = "0", peer: str = "apollo", origin: str = "m") -> Reservation:
    return Reservation(names_for(peer, "web", "kim"), Amount(tokens, Decimal(usd)), peer, origin)


def standing(measure: Measure, limit: str, spent: str, reserved: str = "0") -> Standing:
    return Standing("global", measure, Decimal(limit), Decimal(spent), Decimal(reserved), 0, 1)


def figures(standing: Standing) -> tuple[float, float]:
    """Return what is spent and what is reserved."""
    return float(standing.spent), float(standing.reserved)


def test_a_day_and_a_month_begin_at_midnight_in_utc() -> None:
    midnight = NOON - DAY // 2
    assert period_of("tokens_per_day", NOON) == (midnight, midnight + DAY)
    assert period_of("tokens_per_day", midnight) == (midnight, midnight + DAY)
    assert period_of("usd_per_month", NOON) == (midnight - 30 * DAY, midnight + DAY)


@given(st.integers(0, 4 * 10**12), st.sampled_from(["usd_per_day", "usd_per_month", "tokens_per_day"]))
def test_every_time_is_in_its_period(at: int, measure: Measure) -> None:
    start, end = period_of(measure, at)
    assert start <= at < end
    assert period_of(measure, start) == period_of(measure, end - 1) == (start, end)
    assert period_of(measure, end)[0] == end


def test_a_call_draws_on_the_budgets_of_its_peer_project_and_callers() -> None:
    assert names_for("apollo", "web", "kim") == ("global", "peer.apollo", "project.web", "caller.kim")
    assert names_for("apollo", "", "kim") == ("global", "peer.apollo", "caller.kim")


@pytest.mark.parametrize(
    ("name", "is_reached"),
    [
        ("global", True),
        ("peer.apollo", True),
        ("project.web", True),
        ("caller.kim", True),
        ("peer.athena", False),
    ],
)
def test_each_kind_of_budget_is_checked(name: str, is_reached: bool) -> None:
    books = Books(Budget(name, tokens_per_day=10), spent={"2026-01-31": Amount(10)})
    assert (books.ledger.reserve("t", wanted(1), NOON) is not None) is is_reached


def test_a_call_may_begin_until_the_limit_is_spent_or_reserved() -> None:
    found = Books(Budget("global", tokens_per_day=10)).ledger
    assert found.reserve("t1", wanted(9), NOON) is None
    assert found.reserve("t2", wanted(50), NOON) is None
    reached = found.reserve("t3", wanted(1), NOON)
    assert reached is not None
    assert figures(reached.standing) == (0, 59)
    assert not reached.is_spent
    found.release("t2")
    assert found.reserve("t3", wanted(1), NOON) is None


def test_a_limit_of_zero_lets_no_call_begin() -> None:
    reached = Books(Budget("global", usd_per_day=Decimal(0))).ledger.reserve("t", wanted(), NOON)
    assert reached is not None
    assert reached.is_spent


def test_what_a_turn_takes_replaces_its_reservation() -> None:
    books = Books(Budget("global", tokens_per_day=100, usd_per_month=Decimal(1)))
    found = books.ledger
    found.reserve("t", wanted(60, "0.5"), NOON)
    books.spend("t", Amount(20, Decimal("0.1")))
    assert [figures(s) for s in found.standings("global", NOON)] == [(0.1, 0.4), (20, 40)]
    books.spend("t", Amount(70, Decimal("0.1"), 1))
    found.release("t")
    assert [(*figures(s), s.unpriced) for s in found.standings("global", NOON)] == [(0.2, 0, 1), (90, 0, 1)]


def test_a_new_period_has_the_whole_limit_again() -> None:
    spent = {"2026-01-30": Amount(7, Decimal(3)), "2026-01-31": Amount(5, Decimal(1))}
    books = Books(Budget("global", tokens_per_day=5, usd_per_month=Decimal(9)), spent=spent)
    assert [s.spent for s in books.ledger.standings("global", NOON)] == [4, 5]
    books.spend("t", Amount(1), NOON + DAY)
    assert [s.spent for s in books.ledger.standings("global", NOON + DAY)] == [0, 1]


def test_what_is_reserved_for_the_turn_that_waits_for_an_answer_does_not_stop_that_answer() -> None:
    found = Books(Budget("global", tokens_per_day=10)).ledger
    found.reserve("parent", wanted(10, peer="codex"), NOON)
    child = wanted(5, peer="apollo")
    assert found.reserve("child", child, NOON) is not None
    assert found.reserve("child", child, NOON, above=["codex"]) is None
    stranger = wanted(5, peer="athena", origin="another")
    assert found.reserve("stranger", stranger, NOON, above=["codex"]) is not None


def test_an_excused_budget_is_not_checked_but_counts_the_call() -> None:
    found = Books(Budget("global", tokens_per_day=0), Budget("peer.apollo", tokens_per_day=0)).ledger
    reached = found.reserve("t", wanted(3), NOON, excused=["global"])
    assert reached is not None
    assert reached.standing.name == "peer.apollo"
    assert found.reserve("t", wanted(3), NOON, excused=["global", "peer.apollo"]) is None
    assert [s.reserved for s in found.standings("global", NOON)] == [3]


def test_a_limit_is_noted_once_in_a_period_when_most_of_it_is_used() -> None:
    books = Books(Budget("global", tokens_per_day=10), Budget("peer.apollo", tokens_per_day=0))
    found, names = books.ledger, ["global", "peer.apollo"]
    books.spend("t", Amount(6))
    assert found.to_note(names, NOON, Amount(1)) == []
    assert [(s.name, s.share) for s in found.to_note(names, NOON, Amount(2))] == [("global", 0.8)]
    assert found.to_note(names, NOON, Amount(3)) == []
    assert [s.spent for s in found.to_note(names, NOON + DAY, Amount(9))] == [9]


def test_amounts_are_described_as_people_write_them() -> None:
    assert str(standing("tokens_per_day", "1000", "900")) == "900 of 1,000 tokens per day"
    assert str(standing("usd_per_month", "5", "1.23456")) == "$1.2346 of $5.00 per month"
    assert amount_text("usd_per_day", Decimal("1250.5")) == "$1,250.50 per day"


@pytest.mark.parametrize(
    ("measure", "limit", "spent", "more", "found"),
    [
        ("tokens_per_day", "1000", "1000", 100, "1500"),
        ("tokens_per_day", "0", "0", 0, "1"),
        ("tokens_per_day", "10", "12345", 100, "13000"),
        ("usd_per_day", "1", "1", "0.01", "1.5"),
        ("usd_per_day", "0.01", "0.01", "0.001", "0.02"),
        ("usd_per_month", "0", "0", "0", "0.01"),
    ],
)
def test_the_next_limit_is_half_as_much_again_and_enough_for_the_call(
    measure: Measure, limit: str, spent: str, more: str, found: str
) -> None:
    assert raised(standing(measure, limit, spent), Decimal(more)) == Decimal(found)


@given(
    st.sampled_from(["usd_per_day", "tokens_per_day"]),
    *(st.integers(0, 10**12) for _ in range(4)),
)
def test_after_raising_there_is_room(
    measure: Measure, limit: int, spent: int, reserved: int, more: int
) -> None:
    now = standing(measure, str(limit), str(spent), str(reserved))
    assert raised(now, Decimal(more)) > max(Decimal(limit), now.spent + now.reserved)


def test_raising_one_limit_keeps_the_others() -> None:
    budget = Budget("global", Decimal(1), Decimal(2), 3, "athena")
    assert with_limit(budget, "tokens_per_day", Decimal(9)) == Budget(
        "global", Decimal(1), Decimal(2), 9, "athena"
    )


def test_a_peer_without_past_turns_reserves_its_input_and_one_long_answer() -> None:
    assert estimate(PeerStats(), 401) == Amount(101 + FIRST_ANSWER, (101 + FIRST_ANSWER) * FIRST_PRICE)


def test_a_peer_with_past_turns_reserves_twice_their_mean_or_its_input() -> None:
    usage = {"input_tokens": 60, "output_tokens": 40}
    stats = PeerStats().after(TurnCompleted("m", "", "stop", usage, "0.002"), 0)
    assert estimate(stats, 40) == Amount(200, Decimal("0.004"))
    assert estimate(stats, 4000) == Amount(1000, Decimal("0.02"))
    unpriced = PeerStats().after(TurnCompleted("m", "", "stop", usage, None), 0)
    assert estimate(unpriced, 40) == Amount(200, Decimal(0))


class LedgerMachine(RuleBasedStateMachine):
    """Turns begin and end in any order, and take at most what they reserve."""

    turns = Bundle("turns")

    @initialize(limit=st.integers(0, 1000))
    def begin(self, limit: int) -> None:
        self.limit = limit
        self.books = Books(Budget("global", tokens_per_day=limit))
        self.ledger = self.books.ledger
        self.open: dict[str, int] = {}
        self.spent = self.largest = self.count = 0

    @rule(target=turns, tokens=st.integers(0, 300))
    def reserve(self, tokens: int) -> object:
        self.count += 1
        id = str(self.count)
        held = self.spent + sum(self.open.values())
        reached = self.ledger.reserve(id, wanted(tokens), NOON)
        assert (reached is None) is (held < self.limit)
        if reached is not None:
            return multiple()
        self.open[id], self.largest = tokens, max(self.largest, tokens)
        return id

    @rule(id=turns, share=st.floats(0, 1))
    def spend(self, id: str, share: float) -> None:
        self._spend(id, int(self.open[id] * share))

    @rule(id=consumes(turns), share=st.floats(0, 1))
    def settle(self, id: str, share: float) -> None:
        self._spend(id, int(self.open[id] * share))
        self.ledger.release(id)
        del self.open[id]

    def _spend(self, id: str, tokens: int) -> None:
        self.books.spend(id, Amount(tokens))
        self.open[id] -= tokens
        self.spent += tokens

    @invariant()
    def sums_are_exact_and_the_limit_is_exceeded_by_one_reservation_at_most(self) -> None:
        (now,) = self.ledger.standings("global", NOON)
        assert figures(now) == (self.spent, sum(self.open.values()))
        assert now.spent + now.reserved <= max(self.limit - 1, 0) + self.largest


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=scaled(500, 30), stateful_step_count=30, deadline=None)
