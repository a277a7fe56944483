"""Paused turns: what they ask, how they continue, and that neither time nor a restart ends a pause."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import time

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import ME, House, house
from tests.scripted import PEERS, ScriptedConversation

from rhetor.domain import event as ev
from rhetor.domain.budget import Budget
from rhetor.domain.command import (
    AnswerPermission,
    InterruptSession,
    StartPlan,
    StopSession,
)
from rhetor.domain.output import Done, Text, ToolUse, Usage
from rhetor.domain.peer import Peer
from rhetor.domain.permission import Rules
from rhetor.domain.plan import Step
from rhetor.domain.quota import LEAST_WAIT, MOST_WAIT, reset_time
from rhetor.domain.turn import TurnState
from rhetor.drivers.base import PastMessage
from rhetor.errors import RateLimited, StateConflict
from rhetor.hub.catalog.requests import Request, commit_answer
from rhetor.hub.catalog.turn_log import so_far
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.catalog.usage import amounts_of
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.limits import Limits
from rhetor.hub.programs.now import pauses_of
from rhetor.hub.programs.status import status_of
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns.answers import open_permissions
from rhetor.store.base import Draft
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

HOUR = 3600.0
REASON = "5-hour limit reached"
ANSWER = [Text("at last"), Done()]


def limit(seconds: float = HOUR) -> RateLimited:
    """A usage limit that resets in so many seconds."""
    return RateLimited(REASON, retryable=True, resets_at=reset_time(time() + seconds), hint="wait")


async def paused(home: House, accepted: Accepted) -> Request:
    """Wait until the turn is paused, and return its permission request."""
    events = await home.until(accepted.session_id, accepted.after, ev.PermissionAsked)
    asked = [e.payload.request_id for e in events if isinstance(e.payload, ev.PermissionAsked)]
    return next(r for r in await open_permissions(home.hub.state, ME) if r.id == asked[-1])


async def paused_again(home: House, before: Request) -> Request:
    """Wait until the turn asks again, and return that request."""
    while True:
        changed = home.hub.state.requests_changed.next()
        found = [r for r in await open_permissions(home.hub.state, ME) if r.id != before.id]
        if found:
            return found[0]
        await changed.wait()


async def choose(home: House, request: Request, option_id: str) -> None:
    await home.execute(AnswerPermission(request.stream, request.id, option_id))


def options(request: Request) -> list[str]:
    return [option["option_id"] for option in request.data["options"]]


async def state_of(home: House, accepted: Accepted) -> str:
    row = await home.store.get("turn", accepted.turn_id)
    assert row is not None
    return row.state


async def test_a_turn_whose_peer_reached_its_limit_waits_and_asks() -> None:
    failure = limit()
    async with house([failure], ANSWER) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        assert (request.data["tool"], request.data["expires_at"]) == ("quota", None)
        assert request.data["detail"] == {
            "paused": "quota",
            "reason": REASON,
            "resets_at": failure.data["resets_at"],
            "then": None,
        }
        assert options(request) == ["continue", "now", "stop"]
        assert ev.QuotaPaused(failure.data["resets_at"], REASON) in await home.log(accepted.session_id)
        assert await state_of(home, accepted) == TurnState.WAITING
        apollo = home.hub.state.peers.get("apollo")
        assert status_of(home.hub.state, apollo).state == "blocked"
        assert REASON in status_of(home.hub.state, apollo).evidence
        await choose(home, request, "now")
        end = await home.end_of(accepted)
        assert isinstance(end, ev.TurnCompleted) and end.text == "at last"
        assert home.driver.heard == [("apollo", "hi"), ("apollo", "hi")]
        assert (pauses_of(home.hub.state, apollo), await open_permissions(home.hub.state, ME)) == ([], [])
        assert await state_of(home, accepted) == TurnState.COMPLETED


async def test_the_time_of_a_pause_is_not_counted_as_the_peers() -> None:
    async with house([limit(0.3)], ANSWER, limits=Limits(on_pause="continue")) as home:
        end = await home.end_of(await home.send(target="apollo", content="hi"))
        assert isinstance(end, ev.TurnCompleted) and end.seconds < 0.25


async def test_a_turn_that_is_to_continue_does_so_when_the_limit_resets() -> None:
    async with house([limit(0.3)], ANSWER) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        first = await paused(home, accepted)
        await choose(home, first, "continue")
        end = await home.end_of(accepted)
        assert isinstance(end, ev.TurnCompleted) and end.text == "at last"
        log = await home.log(accepted.session_id)
        answers = [(p.option_id, p.by) for p in log if isinstance(p, ev.PermissionAnswered)]
        assert answers == [("continue", "me"), ("now", "reset")]
        assert sum(isinstance(p, ev.QuotaPaused) for p in log) == 1


async def test_a_turn_that_waits_for_its_time_can_be_stopped() -> None:
    async with house([limit()], limits=Limits(on_pause="continue")) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        assert (options(request), request.data["detail"]["then"]) == (["now", "stop"], "now")
        await choose(home, request, "stop")
        assert await home.end_of(accepted) == ev.TurnCancelled("me")
        assert await home.store.find("pause", state="paused") == []


@pytest.mark.long
async def test_a_limit_that_resets_later_than_announced_pauses_the_turn_again() -> None:
    limits = Limits(on_pause="continue")
    async with house([limit(0.1)], [limit(0.8)], ANSWER, limits=limits) as home:
        end = await home.end_of(await home.send(target="apollo", content="hi"))
        assert isinstance(end, ev.TurnCompleted) and end.text == "at last"


@pytest.mark.parametrize("resets_at", [None, "soon", "2001-01-01T00:00:00Z", MOST_WAIT / 1000 + 60])
async def test_a_limit_without_a_possible_time_fails_the_turn(resets_at: object) -> None:
    at = time() + resets_at if isinstance(resets_at, float) else resets_at
    failure = RateLimited(REASON, retryable=True, resets_at=reset_time(at), hint="wait")
    async with house([failure]) as home:
        end = await home.end_of(await home.send(target="apollo", content="hi"))
        assert isinstance(end, ev.TurnFailed)
        assert (end.code, end.data["hint"]) == ("rate_limited", "wait")


async def test_a_time_that_has_just_passed_is_waited_for_a_minute() -> None:
    async with house([limit(-30)]) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        await paused(home, accepted)
        [pause] = home.hub.state.pauses.values()
        assert pause.question.resets_at is not None
        assert 0 <= time() * 1000 + LEAST_WAIT - pause.question.resets_at < 10_000


async def test_a_model_that_had_begun_to_answer_fails_because_it_cannot_continue() -> None:
    script = [Text("half"), ToolUse("c1", "write", {}, "hub"), limit()]
    async with house(script) as home:
        end = await home.end_of(await home.send(target="apollo", content="hi"))
        assert isinstance(end, ev.TurnFailed) and end.code == "rate_limited"


async def test_no_rule_answers_the_request_of_a_pause() -> None:
    deny = [replace(peer, permissions=Rules(deny=("*",))) for peer in PEERS]
    async with house([limit()], ANSWER, peers=deny) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        await choose(home, await paused(home, accepted), "now")
        assert isinstance(await home.end_of(accepted), ev.TurnCompleted)


async def test_the_request_of_a_pause_does_not_expire() -> None:
    async with house([limit()], ANSWER, limits=Limits(permission_seconds=0.05)) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        await asyncio.sleep(0.2)  # longer than other requests wait
        await choose(home, request, "now")
        assert isinstance(await home.end_of(accepted), ev.TurnCompleted)


@pytest.mark.parametrize("command", [InterruptSession, StopSession])
async def test_ending_the_turn_ends_its_pause(command: type[InterruptSession | StopSession]) -> None:
    async with house([limit()]) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        await home.execute(command(accepted.session_id))
        assert isinstance(await home.end_of(accepted), ev.TurnInterrupted | ev.TurnCancelled)
        assert await home.store.find("pause", state="paused") == []
        with pytest.raises(StateConflict):
            await choose(home, request, "now")


async def test_the_messages_behind_a_paused_turn_wait_for_it() -> None:
    async with house([limit()], ANSWER) as home:
        first = await home.send(target="apollo", content="1", context_window=4)
        request = await paused(home, first)
        second = await home.send(session_id=first.session_id, content="2")
        assert home.driver.heard == [("apollo", "1")]
        await choose(home, request, "now")
        assert isinstance(await home.end_of(second), ev.TurnCompleted)
        assert [content for _, content in home.driver.heard] == ["1", "1", "2"]


async def test_a_limit_passes_the_turn_on_to_another_peer_with_its_history() -> None:
    failure = limit()
    own = [replace(peer, on_pause="handover:athena") if peer.name == "apollo" else peer for peer in PEERS]
    answer = [Text("at last"), Usage("m", 5, 2), Done()]
    async with house([Text("one"), Done()], [failure], answer, peers=own) as home:
        first = await home.send(target="apollo", content="1", context_window=4)
        await home.end_of(first)
        second = await home.send(session_id=first.session_id, content="2")
        end = await home.end_of(second)
        assert isinstance(end, ev.TurnCompleted) and end.text == "at last"
        assert home.driver.heard[-1] == ("athena", "2")
        assert home.driver.histories[-1] == [PastMessage("user", "1"), PastMessage("assistant", "one")]
        log = await home.log(first.session_id)
        assert log[-5:-2] == [
            ev.QuotaPaused(failure.data["resets_at"], REASON),
            ev.TurnStarted("athena", instead_of="apollo"),
            ev.OutputDelta("at last"),
        ]
        row = await home.store.get("turn", second.turn_id)
        assert row is not None and b'"athena"' in row.doc
        assert home.hub.state.peer_statistics.of("athena").answered == 1.0
        used = [amounts_of(*found) for found in await home.store.documents("usage")]
        by_peer = {cell.peer: (amounts.turns, amounts.input_tokens) for cell, amounts in used}
        assert by_peer == {"apollo": (1, 0), "athena": (1, 5)}


async def test_peers_that_hand_over_to_each_other_ask_when_all_have_reached_their_limits() -> None:
    other = {"apollo": "athena", "athena": "apollo"}
    own = [replace(p, on_pause=f"handover:{other[p.name]}") if p.name in other else p for p in PEERS]
    async with house([limit()], [limit()], peers=own) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        assert request.peer == "athena"
        assert home.driver.heard == [("apollo", "hi"), ("athena", "hi")]


async def test_a_paused_step_of_a_plan_continues_with_the_answer() -> None:
    plan = StartPlan((Step("a", "apollo", "hi"), Step("b", "athena", "and you?", needs=("a",))))
    async with house([limit()], ANSWER) as home:
        planned = await home.execute(plan)
        await home.until(planned.plan_id, planned.after, ev.PermissionAsked)  # type: ignore[attr-defined]
        [request] = await open_permissions(home.hub.state, ME)
        assert (request.stream, request.step) == (planned.plan_id, "a")  # type: ignore[attr-defined]
        await choose(home, request, "now")
        events = await home.until(planned.plan_id, planned.after, ev.PlanEnded)  # type: ignore[attr-defined]
        assert events[-1].payload == ev.PlanEnded("completed")


def _copy(folder: Path) -> None:
    for file in folder.glob("hub.db*"):
        shutil.copy(file, folder / f"copy-{file.name}")


@asynccontextmanager
async def crashed(folder: Path, *scripts: object, limits: Limits | None = None) -> AsyncIterator[House]:
    """A new hub on a copy of the running hub's database, as a power failure would leave it."""
    _copy(folder)
    store = await SqliteStore.open(folder / "copy-hub.db", clock=lambda: 1)
    try:
        async with house(*scripts, store=store, limits=limits) as again:
            yield again
    finally:
        await store.aclose()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    yield opened
    await opened.aclose()


async def test_after_a_crash_a_pause_still_asks(tmp_path: Path, store: SqliteStore) -> None:
    async with house([limit()], store=store) as dead:
        accepted = await dead.send(target="apollo", content="hi", context_window=4)
        await paused(dead, accepted)
        async with crashed(tmp_path, ANSWER) as home:
            [request] = await open_permissions(home.hub.state, ME)
            assert home.driver.heard == []
            await choose(home, request, "now")
            end = await home.end_of(accepted)
            assert isinstance(end, ev.TurnCompleted) and end.text == "at last"
            assert home.driver.heard == [("apollo", "hi")]
            log = await home.log(accepted.session_id)
            assert sum(isinstance(p, ev.PermissionAsked) for p in log) == 1


async def test_after_a_crash_a_pause_continues_at_its_time(tmp_path: Path, store: SqliteStore) -> None:
    limits = Limits(on_pause="continue")
    failure = limit(0.5)
    async with house([failure], store=store, limits=limits) as dead:
        accepted = await dead.send(target="apollo", content="hi", context_window=4)
        await paused(dead, accepted)
        [pause] = dead.hub.state.pauses.values()
        async with crashed(tmp_path, ANSWER) as home:
            assert isinstance(await home.end_of(accepted), ev.TurnCompleted)
            assert pause.question.resets_at is not None
            assert 0 <= time() - pause.question.resets_at / 1000 < 2


async def test_after_a_crash_the_answer_that_came_before_counts(tmp_path: Path, store: SqliteStore) -> None:
    async with house([limit()], [asyncio.Event()], store=store) as dead:
        accepted = await dead.send(target="apollo", content="hi", context_window=4)
        request = await paused(dead, accepted)
        # the answer is in the log, and the hub ends before it continues the turn
        payload = ev.PermissionAnswered(request.id, "stop", "me")
        await commit_answer(dead.store, request, payload, None)
        async with crashed(tmp_path) as home:
            assert await home.end_of(accepted) == ev.TurnCancelled("me")
            assert await open_permissions(home.hub.state, ME) == []


async def test_a_hub_that_stops_leaves_a_pause_to_the_next_one() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with house([limit()], store=store) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        await paused(home, accepted)
    async with house(ANSWER, store=store) as home:
        [request] = await open_permissions(home.hub.state, ME)
        await choose(home, request, "now")
        end = await home.end_of(accepted)
        assert isinstance(end, ev.TurnCompleted) and end.text == "at last"


async def test_the_pause_of_a_plans_step_ends_with_the_hub(tmp_path: Path, store: SqliteStore) -> None:
    async with house([limit()], store=store) as dead:
        planned = await dead.execute(StartPlan((Step("a", "apollo", "hi"),)))
        await dead.until(planned.plan_id, planned.after, ev.PermissionAsked)  # type: ignore[attr-defined]
        async with crashed(tmp_path) as home:
            events = await home.until(planned.plan_id, planned.after, ev.PlanEnded)  # type: ignore[attr-defined]
            assert events[-1].payload == ev.PlanEnded("interrupted")
            assert await open_permissions(home.hub.state, ME) == []
            assert await home.store.find("pause", state="paused") == []


async def test_a_peer_that_is_gone_when_it_is_chosen_is_not_replaced_by_the_one_that_asked() -> None:
    budgets = [Budget("peer.apollo", tokens_per_day=0)]
    async with house(ANSWER, budgets=budgets) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        assert "peer:athena" in options(request)
        home.hub.state.peers.configure([peer for peer in PEERS if peer.name != "athena"], {})
        await choose(home, request, "peer:athena")
        again = await paused_again(home, request)
        assert home.driver.heard == []
        assert options(again) == ["continue", "raise", "stop"]
        await choose(home, again, "continue")
        assert isinstance(await home.end_of(accepted), ev.TurnCompleted)


async def test_a_paused_turn_continues_with_the_configuration_that_is_in_force_then() -> None:
    async with house([limit()], ANSWER) as home:
        opened: list[Peer] = []
        open_ = home.driver.open

        async def noting(peer: Peer, resume: str | None = None) -> ScriptedConversation:
            opened.append(peer)
            return await open_(peer, resume)

        home.driver.open = noting  # type: ignore[method-assign]
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        changed = [replace(p, model="m2") if p.name == "apollo" else p for p in PEERS]
        home.hub.state.peers.configure(changed, {})
        await choose(home, request, "now")
        assert isinstance(await home.end_of(accepted), ev.TurnCompleted)
        assert opened[-1].model == "m2"


async def test_a_paused_turn_whose_peer_is_gone_fails_when_it_would_continue() -> None:
    async with house([limit()]) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        request = await paused(home, accepted)
        home.hub.state.peers.configure([peer for peer in PEERS if peer.name != "apollo"], {})
        await choose(home, request, "now")
        end = await home.end_of(accepted)
        assert isinstance(end, ev.TurnFailed) and end.detail == "no peer is called 'apollo'"
        assert await home.store.find("pause", state="paused") == []


async def test_the_seconds_of_a_turn_count_what_it_worked_under_an_earlier_hub_and_no_pause() -> None:
    now = 1_700_000_000_000
    store, working = MemoryStore(clock=lambda: now), asyncio.Event()
    limited = RateLimited(REASON, retryable=True, resets_at=reset_time(now / 1000 + 4 * HOUR))
    async with house([working, limited], store=store, ids=Ids(lambda: now)) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        await home.until(accepted.session_id, accepted.after, ev.TurnStarted)
        now += 90_000
        working.set()
        await paused(home, accepted)
        now += 30_000
    now += 3_600_000
    async with house(ANSWER, store=store, ids=Ids(lambda: now)) as home:
        await choose(home, (await open_permissions(home.hub.state, ME))[0], "now")
        end = await home.end_of(accepted)
    assert isinstance(end, ev.TurnCompleted)
    assert 90 <= end.seconds < 100


async def test_the_working_time_of_a_turn_is_read_from_the_log() -> None:
    store = MemoryStore(clock=lambda: 0)
    turn = TurnRow("t_1", "s_1", "apollo", TurnState.RUNNING, "me", "m_1", 0)
    asked = partial(ev.PermissionAsked, tool="Bash", detail={}, options=())
    drafts: list[tuple[int, ev.Payload]] = [
        (1_000, ev.TurnStarted("apollo")),
        (2_000, asked("r1", expires_at="2026-01-01T00:00:00Z")),  # the turn works on its answer
        (4_000, ev.PermissionAnswered("r1", "yes", "me")),
        (5_000, asked("q1")),
        (9_000, ev.PermissionAnswered("q1", "now", "me")),
    ]
    await store.commit("s_1", [Draft(payload, "t_1", at=at) for at, payload in drafts])
    assert (await so_far(store, turn)).seconds(20_000) == 15
    await store.commit("s_1", [Draft(asked("q2"), "t_1", at=12_000)])
    assert (await so_far(store, turn)).seconds(20_000) == 7
