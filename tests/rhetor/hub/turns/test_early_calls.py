"""A model is called while its message is being stored, and nothing of its turn is stored or shown before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import ME, House, house
from tests.rhetor.hub.refusing import RefusingStore
from tests.scripted import Script, peer

from rhetor.domain.budget import Budget
from rhetor.domain.command import InterruptSession, SaveSession, SendMessage, StartSession
from rhetor.domain.event import MessageAccepted, PermissionAsked
from rhetor.domain.output import Done, Text
from rhetor.domain.tool import Tool
from rhetor.errors import StoreRefused
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Draft, Row

pytestmark = pytest.mark.anyio

ANSWER: Script = (Text("hello"), Done())


class HoldingStore(RefusingStore):
    """Holds the next commit with a message until `released`, and raises `fault` then. `streams`: of the
    commits that came meanwhile."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__()
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        self.fault = fault
        self.before_commit = self._hold

    async def _hold(self, stream: str, drafts: Sequence[Draft], rows: Sequence[Row]) -> None:
        if self.reached.is_set() or not any(isinstance(d.payload, MessageAccepted) for d in drafts):
            return
        self.reached.set()
        await self.released.wait()
        if self.fault is not None:
            raise self.fault


async def _sending(home: House, store: HoldingStore, message: SendMessage) -> asyncio.Task[Accepted]:
    sending = asyncio.ensure_future(home.send(message))
    await store.reached.wait()
    for _ in range(20):  # whatever runs meanwhile has run
        await asyncio.sleep(0)
    return sending


async def _types(home: House, stream: str) -> list[str]:
    return [payload.type for payload in await home.log(stream)]


async def _sessions(store: HoldingStore) -> Sequence[Row]:
    return await store.find("session")


async def _is_quiet(home: House) -> bool:
    state = home.hub.state
    return not (state.runners or state.pending)


async def test_a_model_answers_while_its_message_is_stored_and_all_is_stored_in_order() -> None:
    store = HoldingStore()
    async with house(ANSWER, store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo"))
        assert home.driver.heard == [("apollo", "hi")]
        assert await _sessions(store) == []
        store.released.set()
        accepted = await sending
        assert (await home.end_of(accepted)).type == "turn.completed"
        wanted = ["session.state", "message.accepted", "turn.started", "output.delta", "turn.completed"]
        assert (await _types(home, accepted.session_id))[:5] == wanted


async def test_the_call_is_cut_off_and_nothing_is_stored_if_the_message_is_rejected() -> None:
    store, hold = HoldingStore(StoreRefused("the disk is full")), asyncio.Event()
    async with house([Text("hel"), hold, *ANSWER], store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo"))
        assert home.driver.running == 1
        store.released.set()
        with pytest.raises(StoreRefused):
            await sending
        for _ in range(20):
            await asyncio.sleep(0)
        assert (home.driver.running, home.driver.ended_early) == (0, 1)
        assert await _sessions(store) == []
        assert await store.find("turn") == []
        assert await _is_quiet(home)
        again = await home.send(SendMessage("hi", "apollo"))
        assert (await home.end_of(again)).type == "turn.completed"


async def test_an_answer_that_is_complete_before_its_message_is_rejected_leaves_no_trace() -> None:
    store = HoldingStore(StoreRefused("the disk is full"))
    async with house([Done()], store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo"))
        assert home.driver.running == 0
        store.released.set()
        with pytest.raises(StoreRefused):
            await sending
        for _ in range(20):
            await asyncio.sleep(0)
        assert await _sessions(store) == []
        assert await _is_quiet(home)


async def test_no_more_is_read_of_an_answer_until_its_beginning_is_stored() -> None:
    store = HoldingStore()
    async with house(ANSWER, store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo"))
        assert home.driver.running == 1
        store.released.set()
        assert (await home.end_of(await sending)).type == "turn.completed"
        assert home.driver.running == 0


async def test_an_answer_that_began_before_its_message_is_rejected_leaves_no_trace() -> None:
    store = HoldingStore(StoreRefused("the disk is full"))
    async with house(ANSWER, store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo"))
        store.released.set()
        with pytest.raises(StoreRefused):
            await sending
        for _ in range(20):
            await asyncio.sleep(0)
        assert (home.driver.running, home.driver.ended_early) == (0, 1)
        assert await _sessions(store) == []
        assert await _is_quiet(home)


async def test_a_message_that_waits_behind_a_rejected_one_is_answered() -> None:
    store, hold = HoldingStore(StoreRefused("the disk is full")), asyncio.Event()
    async with house([hold, *ANSWER], store=store) as home:
        session: Any = await home.execute(StartSession("apollo"))
        sending = await _sending(home, store, SendMessage("one", session_id=session.id))
        second = await home.send(SendMessage("two", session_id=session.id))
        store.released.set()
        with pytest.raises(StoreRefused):
            await sending
        assert (await home.end_of(second)).type == "turn.completed"
        assert home.driver.heard == [("apollo", "one"), ("apollo", "two")]
        assert await _is_quiet(home)


async def test_a_turn_can_be_interrupted_before_its_message_is_stored() -> None:
    store, hold = HoldingStore(), asyncio.Event()
    async with house([hold, *ANSWER], store=store) as home:
        session: Any = await home.execute(StartSession("apollo"))
        sending = await _sending(home, store, SendMessage("hi", session_id=session.id))
        interrupting = asyncio.ensure_future(home.execute(InterruptSession(session.id)))
        for _ in range(20):
            await asyncio.sleep(0)
        store.released.set()
        accepted = await sending
        assert (await home.end_of(accepted)).type == "turn.interrupted"
        await interrupting
        assert home.driver.ended_early == 1


async def test_the_second_message_of_a_session_has_the_first_as_its_history() -> None:
    store = HoldingStore()
    async with house(store=store) as home:
        session: Any = await home.execute(StartSession("apollo", context_window=10))
        store.released.set()
        for content in ("one", "two"):
            await home.end_of(await home.send(SendMessage(content, session_id=session.id)))
        said = [[past.content for past in history] for history in home.driver.histories]
        assert said == [[], ["one", "apollo heard: one"]]


async def test_the_first_message_of_a_session_with_a_context_window_is_answered_early() -> None:
    store = HoldingStore()
    async with house(ANSWER, store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo", context_window=10))
        assert home.driver.heard == [("apollo", "hi")]
        store.released.set()
        assert (await home.end_of(await sending)).type == "turn.completed"


async def test_a_message_with_an_idempotency_key_is_stored_before_the_model_is_called() -> None:
    store = HoldingStore()
    async with house(store=store) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo", command_id="c1"))
        assert home.driver.heard == []
        store.released.set()
        assert (await home.end_of(await sending)).type == "turn.completed"
        again = await home.send(SendMessage("hi", "apollo", command_id="c1"))
        assert again.replayed
        assert home.driver.heard == [("apollo", "hi")]


@pytest.mark.parametrize("has", ["tools of the client", "MCP servers"])
async def test_a_model_with_tools_is_called_after_its_message_is_stored(has: str) -> None:
    store, tooled = HoldingStore(), peer("apollo")
    tools: tuple[Tool, ...] = ()
    if has == "MCP servers":
        tooled = replace(tooled, mcp_servers=("files",))
    else:
        tools = (Tool("now", "the time", {"type": "object"}),)
    async with house(store=store, peers=[tooled]) as home:
        session: Any = await home.execute(StartSession("apollo", tools=tools))
        sending = await _sending(home, store, SendMessage("hi", session_id=session.id))
        assert home.driver.heard == []
        store.released.set()
        assert (await home.end_of(await sending)).type == "turn.completed"


async def test_a_turn_that_a_budget_pauses_asks_after_its_message_is_stored() -> None:
    store = HoldingStore()
    async with house(store=store, budgets=[Budget("peer.apollo", tokens_per_day=0)]) as home:
        sending = await _sending(home, store, SendMessage("hi", "apollo"))
        assert home.driver.heard == []
        store.released.set()
        accepted = await sending
        await home.until(accepted.session_id, accepted.after, PermissionAsked)
        assert home.driver.heard == []


async def test_a_message_is_answered_again_after_a_conflict_with_another_change() -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        session: Any = await home.execute(StartSession("apollo", ttl=60.0))

        async def before(*_: object) -> None:
            store.before_commit = None
            await home.hub.execute(ME, SaveSession(session.id, "plans"))

        store.before_commit = before
        accepted = await home.send(SendMessage("hi", session_id=session.id))
        assert (await home.end_of(accepted)).type == "turn.completed"
        types = await _types(home, accepted.session_id)
        assert types.count("message.accepted") == types.count("turn.completed") == 1
