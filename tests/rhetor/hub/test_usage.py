"""The rows of usage: committed with the events that they count, and always equal to a fold over the log."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.hub.house import ME, OTHER, House, house
from tests.rhetor.hub.plans.test_plans import PIPELINE
from tests.rhetor.hub.test_recovery import crashed
from tests.rhetor.hub.usage_counts import Sums, folded_usage, plain_sums, stored_usage
from tests.scale import scaled

from rhetor.domain import event as ev
from rhetor.domain.command import (
    ForkSession,
    InterruptSession,
    MakeCheckpoint,
    RestoreSession,
    SaveSession,
    SendMessage,
    StartPlan,
    StartSession,
    StopSession,
)
from rhetor.domain.output import Done, PassedOn, Text, Usage
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.usage import Amounts, Cell, day_of
from rhetor.domain.usage_report import GROUPINGS, Grouping
from rhetor.errors import ProviderCut
from rhetor.hub.catalog.usage import KIND, SESSION
from rhetor.hub.catalog.usage_of_log import FOLDED
from rhetor.hub.core.ids import Ids
from rhetor.hub.plans.plans import Planned
from rhetor.hub.sessions.usage import usage
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

PRICED = [Text("a"), Usage("x/m", 10, 2, cost="0.10"), Done()]
UNPRICED = [Text("a"), Usage("y/n", 5, 1), Done()]
CUT = ProviderCut("gone", retryable=True)


async def counted(home: House) -> Sums:
    """Return the sums, which must be those of the whole log."""
    sums, sessions = await stored_usage(home.store)
    assert (sums, sessions) == await folded_usage(home.store)
    return sums


def amounts(sums: Sums, **wanted: str) -> list[Amounts]:
    return [a for cell, a in sums.items() if all(getattr(cell, k) == v for k, v in wanted.items())]


async def test_a_turn_counts_when_it_ends_and_its_tokens_count_for_each_model() -> None:
    script = [Usage("x/m", 10, 2, cost="0.10"), Usage("y/n", 5, 1), Usage("y/n", 7, 1), Text("a"), Done()]
    async with house(script) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        sums = await counted(home)
        [day] = {cell.day for cell in sums}
        assert sums == {
            Cell(day, "apollo", "x/m", "", "me"): Amounts(
                priced=1, input_tokens=10, output_tokens=2, cost=Decimal("0.10")
            ),
            Cell(day, "apollo", "y/n", "", "me"): Amounts(
                turns=1, unpriced=1, once=1, input_tokens=12, output_tokens=2
            ),
        }


@pytest.mark.parametrize("ending", ["fails", "is interrupted", "is cancelled"])
async def test_tokens_of_a_turn_that_is_not_answered_count(ending: str) -> None:
    gate = asyncio.Event()
    script = [Text("a"), *PRICED[1:2], CUT if ending == "fails" else gate]
    async with house(script) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=2)
        if ending != "fails":
            await home.until(accepted.session_id, accepted.after, ev.UsageReported)
            runner = home.hub.state.runners[accepted.session_id].current
            assert runner is not None
            how = "interrupt" if ending == "is interrupted" else "cancel"
            runner.stop(lambda turn: getattr(turn, how)("test"))
        await home.end_of(accepted)
        [only] = (await counted(home)).values()
        assert only == Amounts(turns=1, priced=1, input_tokens=10, output_tokens=2, cost=Decimal("0.10"))


async def test_a_turn_that_reports_nothing_is_counted_as_such() -> None:
    async with house([CUT], [Text("a"), Done()]) as home:
        for _ in range(2):
            await home.end_of(await home.send(target="apollo", content="hi"))
        [only] = (await counted(home)).values()
        assert only == Amounts(turns=2, unreported=2, once=2)


async def test_steps_of_plans_count_for_their_caller_and_peers() -> None:
    async with house(PRICED, UNPRICED) as home:
        await home.run_plan(StartPlan(PIPELINE))
        sums = await counted(home)
        assert {(cell.peer, cell.model, cell.caller): a.turns for cell, a in sums.items()} == {
            ("athena", "x/m", "me"): 1,
            ("apollo", "y/n", "me"): 1,
        }
        assert sum(a.once for a in sums.values()) == 0


async def test_a_turn_that_is_passed_on_counts_what_each_peer_used_for_that_peer() -> None:
    script = [Usage("x/m", 10, 2), PassedOn("athena"), Text("a"), Usage("y/n", 5, 1), Done()]
    async with house(script, [*script[:2], Text("a"), Done()]) as home:
        for _ in range(2):
            await home.end_of(await home.send(target="apollo", content="hi"))
        sums = await counted(home)
        assert {(c.peer, c.model): (a.turns, a.input_tokens) for c, a in sums.items()} == {
            ("apollo", "x/m"): (0, 20),
            ("athena", "y/n"): (1, 5),
            ("athena", ""): (1, 0),
        }


async def test_a_message_that_was_cancelled_before_its_turn_began_does_not_count() -> None:
    gate = asyncio.Event()
    async with house([Text("a"), gate, Done()]) as home:
        first = await home.send(target="apollo", content="hi", context_window=2)
        await home.send(session_id=first.session_id, content="again")
        await home.until(first.session_id, first.after, ev.TurnQueued)
        await home.execute(StopSession(first.session_id))
        await home.end_of(first)
        assert [a.turns for a in (await counted(home)).values()] == [1]


async def test_a_session_for_one_message_that_is_saved_meanwhile_counts_once() -> None:
    gate = asyncio.Event()
    async with house([Text("a"), gate, Done()], PRICED) as home:
        first = await home.send(target="apollo", content="hi")
        await home.until(first.session_id, first.after, ev.OutputDelta)
        await home.execute(SaveSession(first.session_id, "kept"))
        gate.set()
        await home.end_of(first)
        await home.end_of(await home.send(session_id=first.session_id, content="again"))
        await counted(home)
        found = await usage(home.hub.state, ME, "day")
        assert (found.total.sessions, found.total.amounts.turns) == (1, 2)


async def test_forks_and_restores_count_nothing_twice_and_forget_nothing() -> None:
    async with house(*[PRICED] * 4) as home:
        session = await home.hub.execute(ME, StartSession("apollo", project_id="site"))
        assert isinstance(session, Session)
        await home.end_of(await home.send(session_id=session.id, content="one"))
        await home.execute(MakeCheckpoint(session.id, "here"))
        await home.end_of(await home.send(session_id=session.id, content="two"))
        await home.execute(RestoreSession(session.id, "here"))
        await home.end_of(await home.send(session_id=session.id, content="three"))
        forked = await home.hub.execute(ME, ForkSession(session.id))
        await home.end_of(await home.send(session_id=forked.session.id, content="four"))
        [(cell, only)] = (await counted(home)).items()
        assert (cell.project, only.turns, only.input_tokens) == ("site", 4, 40)
        found = await usage(home.hub.state, ME, "project")
        assert [(group.key, group.sessions) for group in found.groups] == [("site", 2)]


def _script(draw: random.Random) -> list[Any]:
    script: list[Any] = []
    for _ in range(draw.randrange(4)):
        cost = draw.choice([None, "0", f"0.{draw.randrange(10**9):09}"])
        script.append(
            Usage(draw.choice([None, "x/m", "y/n"]), draw.randrange(99), draw.randrange(99), None, cost)
        )
        script.append(Text("a"))
    return [*script, draw.choice([Done(), Done(), Done(), CUT, asyncio.Event()])]


async def _random_use(home: House, draw: random.Random, ids: list[str]) -> None:
    principal = draw.choice([ME, OTHER])
    peer = draw.choice(["apollo", "athena"])
    match draw.choice(["once", "new", "old", "old", "plan"]):
        case "once":
            command: Any = SendMessage("hi", peer)
        case "new":
            project = draw.choice([None, "site"])
            session = await home.hub.execute(ME, StartSession(peer, ttl=1e9, project_id=project))
            ids.append(session.id)
            return
        case "old" if ids:
            principal, command = ME, SendMessage("hi", session_id=draw.choice(ids))
        case _:
            planned: Planned = await home.hub.execute(principal, StartPlan(PIPELINE))
            async with asyncio.timeout(0.3):
                await home.until(planned.plan_id, planned.after, ev.PlanEnded)
            return
    accepted = await home.hub.execute(principal, command)
    try:
        async with asyncio.timeout(0.05):
            await home.end_of(accepted)
    except TimeoutError:
        runner = home.hub.state.runners.get(accepted.session_id)
        if runner and runner.current:
            runner.current.stop(lambda turn: turn.interrupt("test"))
        await home.end_of(accepted)


@pytest.mark.parametrize("seed", range(scaled(30, 1)))
async def test_the_rows_equal_the_fold_over_the_log_and_sums_computed_in_plain_loops(seed: int) -> None:
    draw = random.Random(seed)
    time = [1_700_000_000_000]
    store = MemoryStore(clock=lambda: time[0])
    scripts = [_script(draw) for _ in range(60)]
    ids: list[str] = []
    async with house(*scripts, store=store) as home:
        home.hub.state.ids = Ids(lambda: time[0])
        for _ in range(40):
            time[0] += draw.randrange(20_000_000)  # up to a few hours
            try:
                await _random_use(home, draw, ids)
            except TimeoutError:
                pass  # a step of the plan waits; it is interrupted at the end
    sums, sessions = await stored_usage(store)
    assert (sums, sessions) == await folded_usage(store)
    async with house(store=store) as home:
        for by in GROUPINGS:
            await _equal(home, by)


async def _equal(home: House, by: Grouping) -> None:
    plain = await plain_sums(home.store, by)
    found = await usage(home.hub.state, ME, by)
    assert {group.key or "": group.amounts.turns for group in found.groups} == {
        key: each["turns"] for key, each in plain.items()
    }
    for group in found.groups:
        each = plain[group.key or ""]
        assert group.sessions == len(each["sessions"]), (by, group.key)
        assert (group.amounts.input_tokens, group.amounts.output_tokens) == (each["input"], each["output"])
        known = group.amounts.known_cost
        assert (known is not None) == each["priced"]
        assert Decimal(known or 0) == each["cost"]
    whole = set().union(*(each["sessions"] for each in plain.values()))
    assert found.total.sessions == len(whole)
    assert found.total.amounts.turns == sum(each["turns"] for each in plain.values())


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    opened = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    yield opened
    await opened.aclose()


async def test_after_a_crash_each_report_is_counted_once(tmp_path: Path, store: SqliteStore) -> None:
    gate = asyncio.Event()
    script = [Text("a"), *PRICED[1:2], Text("b"), gate]
    async with house(script, script, store=store) as dead:
        accepted = await dead.send(target="apollo", content="hi")
        planned: Planned = await dead.hub.execute(ME, StartPlan(PIPELINE))
        await dead.until(accepted.session_id, accepted.after, ev.UsageReported)
        await dead.until(planned.plan_id, planned.after, ev.UsageReported)
        assert [a.turns for a in (await counted(dead)).values()] == [0, 0]
        async with crashed(tmp_path) as again:
            sums = await counted(again)
            assert {cell.peer: (a.turns, a.input_tokens, a.once) for cell, a in sums.items()} == {
                "apollo": (1, 10, 1),
                "athena": (1, 10, 0),
            }
        async with crashed(tmp_path) as third:
            assert await counted(third) == sums


async def test_after_a_crash_the_question_of_an_agent_counts_for_the_caller_and_project_of_that_agent(
    tmp_path: Path, store: SqliteStore
) -> None:
    runs, gate = asyncio.Barrier(2), asyncio.Event()
    async with house([runs, gate], [*PRICED[:2], Text("b"), gate], store=store) as dead:
        session: Any = await dead.execute(StartSession("apollo", project_id="web"))
        await dead.send(session_id=session.id, content="hi")
        await runs.wait()
        agent = Principal.agent("apollo", local=True)
        inner = await dead.hub.execute(agent, SendMessage("help", "athena"))
        await dead.until(inner.session_id, inner.after, ev.UsageReported)
        async with crashed(tmp_path) as again:
            sums, _ = await stored_usage(again.store)
            [(cell, found)] = [(cell, a) for cell, a in sums.items() if cell.peer == "athena"]
            assert (cell.caller, cell.project) == ("me", "web")
            assert (found.turns, found.input_tokens, found.unreported) == (1, 10, 0)


async def test_a_log_without_rows_is_counted_once_when_a_hub_opens_it(store: SqliteStore) -> None:
    async with house(PRICED, UNPRICED, PRICED, store=store) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        await home.end_of(await home.send(target="athena", content="hi", context_window=2))
        await home.run_plan(StartPlan(PIPELINE))
    before = await stored_usage(store)
    assert before == await folded_usage(store)
    rows = [*await store.find(KIND), *await store.find(SESSION), *await store.find(FOLDED)]
    await store.commit("hub", [], drop=[(row.kind, row.id) for row in rows])
    for _ in range(2):
        async with house(store=store):
            assert await stored_usage(store) == before


async def test_sums_of_this_month_are_kept_in_memory_if_they_were_loaded() -> None:
    async with house(PRICED, UNPRICED, PRICED) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        ledger, today = home.hub.state.usage, day_of(home.hub.state.ids.now())
        await ledger.load(home.store, home.hub.state.ids.now())
        assert ledger.total("", "", today).input_tokens == 10
        assert ledger.total("peer", "athena", today).input_tokens == 0
        await home.end_of(await home.send(target="athena", content="hi"))
        await home.end_of(await home.send(target="athena", content="hi"))
        assert ledger.total("", "", today).input_tokens == 25
        assert ledger.total("peer", "athena", today).cost == Decimal("0.10")
        assert ledger.total("caller", "me", f"{today[:7]}-01").turns == 3
        assert ledger.total("caller", "me", "9999-01-01").turns == 0


async def test_others_see_their_own_usage_only() -> None:
    async with house(PRICED, PRICED) as home:
        for principal in (ME, OTHER):
            accepted = await home.hub.execute(principal, SendMessage("hi", "apollo"))
            await home.end_of(accepted)
        everything = await usage(home.hub.state, ME, "caller")
        assert [group.key for group in everything.groups] == ["me", "somebody else"]
        own = await usage(home.hub.state, Principal.person("me"), "caller")
        assert [(group.key, group.amounts.turns) for group in own.groups] == [("me", 1)]
        agents = await usage(home.hub.state, Principal.agent("apollo", local=True), "caller")
        assert (agents.groups, agents.total.amounts.turns) == ([], 0)


async def test_interrupting_a_session_counts_the_turn() -> None:
    async with house([Text("a"), asyncio.Event()]) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=2)
        await home.until(accepted.session_id, accepted.after, ev.OutputDelta)
        await home.execute(InterruptSession(accepted.session_id))
        await home.end_of(accepted)
        [only] = (await counted(home)).values()
        assert only == Amounts(turns=1, unreported=1)
