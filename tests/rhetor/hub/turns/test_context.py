"""Context that is sent before a message: promoted context once, purposes with every message."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.hub.forwarding.test_forwards import AGENT_OF_APOLLO
from tests.rhetor.hub.house import OTHER, House, house
from tests.rhetor.hub.test_recovery import crashed

from rhetor.domain import event as ev
from rhetor.domain.command import Command, PauseSession, ResumeSession, StartPlan, StartSession
from rhetor.domain.plan import Step
from rhetor.domain.rule_commands import (
    ClearContext,
    PromoteContext,
    PutPurpose,
    PutTerminal,
    RemoveTerminal,
    StageContext,
)
from rhetor.domain.rules import Context, Purpose
from rhetor.domain.session import Session
from rhetor.errors import Forbidden, Malformed, StateConflict, TooLarge, UnknownPeer
from rhetor.hub.core.limits import Limits
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio
FENCED = re.compile(r"\[Context: ([^\]]+)\]\n(--- [0-9a-f]{16} ---)\n(.*?)\n\2\n\n", re.DOTALL)


async def promoted(home: House, *texts: str, peer: str = "apollo") -> None:
    for text in texts:
        await home.execute(StageContext(peer, text))
    await home.execute(PromoteContext(peer))


def split(message: str) -> tuple[list[tuple[str, str]], str]:
    """Split a message into its context, as pairs of source and text, and the rest."""
    found = [(match[1], match[3]) for match in FENCED.finditer(message)]
    return found, FENCED.sub("", message)


def injected(payloads: list[ev.Payload]) -> list[tuple[tuple[str, ...], Any]]:
    return [(p.prompts, p.metadata["source"]) for p in payloads if isinstance(p, ev.ContextInjected)]


async def test_context_is_staged_then_promoted_then_sent_once() -> None:
    async with house() as home:
        await home.execute(StageContext("apollo-ai", "we use Postgres"))
        await home.end_of(await home.send(target="apollo", content="0"))
        staged = await home.execute(PromoteContext("apollo"))
        assert isinstance(staged, Context)
        assert (staged.staged, staged.next) == ((), ("we use Postgres",))
        await home.execute(StageContext("apollo", "and Redis"))
        accepted = await home.send(target="apollo", content="1")
        await home.end_of(accepted)
        await home.end_of(await home.send(target="apollo", content="2"))
        heard = [split(message) for _, message in home.driver.heard]
        assert heard == [([], "0"), ([("me", "we use Postgres")], "1"), ([], "2")]
        log = await home.log(accepted.session_id)
        assert [p.type for p in log][:4] == [
            "session.state",
            "context.injected",
            "message.accepted",
            "turn.started",
        ]
        assert injected(log) == [(("we use Postgres",), "me")]
        assert isinstance(log[2], ev.MessageAccepted)
        assert log[2].content == "1"


@pytest.mark.parametrize("on_disk", [False, True])
async def test_exactly_one_of_many_concurrent_messages_has_the_promoted_context(
    tmp_path: Path, on_disk: bool
) -> None:
    clock = partial(int, 1)
    store = await SqliteStore.open(tmp_path / "hub.db", clock=clock) if on_disk else MemoryStore(clock=clock)
    async with house(store=store) as home:
        await promoted(home, "a", "b")
        accepted = await asyncio.gather(
            *(home.send(target="apollo", content=f"m{n}") for n in range(10)),
            *(home.send(target="athena", content=f"m{n}") for n in range(10)),
            *(home.run_plan(StartPlan((Step("s", "apollo", f"p{n}"),))) for n in range(10)),
        )
        for one in accepted[:20]:
            await home.end_of(one)  # type: ignore[arg-type]
        heard = [split(message)[0] for _, message in home.driver.heard]
        assert len(heard) == 30
        assert [each for each in heard if each] == [[("me", "a"), ("me", "b")]]
    await store.aclose()


async def test_a_waiting_message_keeps_its_context_until_its_turn_starts() -> None:
    async with house() as home:
        session = await home.execute(StartSession("apollo"))
        assert isinstance(session, Session)
        await home.execute(PauseSession(session.id))
        await promoted(home, "now")
        waiting = await home.send(session_id=session.id, content="first")
        await home.send(session_id=session.id, content="second")
        await promoted(home, "later")
        await home.execute(ResumeSession(session.id))
        third = await home.send(session_id=session.id, content="third")
        await home.end_of(waiting)
        await home.end_of(third)
        heard = [split(message) for _, message in home.driver.heard]
        assert heard == [([("me", "now")], "first"), ([], "second"), ([("me", "later")], "third")]


async def test_a_step_of_a_plan_has_the_promoted_context_with_and_without_a_session() -> None:
    async with house() as home:
        await promoted(home, "x")
        events = await home.run_plan(StartPlan((Step("s", "apollo", "hi"),)))
        assert injected([e.payload for e in events]) == [(("x",), "me")]
        await promoted(home, "y")
        await home.run_plan(StartPlan((Step("s", "apollo", "hi", context_window=2),)))
        assert [split(message)[0] for _, message in home.driver.heard] == [[("me", "x")], [("me", "y")]]


async def test_a_repeated_command_consumes_no_context() -> None:
    async with house() as home:
        await home.end_of(await home.send(target="apollo", content="hi", command_id="k"))
        await promoted(home, "x")
        again = await home.send(target="apollo", content="hi", command_id="k")
        assert again.replayed
        await home.end_of(await home.send(target="apollo", content="next"))
        assert [split(message)[0] for _, message in home.driver.heard] == [[], [("me", "x")]]


async def test_after_a_crash_promoted_context_is_sent_exactly_once(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    try:
        async with house(store=store) as dead:
            await promoted(dead, "x")
            async with crashed(tmp_path) as home:
                await home.end_of(await home.send(target="apollo", content="1"))
                await home.end_of(await home.send(target="apollo", content="2"))
                heard = [split(message) for _, message in home.driver.heard]
                assert heard == [([("me", "x")], "1"), ([], "2")]
    finally:
        await store.aclose()


async def test_a_message_accepted_before_a_crash_keeps_its_context(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    try:
        async with house(store=store) as dead:
            session = await dead.execute(StartSession("apollo"))
            assert isinstance(session, Session)
            await dead.execute(PauseSession(session.id))
            await promoted(dead, "x")
            accepted = await dead.send(session_id=session.id, content="1")
            async with crashed(tmp_path) as home:
                await home.execute(ResumeSession(session.id))
                await home.end_of(accepted)
                await home.end_of(await home.send(target="apollo", content="2"))
                heard = [split(message) for _, message in home.driver.heard]
                assert heard == [([("me", "x")], "1"), ([], "2")]
    finally:
        await store.aclose()


async def test_context_belongs_to_its_owner_and_cleared_context_is_not_sent() -> None:
    async with house() as home:
        await promoted(home, "mine")
        await home.hub.execute(OTHER, StageContext("apollo", "theirs"))
        from_other = await home.hub.execute(OTHER, PromoteContext("apollo"))
        assert from_other.next == ("theirs",)
        await home.execute(ClearContext("apollo"))
        await home.end_of(await home.send(target="apollo", content="1"))
        assert home.driver.heard == [("apollo", "1")]


async def test_a_purpose_is_sent_with_each_message_to_its_peer() -> None:
    async with house() as home:
        await home.execute(PutPurpose("apollo-ai", "reviews"))
        for peer in ("apollo", "apollo", "athena"):
            await home.end_of(await home.send(target=peer, content="hi"))
        heard = [split(message)[0] for _, message in home.driver.heard]
        assert heard == [[("purpose", "reviews")], [("purpose", "reviews")], []]
        await home.execute(PutPurpose("apollo", " "))
        await home.end_of(await home.send(target="apollo", content="hi"))
        assert home.driver.heard[-1] == ("apollo", "hi")


async def test_the_purpose_of_a_terminal_is_sent_with_each_of_its_messages() -> None:
    async with house() as home:
        await home.execute(PutTerminal("jill"))
        await home.execute(PutPurpose("jill", "deploys"))
        for sender in ("jill", "jack"):
            await home.end_of(await home.send(target="apollo", content="hi", from_=sender))
        await home.run_plan(
            StartPlan((Step("a", "apollo", "hi"), Step("b", "athena", "", ("a",))), from_="jill")
        )
        sent_with = [injected([p]) for p in await _all_contexts(home)]
        assert sent_with == [[(("deploys",), "purpose of jill")]] * 2
        heard = [split(message)[0] for _, message in home.driver.heard[:2]]
        assert heard == [[("purpose of jill", "deploys")], []]


async def test_a_terminal_without_a_name_can_have_a_purpose() -> None:
    async with house() as home:
        await home.execute(PutPurpose("tty:4711", "deploys"))
        for sender in ("tty:4711", "tty:4712"):
            await home.end_of(await home.send(target="apollo", content="hi", from_=sender))
        heard = [split(message)[0] for _, message in home.driver.heard]
        assert heard == [[("purpose of the terminal", "deploys")], []]
        with pytest.raises(UnknownPeer):
            await home.execute(PutPurpose("tty:pts/3", "deploys"))


async def _all_contexts(home: House) -> list[ev.Payload]:
    """The context of all messages in sessions and plans."""
    rows = [row for kind in ("session", "plan") for row in await home.store.find(kind)]
    logs = [await home.log(row.id) for row in rows]
    return [payload for log in logs for payload in log if isinstance(payload, ev.ContextInjected)]


async def test_purposes_of_peers_and_terminals_survive_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    try:
        async with house(store=store) as home:
            await home.execute(PutTerminal("jill"))
            await home.execute(PutPurpose("jill", "watches"))
            await home.execute(PutPurpose("apollo", "reviews"))
        async with house(store=store) as home:
            assert {p.name: p.text for p in home.hub.state.routing_table.purposes.values()} == {
                "jill": "watches",
                "apollo": "reviews",
            }
    finally:
        await store.aclose()


async def test_a_purpose_is_removed_with_its_terminal_and_an_orphaned_one_can_be() -> None:
    async with house() as home:
        purposes = home.hub.state.routing_table.purposes
        await home.execute(PutTerminal("jill"))
        await home.execute(PutPurpose("jill", "watches"))
        await home.execute(RemoveTerminal("jill"))
        assert purposes == {}
        assert await home.hub.state.store.find("purpose") == []
        purposes["me", "lost"] = Purpose("me", "lost", "was somebody", 1)
        await home.execute(PutPurpose("lost", ""))
        assert purposes == {}
        with pytest.raises(UnknownPeer):
            await home.execute(PutPurpose("lost", ""))


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (StageContext("nobody", "x"), UnknownPeer),
        (StageContext("apollo", "  \n"), Malformed),
        (StageContext("apollo", "\ud800"), Malformed),
        (StageContext("apollo", "x" * 101), TooLarge),
        (PromoteContext("apollo"), StateConflict),
        (PromoteContext("nobody"), UnknownPeer),
        (PutPurpose("nobody", "x"), UnknownPeer),
        (PutPurpose("apollo", "x" * 4097), TooLarge),
    ],
)
async def test_invalid_context_and_purposes_are_rejected(command: Command, refused: type[Exception]) -> None:
    async with house(limits=Limits(message_bytes=100)) as home:
        with pytest.raises(refused):
            await home.execute(command)


async def test_the_size_of_context_that_waits_for_a_peer_is_bounded() -> None:
    async with house(limits=Limits(message_bytes=200)) as home:
        await promoted(home, "x" * 100)
        await home.execute(StageContext("apollo", "y" * 100))
        with pytest.raises(TooLarge):
            await home.execute(StageContext("apollo", "z"))


@pytest.mark.parametrize(
    "command",
    [
        StageContext("apollo", "x"),
        PromoteContext("apollo"),
        ClearContext("apollo"),
        PutPurpose("apollo", "x"),
    ],
)
async def test_a_peers_program_cannot_change_context_or_purposes(command: Command) -> None:
    async with house() as home:
        with pytest.raises(Forbidden):
            await home.hub.execute(AGENT_OF_APOLLO, command)
