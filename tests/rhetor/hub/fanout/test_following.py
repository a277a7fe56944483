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
from rhetor.domain.output import Done, Output, Text
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


class Request(list[Output]):
    """A script that records when more of it is read."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    def __iter__(self) -> Iterator[Output]:
        yield Text("a")
        self._order.append("more is read")
        yield Done()


async def test_followers_receive_the_first_output_before_more_is_read() -> None:
    order: list[str] = []
    async with house(Request(order)) as home:
        accepted = await home.send(session_id=await _session(home), content="hi")
        await home.until(accepted.session_id, accepted.after, OutputDelta)
        order.append("seen")
        await home.end_of(accepted)
    assert order == ["seen", "more is read"]


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
    store = CountingStore()
    async with house([Text("a"), Done()], store=store) as home:
        session = await _session(home)
        store.commits.clear()
        with _waiting_for_the_end(home, session), ExitStack() as reading:
            for _ in range(others):
                reading.enter_context(home.hub.state.presence.reader(session))
            await _ended(home, session)
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


async def _ended(home: House, session: str) -> None:
    """Run a turn without a reader. `home.end_of` would count as one."""
    accepted = await home.send(session_id=session, content="hi")
    await turn_end(home.store, session, accepted.turn_id, accepted.after)


@contextmanager
def _waiting_for_the_end(home: House, session: str) -> Iterator[None]:
    presence = home.hub.state.presence
    with presence.waiting_for_end(session), presence.reader(session):
        yield
