"""If a row changes between a use case's read and its commit, neither change is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from tests.rhetor.hub.house import ME, House, house
from tests.rhetor.hub.refusing import RefusingStore

from rhetor.domain.command import (
    Command,
    MakeCheckpoint,
    PauseSession,
    RestoreSession,
    SaveSession,
    SendMessage,
    StartSession,
    StopSession,
)
from rhetor.domain.event import ForwardFailed, TurnStarted
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.rule_commands import PutForward
from rhetor.domain.session import Session
from rhetor.errors import StoreRefused
from rhetor.hub.catalog.sessions import session_of
from rhetor.store.base import Draft, Row

pytestmark = pytest.mark.anyio


async def _session(store: RefusingStore, id: str) -> Session:
    row = await store.get("session", id)
    assert row is not None
    return session_of(row)


def _first(store: RefusingStore, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` after the next use case has read its rows and before it commits."""

    async def before(*_: object) -> None:
        store.before_commit = None
        await work()

    store.before_commit = before


def _save_first(home: House, store: RefusingStore, session_id: str) -> None:
    _first(store, lambda: home.hub.execute(ME, SaveSession(session_id, "plans")))


async def test_a_name_saved_during_a_send_is_kept() -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        session: Any = await home.execute(StartSession("apollo", ttl=60.0))
        _save_first(home, store, session.id)
        accepted = await home.send(SendMessage("hello", session_id=session.id))
        assert (await home.end_of(accepted)).type == "turn.completed"
        kept = await _session(store, session.id)
        assert (kept.name, kept.ttl) == ("plans", None)


@pytest.mark.parametrize("change", ["pause", "restore"])
async def test_a_name_saved_during_another_change_is_kept(change: str) -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        session: Any = await home.execute(StartSession("apollo", ttl=60.0))
        await home.end_of(await home.send(SendMessage("hello", session_id=session.id)))
        made: Any = await home.execute(MakeCheckpoint(session.id))
        commands: dict[str, Command] = {
            "pause": PauseSession(session.id),
            "restore": RestoreSession(session.id, made.checkpoint.id),
        }
        _save_first(home, store, session.id)
        await home.execute(commands[change])
        kept = await _session(store, session.id)
        assert (kept.name, kept.ttl) == ("plans", None)
        assert kept.state == ("paused" if change == "pause" else "active")


async def test_a_session_saved_while_its_only_turn_ends_is_kept() -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold], store=store) as home:
        accepted = await home.send(target="apollo", content="hello")
        await home.execute(SaveSession(accepted.session_id, "plans"))
        hold.set()
        await home.end_of(accepted)
        kept = await _session(store, accepted.session_id)
        assert (kept.name, kept.state, kept.once) == ("plans", "active", False)
        again = await home.send(SendMessage("and now?", session_id=accepted.session_id))
        assert (await home.end_of(again)).type == "turn.completed"


async def test_a_queued_turn_cancelled_while_it_starts_does_not_run() -> None:
    store, hold = RefusingStore(), asyncio.Event()
    async with house([hold], store=store) as home:
        session: Any = await home.execute(StartSession("apollo"))
        first = await home.send(SendMessage("one", session_id=session.id))
        second = await home.send(SendMessage("two", session_id=session.id))

        async def before(stream: str, drafts: Sequence[Draft], rows: Sequence[Row]) -> None:
            if any(isinstance(draft.payload, TurnStarted) for draft in drafts):
                store.before_commit = None
                await home.hub.execute(ME, StopSession(session.id))

        store.before_commit = before
        hold.set()
        await home.end_of(first)
        assert (await home.end_of(second)).type == "turn.cancelled"
        row = await store.get("turn", second.turn_id)
        assert row is not None
        assert row.state == "cancelled"
        assert [content for _, content in home.driver.heard] == ["one"]


async def test_a_forward_replaced_while_it_fails_stays_replaced() -> None:
    store = RefusingStore()
    async with house(store=store) as home:
        await home.execute(PutForward("apollo", "athena"))
        peers = home.hub.state.peers
        gone, name = peers._peers.pop("athena"), peers._names.pop("athena")  # this makes the delivery fail

        async def before(stream: str, drafts: Sequence[Draft], rows: Sequence[Row]) -> None:
            if any(isinstance(draft.payload, ForwardFailed) for draft in drafts):
                store.before_commit = None
                await home.hub.execute(ME, PutForward("apollo", "prometheus"))

        store.before_commit = before
        accepted = await home.send(target="apollo", content="hello")
        await home.until(accepted.session_id, accepted.after, ForwardFailed)
        peers._peers["athena"], peers._names["athena"] = gone, name
        rows = await store.find("forward")
        forward = home.hub.state.routing_table.forward_of("me", "apollo")
        assert forward is not None
        assert (forward.to, forward.failed) == ("prometheus", None)
        assert [b'"prometheus"' in row.doc and b'"failed":null' in row.doc for row in rows] == [True]


async def test_many_senders_to_one_session_are_all_accepted() -> None:
    async with house() as home:
        session: Any = await home.execute(StartSession("apollo"))
        sent = [home.send(SendMessage(f"{n}", session_id=session.id)) for n in range(50)]
        accepted = await asyncio.gather(*sent)
        assert len({each.turn_id for each in accepted}) == 50
        ends = [(await home.end_of(each)).type for each in accepted]
        assert ends == ["turn.completed"] * 50


async def test_statistics_are_complete_after_a_rejected_commit() -> None:
    """A retried commit must not overwrite statistics that were committed in the meantime."""
    store = RefusingStore()
    async with house(store=store) as home:
        refused = asyncio.Event()

        async def before(stream: str, drafts: Sequence[Draft], rows: Sequence[Row]) -> None:
            if not refused.is_set() and any(row.kind == "peer_stats" for row in rows):
                refused.set()
                other = await home.hub.execute(ME, SendMessage("second", "apollo"))
                await home.hub.answer(other)
                raise StoreRefused("the disk is full")

        store.before_commit = before
        await home.end_of(await home.send(target="apollo", content="first"))
        row = await store.get("peer_stats", "apollo")
        assert row is not None
        assert msgspec.json.decode(row.doc, type=PeerStats).turns == pytest.approx(2, abs=1e-3)  # they fade
