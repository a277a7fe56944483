"""When output reaches followers at once, and when it is gathered first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.rhetor.hub.house import House, house

from rhetor.domain.command import StartSession
from rhetor.domain.event import OutputDelta
from rhetor.domain.output import Done, Text
from rhetor.domain.session import Session
from rhetor.hub.catalog.turn_log import turn_end
from rhetor.hub.turns.turn_run import GATHER_BYTES
from rhetor.store.base import Committed, Draft
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


class CountingStore(MemoryStore):
    """Records the event types of each commit."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_000_000)
        self.commits: list[list[str]] = []

    async def commit(self, stream: str, drafts: Sequence[Draft], **more: Any) -> Committed:
        self.commits.append([draft.payload.type for draft in drafts])
        return await super().commit(stream, drafts, **more)


async def _session(home: House) -> str:
    session = await home.execute(StartSession("apollo"))
    assert isinstance(session, Session)
    return session.id


async def test_followers_receive_the_first_output_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhetor.hub.turns.turn_run.GATHER_SECONDS", 30.0)
    more = asyncio.Event()
    async with house([Text("a"), more, Done()]) as home:
        accepted = await home.send(session_id=await _session(home), content="hi")
        async with asyncio.timeout(60):
            await home.until(accepted.session_id, accepted.after, OutputDelta)
        more.set()
        await home.end_of(accepted)


async def test_what_has_arrived_of_an_answer_is_one_commit() -> None:
    store = CountingStore()
    async with house([Text("a"), Text("b"), Done()], store=store) as home:
        session = await _session(home)
        store.commits.clear()
        with home.hub.state.presence.reader(session):
            await _ended(home, session)
        assert OutputDelta("ab") in await home.log(session)
    assert store.commits == [START, ["output.delta", "turn.completed"]]


START = ["message.accepted", "turn.started"]


@pytest.mark.parametrize(
    ("others", "commits"),
    [
        (0, [START, ["output.delta", "turn.completed"]]),
        (1, [START, ["output.delta"], ["turn.completed"]]),
    ],
    ids=["only the caller", "a reader beside it"],
)
async def test_a_short_answer_is_one_commit_if_all_readers_wait_for_its_end(
    others: int, commits: list[list[str]]
) -> None:
    store, pause = CountingStore(), asyncio.Event()
    async with house([Text("a"), pause, Done()], store=store) as home:
        session = await _session(home)
        store.commits.clear()
        with _waiting_for_the_end(home, session), ExitStack() as reading:
            for _ in range(others):
                reading.enter_context(home.hub.state.presence.reader(session))
            await _ended(home, session, pause)
    assert store.commits == commits


async def test_a_long_output_is_committed_at_once_if_all_readers_wait_for_the_end() -> None:
    store = CountingStore()
    async with house([Text("x" * GATHER_BYTES), Done()], store=store) as home:
        session = await _session(home)
        store.commits.clear()
        with _waiting_for_the_end(home, session):
            await _ended(home, session)
    assert store.commits == [START, ["output.delta"], ["turn.completed"]]


async def test_gathered_output_is_logged_before_its_turn_ends() -> None:
    over = asyncio.Event()
    async with house([Text("a"), over, Done()]) as home:
        session = await _session(home)
        with _waiting_for_the_end(home, session):
            accepted = await home.send(session_id=session, content="hi")
            events = await home.until(session, accepted.after, OutputDelta)
            over.set()
            await home.end_of(accepted)
    assert [event.payload for event in events][-1] == OutputDelta("a", "answer")


async def _ended(home: House, session: str, pause: asyncio.Event | None = None) -> None:
    """Run a turn without a reader. `home.end_of` would count as one. The peer waits at `pause` for
    some turns of the event loop."""
    accepted = await home.send(session_id=session, content="hi")
    if pause is not None:
        for _ in range(10):
            await asyncio.sleep(0)
        pause.set()
    await turn_end(home.store, session, accepted.turn_id, accepted.after)


@contextmanager
def _waiting_for_the_end(home: House, session: str) -> Iterator[None]:
    presence = home.hub.state.presence
    with presence.waiting_for_end(session), presence.reader(session):
        yield
