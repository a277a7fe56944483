"""A fault in a background task ends at most that task, never the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import House, house
from tests.rhetor.hub.refusing import Fault, RefusingStore, refusals

from rhetor.domain.command import InterruptSession, StartPlan, StartSession
from rhetor.domain.event import (
    MessageForwarded,
    OutputDelta,
    Payload,
    PlanEnded,
    Position,
    SessionStateChanged,
    StepFailed,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)
from rhetor.domain.output import Done, Text
from rhetor.domain.plan import Step
from rhetor.domain.rule_commands import PutForward, PutTerminal
from rhetor.errors import StateConflict, StoreRefused
from rhetor.hub.core import commits
from rhetor.hub.core.limits import Limits
from rhetor.hub.forwarding import relay
from rhetor.store.base import Draft, Row

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr("rhetor.hub.opening.EXPIRY_SECONDS", 0.01)
    monkeypatch.setattr(relay, "RETRY_SECONDS", 0.001)


async def _still_answers(home: House) -> None:
    accepted = await home.send(target="apollo", content="are you there?")
    end = await home.end_of(accepted)
    assert isinstance(end, TurnCompleted)
    assert end.text == "apollo heard: are you there?"


async def _queued(home: House, hold: asyncio.Event, store: RefusingStore) -> Any:
    """The second of two messages to a session; it waits until `hold` is set."""
    session: Any = await home.execute(StartSession("apollo"))
    first = await home.send(session_id=session.id, content="one")
    second = await home.send(session_id=session.id, content="two")
    return first, second


async def test_a_queued_turn_starts_once_the_store_accepts_commits_again() -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold, Text("first"), Done()], store=store) as home:
        first, second = await _queued(home, hold, store)
        store.refused_payloads[TurnStarted] = refusals(3)
        hold.set()
        assert (await home.end_of(first)).type == "turn.completed"
        assert (await home.end_of(second)).type == "turn.completed"
        assert store.refused_payloads[TurnStarted] == []
        await _still_answers(home)


@pytest.mark.parametrize("read", ["page", "find turn", "get session"])
async def test_a_queued_turn_starts_once_the_store_allows_reads_again(read: str) -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold, Text("first"), Done()], store=store) as home:
        first, second = await _queued(home, hold, store)
        store.tasks, store.faults[read] = "session ", refusals(2)
        hold.set()
        assert (await home.end_of(first)).type == "turn.completed"
        assert (await home.end_of(second)).type == "turn.completed"
        assert store.faults[read] == []
        await _still_answers(home)


async def test_a_queued_turn_fails_if_its_message_cannot_be_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold, Text("first"), Done()], store=store) as home:
        first, second = await _queued(home, hold, store)
        store.tasks, store.faults["page"] = "session ", [RuntimeError("broken")]
        hold.set()
        assert (await home.end_of(first)).type == "turn.completed"
        end = await home.end_of(second)
        assert (end.type, getattr(end, "code", None)) == ("turn.failed", "internal")
        await _still_answers(home)
    assert "RuntimeError: broken" in caplog.text


@pytest.mark.parametrize(
    "fault", [*refusals(1), StateConflict("session", "s_1", "paused"), RuntimeError("broken")]
)
async def test_the_expiry_sweep_continues_after_a_fault(fault: Exception) -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        kept: Any = await home.execute(StartSession("apollo", ttl=60.0))
        store.refused_payloads[SessionStateChanged] = [fault]
        row, head = await store.get("session", kept.id), await store.head(kept.id)
        assert row is not None
        assert head is not None
        after = Position(head.epoch, head.head)
        from rhetor.hub.catalog.sessions import session_of, session_row

        old = replace(session_of(row), used_at=0)
        await store.commit(kept.id, [], rows=[session_row(old)])
        await home.until(kept.id, after, SessionStateChanged)
        found = await store.get("session", kept.id)
        assert found is not None
        assert found.state == "expired"
        assert store.refused_payloads[SessionStateChanged] == []
        await _still_answers(home)


async def test_an_answer_is_forwarded_once_the_outbox_can_be_read_again() -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        terminal: Any = await home.execute(PutTerminal("desk"))
        head = await store.head(terminal.stream)
        assert head is not None
        await home.execute(PutForward("apollo", "desk"))
        store.faults["find delivery"] = [*refusals(2), RuntimeError("broken")]
        await home.end_of(await home.send(target="apollo", content="hello"))
        await home.until(terminal.stream, Position(head.epoch, 0), MessageForwarded)
        assert store.faults["find delivery"] == []
        await _still_answers(home)


async def test_an_unexpected_error_in_a_step_fails_only_that_step() -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        heads = store.head

        async def broken(stream: str) -> Any:
            task = asyncio.current_task()
            if task is not None and task.get_name().startswith("step "):
                raise RuntimeError("broken")
            return await heads(stream)

        store.head = broken  # type: ignore[method-assign]
        events = await home.run_plan(StartPlan((Step("a", "apollo", "hi"),)))
        store.head = heads  # type: ignore[method-assign]
        payloads = [event.payload for event in events]
        assert [(p.step, p.code) for p in payloads if isinstance(p, StepFailed)] == [("a", "internal")]
        assert PlanEnded("failed") in payloads
        await _still_answers(home)


async def _until_empty(faults: list[Fault]) -> None:
    for _ in range(500):
        if not faults:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{faults} were not met")


async def test_the_hub_keeps_running_if_an_abandoned_call_cannot_be_read() -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold], store=store, limits=Limits(abandon_after=0.01)) as home:
        accepted = await home.send(target="apollo", content="hello")
        store.faults["get session"] = [RuntimeError("broken")]
        waiting = asyncio.create_task(home.hub.answer(accepted))
        await asyncio.sleep(0)
        waiting.cancel()
        await _until_empty(store.faults["get session"])
        await _still_answers(home)
        hold.set()


async def test_background_work_that_fails_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    async with house() as home:
        task = home.hub.state.background.start(broken(), "tidy up")
        await asyncio.wait([task])
        assert task.get_name() == "tidy up"
        await _still_answers(home)
    failed = [r for r in caplog.records if r.getMessage() == "background work failed"]
    assert [(r.__dict__["task"], r.exc_info is not None) for r in failed] == [("tidy up", True)]


def _answer_in(payloads: list[Payload]) -> str:
    return "".join(p.text for p in payloads if isinstance(p, OutputDelta))


async def test_output_is_kept_if_only_the_turns_end_cannot_be_stored() -> None:
    store = RefusingStore()
    async with house([Text("one "), Text("two "), Text("three"), Done()], store=store) as home:
        store.refused_payloads[TurnCompleted] = [RuntimeError("broken")]
        accepted = await home.send(target="apollo", content="count")
        end = await home.end_of(accepted)
        assert (end.type, getattr(end, "code", None)) == ("turn.failed", "internal")
        assert _answer_in(await home.log(accepted.session_id)) == "one two three"
        await _still_answers(home)


@pytest.mark.parametrize("fault", ["end", "output"])
async def test_a_turn_ends_and_the_next_one_runs_whatever_cannot_be_stored(fault: str) -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold, Text("first"), Done()], store=store) as home:
        first, second = await _queued(home, hold, store)
        if fault == "end":
            store.refused_payloads[TurnCompleted] = [RuntimeError("broken")]
            store.refused_payloads[TurnFailed] = [RuntimeError("broken") for _ in range(2)]
        else:
            store.refused_payloads[OutputDelta] = [RuntimeError("broken") for _ in range(2)]
        hold.set()
        assert (await home.end_of(first)).type == "turn.failed"
        assert (await home.end_of(second)).type == "turn.completed"
        assert await store.find("turn", state="running") == []
        await _still_answers(home)


async def test_output_that_is_being_stored_is_kept_if_the_turn_is_stopped() -> None:
    store, refused = RefusingStore(), asyncio.Event()

    async def stored(stream: str, drafts: Sequence[Draft], rows: Sequence[Row]) -> None:
        if any(isinstance(draft.payload, OutputDelta) for draft in drafts) and not refused.is_set():
            refused.set()
            raise StoreRefused("the disk is full")

    async with house([Text("some text"), asyncio.Event(), Done()], store=store) as home:
        store.before_commit = stored
        session: Any = await home.execute(StartSession("apollo"))
        accepted = await home.send(session_id=session.id, content="go")
        await refused.wait()
        await home.execute(InterruptSession(session.id))
        assert (await home.end_of(accepted)).type == "turn.interrupted"
        assert _answer_in(await home.log(session.id)) == "some text"


async def test_the_steps_of_a_plan_wait_while_the_store_rejects_commits() -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        store.tasks = "step "
        store.faults |= {"page": refusals(1), "commit": refusals(3)}
        steps = (Step("a", "apollo", "hi", context_window=0), Step("b", "athena", "", needs=("a",)))
        events = await home.run_plan(StartPlan(steps, ""))
        assert events[-1].payload == PlanEnded("completed")
        assert store.faults == {"page": [], "commit": []}


async def test_a_caller_gets_the_answer_after_a_brief_failure_of_store_reads() -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold, Text("done"), Done()], store=store) as home:
        accepted = await home.send(target="apollo", content="go")
        waiting = asyncio.create_task(home.end_of(accepted), name="caller")
        store.tasks, store.faults["page"] = "caller", refusals(2)
        hold.set()
        assert (await waiting).type == "turn.completed"
        assert store.faults["page"] == []
