"""Turns and their budgets: reserving, pausing at a limit, and going on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import ME, House, house

from rhetor.domain.budget import Budget, Standing
from rhetor.domain.command import AnswerPermission, InterruptSession, SendMessage, StartPlan, StartSession
from rhetor.domain.event import (
    BudgetReached,
    Cause,
    MessageAccepted,
    Payload,
    PermissionAnswered,
    PermissionAsked,
    TurnCancelled,
    TurnCompleted,
    TurnEnd,
    TurnInterrupted,
    TurnStarted,
)
from rhetor.domain.output import Done, Output, Text, Usage
from rhetor.domain.permission import Rules
from rhetor.domain.plan import Step
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import PutBudget, RemoveBudget
from rhetor.errors import Forbidden
from rhetor.hub.core.ids import Ids
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns import budgets as turn_budgets
from rhetor.hub.turns.answers import open_permissions
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
P = TypeVar("P", bound=Payload)
TEN = Budget("peer.apollo", tokens_per_day=10)


def answer(tokens: int, cost: str | None = "0", text: str = "yes") -> list[Output]:
    return [Text(text), Usage("m", tokens, 0, cost=cost), Done()]


@dataclass
class Clock:
    """A clock that stands still until the test moves it."""

    now: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


async def asked(home: House, count: int = 1) -> Sequence[Any]:
    """Wait until this many permission requests are open, and return them."""
    while True:
        changed = home.hub.state.requests_changed.next()
        found = await home.store.find("permission", state="open")
        if len(found) >= count:
            return found
        await changed.wait()


async def choose(home: House, accepted: Accepted, option: str) -> None:
    (request,) = await asked(home)
    id = request.id.partition("/")[2]
    await home.execute(AnswerPermission(accepted.session_id, id, option))


async def spent(home: House, message: str = "hi") -> TurnEnd:
    """Let apollo answer once, and return the end of the turn."""
    return await home.end_of(await home.send(content=message, target="apollo"))


def standing(home: House, name: str) -> Standing:
    (found,) = home.hub.state.budgets.standings(name, home.hub.state.ids.now())
    return found


def figures(home: House, *names: str) -> list[tuple[int, int]]:
    """Return what is spent and what is reserved of each budget."""
    return [(int(now.spent), int(now.reserved)) for now in (standing(home, name) for name in names)]


def of(kind: type[P], log: Sequence[Payload]) -> list[P]:
    return [payload for payload in log if isinstance(payload, kind)]


async def test_at_the_limit_a_turn_is_paused_and_offers_four_ways_to_go_on() -> None:
    async with house(answer(10), answer(10), budgets=[TEN]) as home:
        assert isinstance(await spent(home), TurnCompleted)
        accepted = await home.send(content="again", target="apollo")
        await asked(home)
        (request,) = of(PermissionAsked, await home.log(accepted.session_id))
        assert [(option.option_id, option.name, option.kind) for option in request.options] == [
            ("continue", "Continue once", "allow_once"),
            ("raise", "Raise to 30 tokens per day", "allow_always"),
            ("peer:athena", "Use athena instead", "allow_once"),
            ("stop", "Stop", "reject_once"),
        ]
        assert request.expires_at is None
        assert request.detail["reason"] == "the budget peer.apollo is used up: 10 of 10 tokens per day"
        assert len(home.driver.heard) == 1
        await choose(home, accepted, "continue")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        assert standing(home, "peer.apollo").spent == 20


async def test_raising_the_limit_continues_the_turn_and_is_kept() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(answer(10), answer(10), budgets=[TEN], store=store) as home:
        await spent(home)
        accepted = await home.send(content="again", target="apollo")
        await choose(home, accepted, "raise")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
    async with house(budgets=[TEN], store=store) as home:
        assert (int(standing(home, "peer.apollo").limit), figures(home, "peer.apollo")) == (30, [(20, 0)])
        assert home.hub.state.budgets.is_set("peer.apollo")


async def test_another_peer_answers_if_that_is_chosen_and_draws_on_its_own_budget() -> None:
    budgets = [TEN, Budget("peer.athena", tokens_per_day=100)]
    async with house(answer(10), answer(7), budgets=budgets) as home:
        await spent(home)
        accepted = await home.send(content="again", target="apollo")
        await choose(home, accepted, "peer:athena")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        assert [each.peer for each in of(TurnStarted, await home.log(accepted.session_id))] == [
            "apollo",
            "athena",
        ]
        assert home.driver.heard == [("apollo", "hi"), ("athena", "again")]
        assert figures(home, "peer.apollo", "peer.athena") == [(10, 0), (7, 0)]


async def test_stopping_cancels_the_turn_without_a_call() -> None:
    async with house(answer(10), budgets=[TEN]) as home:
        await spent(home)
        accepted = await home.send(content="again", target="apollo")
        await choose(home, accepted, "stop")
        assert await home.end_of(accepted) == TurnCancelled("me")
        assert len(home.driver.heard) == 1
        assert standing(home, "peer.apollo").reserved == 0


async def test_a_paused_turn_can_be_cancelled() -> None:
    async with house(answer(10), budgets=[TEN]) as home:
        await spent(home)
        accepted = await home.send(content="again", target="apollo")
        await asked(home)
        await home.execute(InterruptSession(accepted.session_id))
        assert isinstance(await home.end_of(accepted), TurnInterrupted)
        assert await home.store.find("permission", state="open") == []


async def test_a_fallback_answers_without_a_question_and_readers_see_why() -> None:
    budget = Budget("peer.apollo", tokens_per_day=10, fallback="athena")
    async with house(answer(10), answer(3), budgets=[budget]) as home:
        await spent(home)
        accepted = await home.send(content="again", target="apollo")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        log = await home.log(accepted.session_id)
        (reached,) = of(BudgetReached, log)
        assert (reached.then, reached.peer, reached.budget, reached.spent) == (
            "fallback",
            "athena",
            "peer.apollo",
            10,
        )
        assert [each.peer for each in of(TurnStarted, log)] == ["apollo", "athena"]
        assert of(PermissionAsked, log) == []
        assert home.driver.heard[-1] == ("athena", "again")


async def test_fallbacks_that_are_spent_in_a_circle_end_with_a_question() -> None:
    budgets = [
        Budget("peer.apollo", tokens_per_day=0, fallback="athena"),
        Budget("peer.athena", tokens_per_day=0, fallback="apollo"),
    ]
    async with house(answer(1), budgets=budgets) as home:
        accepted = await home.send(content="hi", target="apollo")
        await choose(home, accepted, "continue")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        assert home.driver.heard == [("athena", "hi")]


async def test_readers_are_told_once_in_a_period_that_most_of_a_limit_is_used() -> None:
    clock, store = Clock(), MemoryStore(clock=lambda: 1_700_000_000_000)
    budget = Budget("global", tokens_per_day=10)
    async with house(answer(7), answer(1), answer(1), budgets=[budget], store=store, ids=Ids(clock)) as home:
        noted = [await _noted(home) for _ in range(3)]
        assert noted == [[], [("global", 8, 0.8, "note")], []]
    async with house(answer(0), answer(9), budgets=[budget], store=store, ids=Ids(clock)) as home:
        assert await _noted(home) == []
        clock.now += 86_400_000
        assert await _noted(home) == [("global", 9, 0.9, "note")]


async def _noted(home: House) -> list[tuple[Any, ...]]:
    accepted = await home.send(content="hi", target="apollo")
    await home.end_of(accepted)
    found = of(BudgetReached, await home.log(accepted.session_id))
    return [(each.budget, each.spent, each.share, each.then) for each in found]


@pytest.mark.parametrize("kind", ["sessions", "plan"])
async def test_twenty_turns_at_once_exceed_a_budget_by_one_reservation_at_most(kind: str) -> None:
    five, held = asyncio.Barrier(6), asyncio.Event()
    scripts = [answer(10), *([five, held, *answer(10)] for _ in range(5)), *(answer(10) for _ in range(15))]
    async with house(*scripts, budgets=[Budget("global", tokens_per_day=100)]) as home:
        await spent(home)  # from now on, a turn reserves 20 tokens
        if kind == "plan":
            steps = tuple(Step(str(n), "apollo", "hi") for n in range(20))
            await home.execute(StartPlan(steps, max_parallel=20))
        else:
            await asyncio.gather(*(home.send(content="hi", target="apollo") for _ in range(20)))
        await five.wait()
        for _ in range(200):  # time in which more turns would begin
            await asyncio.sleep(0)
        assert (figures(home, "global"), home.driver.running) == ([(10, 100)], 5)
        held.set()
        await asked(home, 11)
        assert (figures(home, "global"), len(home.driver.heard)) == ([(100, 0)], 10)
        await home.execute(PutBudget(Budget("global", tokens_per_day=1000)))
        while standing(home, "global").spent < 210:
            await home.hub.state.budgets.changed.next().wait()
        assert await home.store.find("permission", state="open") == []


async def test_a_turn_waits_for_those_that_reserved_the_rest_before_it_asks() -> None:
    held = asyncio.Event()
    scripts = answer(10), [held, *answer(10)], answer(10)
    async with house(*scripts, budgets=[Budget("global", tokens_per_day=25)]) as home:
        await spent(home)
        first = await home.send(content="hi", target="apollo")  # reserves 20 of 25 tokens
        second = await home.send(content="hi", target="apollo")
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(home.driver.heard) == 2
        held.set()
        await home.end_of(first)
        assert isinstance(await home.end_of(second), TurnCompleted)
        assert of(PermissionAsked, await home.log(second.session_id)) == []


async def test_no_rule_answers_the_request_of_a_pause() -> None:
    async with house(answer(1), budgets=[Budget("global", tokens_per_day=0)]) as home:
        peers = list(home.hub.state.peers)
        home.hub.state.peers.configure([replace(p, permissions=Rules(allow=("*",))) for p in peers], {})
        accepted = await home.send(content="hi", target="apollo")
        await choose(home, accepted, "continue")
        assert isinstance(await home.end_of(accepted), TurnCompleted)


@pytest.mark.parametrize("change", ["put", "remove", "configure"])
async def test_a_paused_turn_continues_when_its_budget_has_room_again(change: str) -> None:
    async with house(answer(1)) as home:
        await home.execute(PutBudget(Budget("global", tokens_per_day=0)))
        accepted = await home.send(content="hi", target="apollo")
        await asked(home)
        if change == "put":
            await home.execute(PutBudget(Budget("global", tokens_per_day=5)))
        elif change == "remove":
            await home.execute(RemoveBudget("global"))
        else:  # the configuration was reloaded
            home.hub.state.budgets.configure([Budget("caller.me", tokens_per_day=1)])
            await home.execute(RemoveBudget("global"))
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        (answered,) = of(PermissionAnswered, await home.log(accepted.session_id))
        assert (answered.option_id, answered.by) == ("continue", "budget")


async def test_a_paused_turn_continues_in_the_next_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_budgets, "TICK_SECONDS", 0.01)
    clock = Clock()
    async with house(answer(10), answer(10), budgets=[TEN], ids=Ids(clock)) as home:
        await spent(home)
        accepted = await home.send(content="again", target="apollo")
        await asked(home)
        clock.now += 86_400_000
        assert isinstance(await home.end_of(accepted), TurnCompleted)


async def test_a_pause_and_what_was_spent_survive_a_restart_of_the_hub() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(answer(10), budgets=[TEN], store=store) as home:
        await spent(home)
        session: Any = await home.execute(StartSession("apollo", name="kept"))
        accepted = await home.send(content="again", session_id=session.id)
        await asked(home)
    async with house(answer(2), budgets=[TEN], store=store) as home:
        assert standing(home, "peer.apollo").spent == 10
        await choose(home, accepted, "continue")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        assert standing(home, "peer.apollo").spent == 12


async def test_unknown_prices_are_counted_and_their_tokens_too() -> None:
    budget = Budget("global", Decimal(1), tokens_per_day=100)
    async with house(answer(5, cost="0.25"), answer(6, cost=None), budgets=[budget]) as home:
        await spent(home)
        await spent(home)
        now = home.hub.state.budgets.standings("global", home.hub.state.ids.now())
        assert [(each.measure, each.spent, each.unpriced) for each in now] == [
            ("usd_per_day", Decimal("0.25"), 1),
            ("tokens_per_day", 11, 1),
        ]


async def test_the_steps_of_a_plan_and_the_members_of_a_team_draw_on_the_budget_of_their_caller() -> None:
    async with house(
        *(answer(10) for _ in range(4)), budgets=[Budget("caller.me", tokens_per_day=1000)]
    ) as home:
        steps = (Step("1", "athena", "hi"), Step("2", "apollo", "and", needs=("1",)))
        await home.run_plan(StartPlan(steps))
        assert standing(home, "caller.me").spent == 20
        await home.end_of(await home.send(content="hi", target="team:reviewers"))
        assert standing(home, "caller.me").spent == 40


async def test_what_an_agent_sends_while_it_answers_draws_on_the_budget_and_project_of_its_caller() -> None:
    runs, held = asyncio.Barrier(2), asyncio.Event()
    budgets = [Budget("caller.me", tokens_per_day=100_000), Budget("project.web", tokens_per_day=100_000)]
    async with house([runs, held, *answer(10)], answer(5), answer(3), budgets=budgets) as home:
        session: Any = await home.execute(StartSession("apollo", project_id="web"))
        outer = await home.send(content="hi", session_id=session.id)
        await runs.wait()
        agent = Principal.agent("apollo", local=True)
        inner = await home.hub.execute(agent, SendMessage("help", "athena"))
        await home.end_of(inner)
        accepted = of(MessageAccepted, await home.log(inner.session_id))[0]
        assert isinstance(accepted.cause, Cause)
        assert (accepted.cause.caller, accepted.cause.project) == ("me", "web")
        assert standing(home, "caller.me").spent == standing(home, "project.web").spent == 5
        deeper = await home.hub.execute(agent, SendMessage("more", "prometheus", via=("apollo", "athena")))
        await home.end_of(deeper)
        held.set()
        await home.end_of(outer)
        assert standing(home, "caller.me").spent == standing(home, "project.web").spent == 18


async def test_the_question_of_an_agent_does_not_wait_for_what_is_reserved_for_that_agent() -> None:
    runs, held = asyncio.Barrier(2), asyncio.Event()
    budget = Budget("caller.me", tokens_per_day=10)
    async with house([runs, held, *answer(1)], answer(1), budgets=[budget]) as home:
        outer = await home.send(content="hi", target="apollo")  # reserves more than the whole budget
        await runs.wait()
        agent = Principal.agent("apollo", local=True)
        inner = await home.hub.execute(agent, SendMessage("help", "athena"))
        assert isinstance(await home.end_of(inner), TurnCompleted)
        assert of(PermissionAsked, await home.log(inner.session_id)) == []
        held.set()
        await home.end_of(outer)


async def test_the_pause_of_a_message_of_an_agent_is_answered_by_the_caller_of_that_agent() -> None:
    runs, held = asyncio.Barrier(2), asyncio.Event()
    budget = Budget("peer.athena", tokens_per_day=0)
    async with house([runs, held, *answer(1)], answer(1), budgets=[budget]) as home:
        outer = await home.send(content="hi", target="apollo")
        await runs.wait()
        agent = Principal.agent("apollo", local=True)
        inner = await home.hub.execute(agent, SendMessage("help", "athena"))
        (request,) = await asked(home)
        id = request.id.partition("/")[2]
        with pytest.raises(Forbidden):
            await home.hub.execute(agent, AnswerPermission(inner.session_id, id, "continue"))
        assert [each.id for each in await open_permissions(home.hub.state, ME)] == [id]
        await home.execute(AnswerPermission(inner.session_id, id, "continue"))
        assert isinstance(await home.end_of(inner), TurnCompleted)
        held.set()
        await home.end_of(outer)


async def test_the_program_of_a_peer_may_not_change_budgets() -> None:
    async with house() as home:
        agent = Principal.agent("apollo", local=True)
        with pytest.raises(Forbidden):
            await home.hub.execute(agent, PutBudget(Budget("global", tokens_per_day=1)))
        with pytest.raises(Forbidden):
            await home.hub.execute(agent, RemoveBudget("global"))


async def test_without_budgets_nothing_is_reserved() -> None:
    async with house(answer(1)) as home:
        await spent(home)
        assert not home.hub.state.budgets
        assert home.hub.state.budgets.standings("global", 0) == []


async def test_a_raised_limit_is_noted_again_when_most_of_it_is_used() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(answer(8), answer(8), answer(1), budgets=[TEN], store=store) as home:
        assert await _noted(home) == [("peer.apollo", 8, 0.8, "note")]
        await home.execute(PutBudget(replace(TEN, tokens_per_day=20)))
        assert await _noted(home) == [("peer.apollo", 16, 0.8, "note")]
        assert await _noted(home) == []
    async with house(answer(1), budgets=[TEN], store=store) as home:
        assert await _noted(home) == []
