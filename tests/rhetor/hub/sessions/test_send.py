"""Sending a message to a peer."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from tests.rhetor.hub.house import ME, OTHER, House, house

from rhetor.domain import event as ev
from rhetor.domain.command import (
    InterruptSession,
    PauseSession,
    ResumeSession,
    SendMessage,
    StartPlan,
    StartSession,
    StopSession,
)
from rhetor.domain.output import Began, Done, Text, Usage
from rhetor.domain.plan import Step
from rhetor.domain.session import Session, SessionState
from rhetor.errors import (
    KeyReused,
    Malformed,
    NoCapablePeer,
    NotFound,
    PeerBusy,
    ProviderCut,
    SessionOver,
    TooLarge,
    UnknownPeer,
)
from rhetor.hub.core.limits import Limits
from rhetor.hub.sessions import history, send
from rhetor.hub.sessions.sessions import counted, listed
from rhetor.store.base import Committed, Head
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_a_message_without_a_session_opens_one_that_ends_with_the_answer() -> None:
    async with house() as home:
        accepted = await home.send(target="apollo", content="hi")
        end = await home.end_of(accepted)
        assert isinstance(end, ev.TurnCompleted)
        assert end.text == "apollo heard: hi"
        kinds = [payload.type for payload in await home.log(accepted.session_id)]
        assert kinds == [
            "session.state",
            "message.accepted",
            "turn.started",
            "output.delta",
            "turn.completed",
            "session.state",
        ]
        with pytest.raises(SessionOver):
            await home.send(session_id=accepted.session_id, content="again")


async def test_a_peer_is_reachable_by_its_older_names() -> None:
    async with house() as home:
        for name in ("apollo", "apollo-ai", "apollo-ci"):
            assert (await home.send(target=name, content="hi")).peer == "apollo"


async def test_a_capability_goes_to_the_primary_peer_though_another_scores_higher() -> None:
    async with house() as home:
        accepted = await home.send(target="@code-analysis", content="hi")
        assert accepted.match is not None
        assert (accepted.peer, accepted.match.capability.score) == ("apollo", 0.95)
        with pytest.raises(NoCapablePeer, match="No AI found for capability: design"):
            await home.send(target="@design", content="below the threshold")


async def test_a_session_sends_its_context_window_to_the_model() -> None:
    async with house() as home:
        first = await home.send(target="apollo", content="one", context_window=2)
        await home.end_of(first)
        for text in ("two", "three"):
            await home.end_of(await home.send(session_id=first.session_id, content=text))
        said = [[(s.role, s.content) for s in history] for history in home.driver.histories]
        assert said == [
            [],
            [("user", "one"), ("assistant", "apollo heard: one")],
            [("user", "two"), ("assistant", "apollo heard: two")],
        ]


@pytest.mark.parametrize("content", ["", " \n", "half a pair \ud800"])
async def test_a_blank_or_invalid_text_is_rejected(content: str) -> None:
    async with house() as home:
        with pytest.raises(Malformed):
            await home.send(target="apollo", content=content)


async def test_a_message_over_the_size_limit_is_rejected() -> None:
    async with house(limits=Limits(message_bytes=4)) as home:
        with pytest.raises(TooLarge):
            await home.send(target="apollo", content="ääää")


async def test_unknown_peers_and_sessions_of_others_are_not_found() -> None:
    async with house() as home:
        with pytest.raises(UnknownPeer):
            await home.send(target="zeus", content="hi")
        mine = await home.send(target="apollo", content="hi", context_window=3)
        with pytest.raises(NotFound):
            await home.hub.execute(OTHER, SendMessage("hi", session_id=mine.session_id))
        with pytest.raises(NotFound):
            await home.hub.may_read(OTHER, mine.session_id)


async def test_messages_to_a_busy_session_wait_and_run_in_order_of_acceptance() -> None:
    gate = asyncio.Event()
    async with house([Text("first"), gate, Done()]) as home:
        first = await home.send(target="apollo", content="0", context_window=4)
        rest = [await home.send(session_id=first.session_id, content=str(n)) for n in (1, 2, 3)]
        queued = [p.position for p in await home.log(first.session_id) if isinstance(p, ev.TurnQueued)]
        assert queued == [1, 2, 3]
        gate.set()
        for accepted in rest:
            assert isinstance(await home.end_of(accepted), ev.TurnCompleted)
        assert [text for _, text in home.driver.heard] == ["0", "1", "2", "3"]


class Unhurried(MemoryStore):
    """A store whose calls take varying times."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_000_000)
        self._dice = random.Random(7)

    async def _wait(self) -> None:
        for _ in range(self._dice.randrange(4)):
            await asyncio.sleep(0)

    async def head(self, stream: str) -> Head | None:
        await self._wait()
        return await super().head(stream)

    async def commit(self, *args: Any, **options: Any) -> Committed:
        await self._wait()
        committed = await super().commit(*args, **options)
        await self._wait()
        return committed


async def test_a_queued_turn_has_its_place_in_the_queue_even_in_a_paused_session() -> None:
    gate = asyncio.Event()
    async with house([Text("first"), gate, Done()]) as home:
        idle = await home.execute(StartSession("apollo"))
        busy = (await home.send(target="apollo", content="0", context_window=4)).session_id
        for session_id in (idle.id, busy):  # type: ignore[attr-defined]
            await home.execute(PauseSession(session_id))
            for content in ("1", "2"):
                await home.send(session_id=session_id, content=content)
            queued = [p.position for p in await home.log(session_id) if isinstance(p, ev.TurnQueued)]
            assert queued == [1, 2]
        gate.set()


async def test_concurrent_messages_to_a_session_all_run_one_at_a_time() -> None:
    async with house(store=Unhurried()) as home:
        for _ in range(50):
            session = await home.execute(StartSession("apollo"))
            assert isinstance(session, Session)
            texts = [f"message {n}" for n in range(8)]
            sent = await asyncio.gather(*(home.send(session_id=session.id, content=text) for text in texts))
            ends = await asyncio.gather(*map(home.end_of, sent))
            assert [getattr(end, "text", end) for end in ends] == [f"apollo heard: {text}" for text in texts]
            kinds = [payload.type for payload in await home.log(session.id)]
            turns = [kind for kind in kinds if kind in ("turn.started", "turn.completed")]
            assert turns == ["turn.started", "turn.completed"] * len(texts)


async def test_if_busy_refuse_rejects_a_message_to_a_busy_session() -> None:
    gate = asyncio.Event()
    async with house([gate, Done()]) as home:
        first = await home.send(target="apollo", content="0", context_window=4)
        with pytest.raises(PeerBusy) as busy:
            await home.send(session_id=first.session_id, content="1", if_busy="refuse")
        assert busy.value.data == {"peer": "apollo", "turn_id": first.turn_id, "hint": PeerBusy.hint}
        gate.set()


async def test_if_busy_refuse_rejects_a_message_to_a_paused_session() -> None:
    async with house() as home:
        first = await home.send(target="apollo", content="0", context_window=4)
        await home.end_of(first)
        await home.execute(PauseSession(first.session_id))
        with pytest.raises(PeerBusy) as busy:
            await home.send(session_id=first.session_id, content="1", if_busy="refuse")
        assert busy.value.detail == "apollo is busy (its session is paused)"


async def test_if_busy_interrupt_replaces_the_running_turn() -> None:
    async with house([Text("on and "), asyncio.Event()]) as home:
        first = await home.send(target="apollo", content="0", context_window=4)
        await home.until(first.session_id, first.after, ev.OutputDelta)
        second = await home.send(session_id=first.session_id, content="1", if_busy="interrupt")
        assert isinstance(await home.end_of(first), ev.TurnInterrupted)
        assert isinstance(await home.end_of(second), ev.TurnCompleted)
        assert ev.OutputPartial("on and ") in await home.log(first.session_id)
        assert home.driver.ended_early == 1


async def test_a_repeated_command_runs_one_turn() -> None:
    async with house() as home:
        first = await home.send(target="apollo", content="hi", command_id="k")
        again = await home.send(target="apollo", content="hi", command_id="k")
        assert (again.turn_id, again.session_id, again.after) == (
            first.turn_id,
            first.session_id,
            first.after,
        )
        assert again.replayed
        assert isinstance(await home.end_of(again), ev.TurnCompleted)
        with pytest.raises(KeyReused):
            await home.send(target="apollo", content="something else", command_id="k")
        assert len(home.driver.heard) == 1


async def test_a_failed_turn_keeps_its_partial_answer_and_its_error() -> None:
    cut = ProviderCut("the line went dead", retryable=True, provider="p", model="m")
    async with house([Text("half of "), cut]) as home:
        accepted = await home.send(target="apollo", content="hi")
        end, said = await home.hub.answer(accepted)
        assert end == ev.TurnFailed(
            "provider_cut", "the line went dead", True, {"provider": "p", "model": "m"}
        )
        assert said == "half of "
        assert ev.OutputPartial("half of ") in await home.log(accepted.session_id)


async def test_a_turn_fails_when_the_peer_stops_without_an_end() -> None:
    async with house([Text("half of ")]) as home:
        end = await home.end_of(await home.send(target="apollo", content="hi"))
        assert isinstance(end, ev.TurnFailed)
        assert (end.code, end.retryable) == ("provider_cut", True)


async def test_usage_is_summed_and_an_unknown_price_stays_unknown() -> None:
    script = [Text("a"), Usage("m", 3, 4, cost="0.10"), Usage("m", 1, 1, cost=None), Done()]
    async with house(script) as home:
        end = await home.end_of(await home.send(target="apollo", content="hi"))
        assert isinstance(end, ev.TurnCompleted)
        assert end.usage == {"input_tokens": 4, "output_tokens": 5, "cached_tokens": None}
        assert end.cost is None


async def test_interrupt_ends_the_turn_but_not_the_session() -> None:
    async with house([Text("on and "), asyncio.Event()]) as home:
        first = await home.send(target="apollo", content="0", context_window=4)
        await home.until(first.session_id, first.after, ev.OutputDelta)
        await home.execute(InterruptSession(first.session_id))
        assert isinstance(await home.end_of(first), ev.TurnInterrupted)
        second = await home.send(session_id=first.session_id, content="1")
        assert isinstance(await home.end_of(second), ev.TurnCompleted)


async def test_a_paused_session_queues_messages_until_it_is_resumed() -> None:
    async with house() as home:
        session = await home.execute(StartSession("apollo"))
        assert isinstance(session, Session)
        await home.execute(PauseSession(session.id))
        waiting = await home.send(session_id=session.id, content="later")
        assert home.driver.heard == []
        await home.execute(ResumeSession(session.id))
        assert isinstance(await home.end_of(waiting), ev.TurnCompleted)


async def test_messages_beyond_the_limit_of_a_queue_are_rejected_until_some_have_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(send, "MOST_WAITING", 3)
    async with house() as home:
        session = await home.execute(StartSession("apollo"))
        assert isinstance(session, Session)
        await home.execute(PauseSession(session.id))
        waiting = [await home.send(session_id=session.id, content=str(n)) for n in range(3)]
        before = await home.store.head(session.id)
        with pytest.raises(PeerBusy) as refused:
            await home.send(session_id=session.id, content="3")
        assert refused.value.data["hint"] == "wait until some of them have been answered"
        assert await home.store.head(session.id) == before
        await home.execute(ResumeSession(session.id))
        for each in waiting:
            assert isinstance(await home.end_of(each), ev.TurnCompleted)
        last = await home.send(session_id=session.id, content="3")
        assert isinstance(await home.end_of(last), ev.TurnCompleted)


async def test_a_turn_starts_without_reading_all_that_wait_behind_it() -> None:
    limits: list[int] = []

    class Watched(MemoryStore):
        async def find(self, kind: str, **how: Any) -> Any:
            if kind == "turn":
                limits.append(how["limit"])
            return await super().find(kind, **how)

    async with house(store=Watched(clock=lambda: 0)) as home:
        session = await home.execute(StartSession("apollo"))
        assert isinstance(session, Session)
        await home.execute(PauseSession(session.id))
        waiting = [await home.send(session_id=session.id, content=str(n)) for n in range(3)]
        limits.clear()
        await home.execute(ResumeSession(session.id))
        for each in waiting:
            assert isinstance(await home.end_of(each), ev.TurnCompleted)
        assert set(limits) == {1}


async def test_stop_cancels_running_and_waiting_turns_and_is_idempotent() -> None:
    async with house([Text("on and "), asyncio.Event()]) as home:
        first = await home.send(target="apollo", content="0", context_window=4)
        await home.until(first.session_id, first.after, ev.OutputDelta)
        second = await home.send(session_id=first.session_id, content="1")
        for _ in range(2):
            stopped = await home.execute(StopSession(first.session_id))
            assert isinstance(stopped, Session)
            assert stopped.state == "stopped"
        ends = [await home.end_of(accepted) for accepted in (first, second)]
        assert ends == [ev.TurnCancelled("me"), ev.TurnCancelled("me")]
        assert home.driver.heard == [("apollo", "0")]


async def test_a_message_is_accepted_whole_even_if_its_caller_is_cancelled() -> None:
    async with house() as home:
        session = await home.execute(StartSession("apollo"))
        assert isinstance(session, Session)
        sending = asyncio.ensure_future(home.send(session_id=session.id, content="hi"))
        await asyncio.sleep(0)
        sending.cancel()
        head = await home.store.head(session.id)
        assert head is not None
        await home.until(session.id, ev.Position(head.epoch, 0), ev.TurnCompleted)


async def test_a_turn_without_readers_is_interrupted_unless_its_session_is_kept() -> None:
    async with house(
        [Text("a"), asyncio.Event()], [Text("b"), asyncio.Event()], limits=Limits(abandon_after=0.01)
    ) as home:
        alone = await home.send(target="apollo", content="hi")
        kept = await home.send(target="apollo", content="hi", context_window=1)
        for accepted in (alone, kept):
            with home.hub.state.presence.reader(accepted.session_id):
                await home.until(accepted.session_id, accepted.after, ev.OutputDelta)
        events = await home.until(alone.session_id, alone.after, ev.TurnInterrupted)
        assert ev.TurnInterrupted("the caller disconnected") in [event.payload for event in events]
        assert await _still_runs(home, kept.session_id)


async def _still_runs(home: House, session_id: str) -> bool:
    return (runner := home.hub.state.runners.get(session_id)) is not None and runner.current is not None


async def test_history_and_search_cover_exactly_the_callers_own_messages() -> None:
    async with house() as home:
        await home.end_of(await home.send(target="apollo", content="why is a bird fast"))
        await home.run_plan(StartPlan((Step("s1", "athena", "a bird cache"),)))
        theirs = await home.hub.execute(OTHER, SendMessage("their bird", "apollo"))
        await home.end_of(theirs)
        state = home.hub.state
        found = await history.recent(state, ME, 10)
        assert {(e.peer, e.question, e.answer) for e in found} == {
            ("athena", "a bird cache", "athena heard: a bird cache"),
            ("apollo", "why is a bird fast", "apollo heard: why is a bird fast"),
        }
        assert len(await history.recent(state, ME, 1)) == 1
        hits = await history.search(state, ME, "bird cache", 10)
        assert {(peer, hit.role) for hit, peer in hits} == {("athena", "user"), ("athena", "assistant")}
        assert not [hit for hit, _ in await history.search(state, ME, "their", 10)]
        for n in range(12):  # better matches than the caller's own, and more of them than the limit
            await home.end_of(await home.hub.execute(OTHER, SendMessage(f"cache {n}", "apollo")))
        assert [peer for _, peer in await history.search(state, ME, "cache", 1)] == ["athena"]


async def test_a_list_of_sessions_is_complete_whatever_was_used_since() -> None:
    async with house() as home:
        state = home.hub.state
        own: list[str] = []
        for n in range(3):
            made: Any = await home.execute(StartSession("apollo", name=f"kept {n}", project_id="mine"))
            own.insert(0, made.id)
        for n in range(9):
            await home.execute(StartSession("athena", project_id="other"))
            await home.end_of(await home.send(target="apollo", content=str(n)))  # ends with its answer

        async def found(**wanted: Any) -> list[str]:
            return [session.id for session in await listed(state, ME, limit=2, **wanted)]

        assert await found(project="mine") == own[:2]
        assert await found(peer="apollo") == own[:2]
        assert await found(states=(SessionState.WAITING,)) == []
        assert len(await listed(state, ME)) == 12
        assert len(await listed(state, ME, states=(SessionState.EXPIRED,))) == 9
        assert await counted(state, ME) == {"apollo": 3, "athena": 9}


async def test_the_first_output_is_committed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rhetor.hub.turns.turn_run.GATHER_SECONDS", 3600.0)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 7200.0 + time.monotonic())
    async with house([Began("m"), Text("now"), asyncio.Event()]) as home:
        accepted = await home.send(target="apollo", content="hi")
        await home.until(accepted.session_id, accepted.after, ev.OutputDelta)
