"""Recovery after a crash or a restart, and what a shutdown leaves in the log."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.hub.house import ME, House, house
from tests.rhetor.hub.plans.test_plans import PIPELINE

from rhetor.domain import event as ev
from rhetor.domain.command import (
    AnswerPermission,
    AnswerTool,
    ForkSession,
    MakeCheckpoint,
    PauseSession,
    RestoreSession,
    ResumeSession,
    StartPlan,
    StartSession,
)
from rhetor.domain.output import Done, Permission, Text, ToolUse
from rhetor.domain.session import Session
from rhetor.drivers.base import PastMessage
from rhetor.errors import ProviderCut, StateConflict, StoreRefused
from rhetor.hub.catalog import turn_log
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.ids import Ids
from rhetor.hub.plans.plans import Planned
from rhetor.hub.recovery import REASON, take_over
from rhetor.hub.sessions.checkpoints import Made
from rhetor.hub.sessions.forks import Forked
from rhetor.hub.sessions.states import expire_old, owned_session
from rhetor.hub.turns.answers import open_permissions
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def test_shutdown_interrupts_running_turns_and_keeps_their_partial_output() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with house([Text("half"), asyncio.Event()], store=store) as home:
        accepted = await home.send(target="apollo", content="hi")
        await home.until(accepted.session_id, accepted.after, ev.OutputDelta)
    payloads = await home.log(accepted.session_id)
    assert ev.OutputPartial("half") in payloads
    assert ev.TurnInterrupted("the hub was shut down") in payloads


def _copy(folder: Path) -> None:
    for file in folder.glob("hub.db*"):
        shutil.copy(file, folder / f"copy-{file.name}")


@asynccontextmanager
async def crashed(folder: Path) -> AsyncIterator[House]:
    """A new hub on a copy of the running hub's database, as a power failure would leave it."""
    _copy(folder)
    store = await SqliteStore.open(folder / "copy-hub.db", clock=lambda: 1)
    try:
        async with house(store=store) as again:
            yield again
    finally:
        await store.aclose()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    yield opened
    await opened.aclose()


async def test_after_a_crash_running_turns_are_interrupted_and_waiting_ones_run(
    tmp_path: Path, store: SqliteStore
) -> None:
    async with house([Text("half"), asyncio.Event()], store=store) as dead:
        first = await dead.send(target="apollo", content="0", context_window=4)
        await dead.until(first.session_id, first.after, ev.OutputDelta)
        second = await dead.send(session_id=first.session_id, content="1")
        async with crashed(tmp_path) as home:
            events = await home.until(first.session_id, first.after, ev.TurnCompleted)
            assert ev.OutputPartial("half") in [e.payload for e in events]
            assert ev.TurnInterrupted(REASON) in [e.payload for e in events]
            assert events[-1].turn_id == second.turn_id
            assert home.driver.heard == [("apollo", "1")]
            assert home.driver.histories == [[PastMessage("user", "0"), PastMessage("assistant", "half")]]


async def test_after_a_crash_a_running_plan_ends_as_interrupted(tmp_path: Path, store: SqliteStore) -> None:
    async with house([Text("half"), asyncio.Event()], store=store) as dead:
        planned = await dead.execute(StartPlan(PIPELINE))
        assert isinstance(planned, Planned)
        await dead.until(planned.plan_id, planned.after, ev.OutputDelta)
        async with crashed(tmp_path) as home:
            events = await home.until(planned.plan_id, planned.after, ev.PlanEnded)
            assert [e.payload for e in events][-5:] == [
                ev.OutputPartial("half"),
                ev.TurnInterrupted(REASON),
                ev.StepFailed("s1", "interrupted", REASON, True),
                ev.StepSkipped("s2", "hub"),
                ev.PlanEnded("interrupted"),
            ]
            assert home.driver.heard == []


async def test_a_fork_has_the_history_up_to_its_checkpoint_and_does_not_change_its_parent() -> None:
    async with house() as home:
        first = await home.send(target="apollo", content="one", context_window=10)
        await home.end_of(first)
        made = await home.execute(MakeCheckpoint(first.session_id, "here"))
        assert isinstance(made, Made)
        await home.end_of(await home.send(session_id=first.session_id, content="two"))
        forked = await home.execute(ForkSession(first.session_id, "here"))
        assert isinstance(forked, Forked)
        await home.end_of(await home.send(session_id=forked.session.id, content="other"))
        await home.end_of(await home.send(session_id=first.session_id, content="three"))
        words = [[s.content for s in history] for history in home.driver.histories]
        one, two = ["one", "apollo heard: one"], ["two", "apollo heard: two"]
        assert words == [[], one, one, one + two]


async def test_a_restored_session_continues_from_its_checkpoint_in_a_new_epoch() -> None:
    async with house() as home:
        first = await home.send(target="apollo", content="one", context_window=10)
        await home.end_of(first)
        await home.execute(MakeCheckpoint(first.session_id, "here"))
        await home.end_of(await home.send(session_id=first.session_id, content="two"))
        before = await home.store.head(first.session_id)
        await home.execute(RestoreSession(first.session_id, "here"))
        after = await home.store.head(first.session_id)
        assert before is not None
        assert after is not None
        assert (after.epoch != before.epoch, after.head) == (True, 1)
        await home.end_of(await home.send(session_id=first.session_id, content="three"))
        assert [s.content for s in home.driver.histories[-1]] == ["one", "apollo heard: one"]


async def test_unused_sessions_expire_and_named_ones_do_not() -> None:
    now = 0
    store = MemoryStore(clock=lambda: now)
    async with house(store=store) as home:
        home.hub.state.ids = Ids(lambda: now)
        short = await home.execute(StartSession("apollo", ttl=10))
        named = await home.execute(StartSession("apollo", name="kept"))
        assert isinstance(short, Session)
        assert isinstance(named, Session)
        now = 10_001
        assert await expire_old(home.hub.state) == 1
        states = [(await owned_session(home.hub.state, ME, s.id)).state for s in (short, named)]
        assert states == ["expired", "active"]


async def test_a_paused_session_stays_paused_after_a_restart() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with house(store=store) as home:
        session = await home.execute(StartSession("apollo", name="kept"))
        assert isinstance(session, Session)
        await home.execute(PauseSession(session.id))
        waiting = await home.send(session_id=session.id, content="later")
    async with house(store=store) as again:
        assert again.driver.heard == []
        await again.execute(ResumeSession(session.id))
        assert isinstance(await again.end_of(waiting), ev.TurnCompleted)


async def test_peer_statistics_survive_a_restart() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with house([Text("x"), Done()], [ProviderCut("gone", retryable=True)], store=store) as home:
        for _ in range(2):
            await home.end_of(await home.send(target="apollo", content="hi"))
        assert home.hub.state.peer_statistics.of("apollo").success_rate == pytest.approx(0.5)
    async with house(store=store) as again:
        assert again.hub.state.peer_statistics.of("apollo").success_rate == pytest.approx(0.5)
        assert again.hub.state.peer_statistics.of("athena").success_rate is None


async def test_after_a_crash_the_open_requests_of_an_interrupted_turn_are_closed(
    store: SqliteStore, tmp_path: Path
) -> None:
    options = (ev.PermissionOption("allow", "Allow", "allow_once"),)
    script = [
        ToolUse("call_1", "weather", {"place": 1}, "client"),
        Permission("perm_1", "weather", {}, options),
        asyncio.Event(),
    ]
    async with house(script, store=store) as home:
        session = await home.execute(StartSession("apollo"))
        assert isinstance(session, Session)
        accepted = await home.send(session_id=session.id, content="hi")
        await home.until(session.id, accepted.after, ev.PermissionAsked)
        async with crashed(tmp_path) as again:
            log = await again.log(session.id)
            assert log[-2:] == [
                ev.PermissionAnswered("perm_1", None, "the turn's end"),
                ev.TurnInterrupted(REASON),
            ]
            for command in (
                AnswerTool(session.id, "call_1", 1),
                AnswerPermission(session.id, "perm_1", "allow"),
            ):
                with pytest.raises(StateConflict):
                    await again.execute(command)
            assert await open_permissions(again.hub.state, ME) == []
            assert await again.log(session.id) == log


async def test_a_take_over_that_the_store_interrupts_ends_no_turn_that_has_begun_here() -> None:
    answers = asyncio.Event()
    store = RefusesOnce(clock=lambda: 1)
    async with house([Text("one"), answers, Text(" two"), Done()], store=store) as home:
        state = home.hub.state
        session: Session = await home.execute(StartSession("apollo"))  # type: ignore[assignment]
        state.unrecovered.add(session.id)  # as if it had belonged to another node
        accepted = await home.send(session_id=session.id, content="hi")
        store.then = home.until(session.id, accepted.after, ev.OutputDelta)
        await take_over(state, "lost", [session.id])
        answers.set()
        assert isinstance(await home.end_of(accepted), ev.TurnCompleted)
        ends = [payload for payload in await home.log(session.id) if isinstance(payload, ev.TurnEnd)]
        assert len(ends) == 1


async def test_a_message_to_a_session_of_a_lost_node_runs_after_what_that_node_left() -> None:
    async with house([Text("one"), Done()], [Text("two"), Done()]) as home:
        session: Session = await home.execute(StartSession("apollo"))  # type: ignore[assignment]
        home.hub.state.unrecovered.add(session.id)
        first = await home.send(session_id=session.id, content="first")
        second = await home.send(session_id=session.id, content="second")
        assert home.driver.heard == []
        await take_over(home.hub.state, "lost", [session.id])
        ends = [await home.end_of(each) for each in (first, second)]
        assert [end.text for end in ends if isinstance(end, ev.TurnCompleted)] == ["one", "two"]


async def test_a_message_is_found_although_the_store_was_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_log, "CATCH_UP_SECONDS", 0.01)
    store = SlowOnce(clock=lambda: 1)
    async with house([Text("one"), Done()], store=store) as home:
        accepted = await home.send(target="apollo", content="hi")
        await home.end_of(accepted)
        row = await store.get("turn", accepted.turn_id)
        assert row is not None
        store.is_slow = True
        assert (await turn_log.received(store, TurnRow.of(row))).message.content == "hi"


class SlowOnce(MemoryStore):
    """A store that does not return the next page."""

    is_slow = False

    async def page(self, *what: Any, **how: Any) -> Any:
        if self.is_slow:
            self.is_slow = False
            await asyncio.Event().wait()
        return await super().page(*what, **how)


class RefusesOnce(MemoryStore):
    """A store that waits for `then` when sessions are listed, and refuses that once."""

    then: Awaitable[object] | None = None

    async def find(self, kind: str, *what: Any, **how: Any) -> Any:
        if kind == "session" and (waited := self.then) is not None:
            self.then = None
            await waited
            raise StoreRefused("the database is not available")
        return await super().find(kind, *what, **how)
