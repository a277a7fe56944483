"""Usage: what events add to the sums, and how the sums are grouped."""

from __future__ import annotations

from decimal import Decimal

from rhetor.domain.event import (
    Event,
    Payload,
    Position,
    TurnCompleted,
    TurnInterrupted,
    TurnStarted,
    UsageReported,
)
from rhetor.domain.usage import Amounts, Cell, Source, Turns, TurnUsage, count, day_of, fold, start_of
from rhetor.domain.usage_report import Group, report

DAY = "2026-11-30"
SOURCE = Source("apollo", "me", "site", "s_1")
RUNNING = TurnUsage(started=True)
DONE = TurnCompleted("m", "text", "stop")
CUT = TurnInterrupted("gone")


def usage(model: str | None = "x/m", cost: str | None = "0.1", tokens: int = 10) -> UsageReported:
    return UsageReported(model, tokens, 1, None, cost)


def cell(model: str, day: str = DAY) -> Cell:
    return Cell(day, "apollo", model, "site", "me")


def test_a_turn_counts_for_the_model_that_it_used_last_and_once_if_its_price_is_unknown() -> None:
    found = count(SOURCE, RUNNING, [usage(), usage("y/n", None), usage("z/o", None), DONE], DAY)
    assert found.amounts == {
        cell("x/m"): Amounts(priced=1, input_tokens=10, output_tokens=1, cost=Decimal("0.1")),
        cell("y/n"): Amounts(unpriced=1, input_tokens=10, output_tokens=1),
        cell("z/o"): Amounts(turns=1, input_tokens=10, output_tokens=1),
    }
    assert (found.sessions, found.turn) == ([cell("z/o")], None)


def test_a_price_that_is_no_number_is_unknown_and_0_is_known() -> None:
    for cost, known in (("NaN", None), ("-1", None), ("Infinity", None), (None, None), ("0", "0")):
        [found] = count(SOURCE, RUNNING, [usage(cost=cost)], DAY).amounts.values()
        assert (found.known_cost, found.unpriced) == (known, int(known is None))


def test_a_turn_that_reports_after_its_end_is_no_longer_one_that_reported_nothing() -> None:
    ended = count(SOURCE, RUNNING, [CUT], "2026-11-29")
    assert ended.amounts == {cell("", "2026-11-29"): Amounts(turns=1, unreported=1)}
    assert ended.turn is not None
    late = count(SOURCE, ended.turn, [usage(cost=None)], DAY)
    assert late.amounts == {
        cell("", "2026-11-29"): Amounts(unreported=-1),
        cell("x/m"): Amounts(unpriced=1, input_tokens=10, output_tokens=1),
    }
    assert late.turn is not None
    again = count(SOURCE, late.turn, [usage(cost=None)], DAY)
    assert again.amounts == {cell("x/m"): Amounts(input_tokens=10, output_tokens=1)}


def test_a_turn_that_never_started_does_not_count() -> None:
    assert count(SOURCE, TurnUsage(), [CUT], DAY).amounts == {}


def test_a_day_ends_at_midnight_in_utc() -> None:
    begin = start_of(DAY)
    assert [day_of(begin - 1), day_of(begin), day_of(begin + 86_399_999)] == ["2026-11-29", DAY, DAY]


def test_a_fold_continues_from_page_to_page() -> None:
    at = start_of(DAY)
    payloads: list[Payload] = [TurnStarted("apollo"), usage(), DONE]
    events = [Event("s_1", Position("e", n), at, p, "t1") for n, p in enumerate(payloads, 1)]
    turns, amounts, sessions = Turns(), dict[Cell, Amounts](), dict[tuple[str, Cell], None]()
    for event in events:
        fold([event], lambda _: SOURCE, turns, amounts, sessions)
    assert amounts == {
        cell("x/m"): Amounts(turns=1, priced=1, input_tokens=10, output_tokens=1, cost=Decimal("0.1"))
    }
    assert list(sessions) == [("s_1", cell("x/m"))]


def test_only_the_last_turns_that_were_not_answered_are_remembered() -> None:
    turns = Turns()
    turns.put("running", TurnUsage(started=True))
    for number in range(2_000):
        turns.put(f"t{number}", TurnUsage(unpriced=True))
    assert turns.get("t1999").unpriced
    assert not turns.get("t0").unpriced
    assert turns.get("running").started


def test_a_session_is_counted_once_in_each_group_and_once_in_all() -> None:
    priced, unpriced = Amounts(turns=2, priced=1, cost=Decimal("0.1")), Amounts(turns=1, unpriced=1, once=1)
    sums = [(cell("x/m"), priced), (cell("", "2026-11-29"), unpriced)]
    sessions = [("s_1", cell("x/m")), ("s_1", cell("")), ("s_2", cell("x/m"))]
    found = report("model", sums, sessions)
    assert found.groups == [Group(None, 2, unpriced), Group("x/m", 2, priced)]
    assert found.total == Group(None, 3, priced + unpriced)
    assert report("project", [], []).total == Group(None, 0, Amounts())
