"""A line of the grammar as a peer: one session, whose turns run the line as a plan."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.rhetor.hub.house import ME, House, house

from rhetor.domain import event as ev
from rhetor.domain.command import InterruptSession, SendMessage
from rhetor.domain.given import GivenConversation, GivenMessage, GivenTool, SaidText
from rhetor.domain.lines import is_line
from rhetor.domain.output import Done, Text
from rhetor.errors import CannotRunLine, ProviderCut, RhetorError, UnknownPeer, Unprocessable
from rhetor.hub.plans.line_turn import model_peer
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.sessions.states import owned_session
from rhetor.store.blobs import FileBlobs

pytestmark = pytest.mark.anyio
LINE = 'athena "review this" | apollo'


def said(*texts: str) -> tuple[GivenMessage, ...]:
    """Return a conversation in which both sides speak in turn, the user first."""
    return tuple(
        GivenMessage("assistant" if number % 2 else "user", (SaidText(text),))
        for number, text in enumerate(texts)
    )


async def beginning(here: House, stream: str) -> ev.Position:
    head = await here.store.head(stream)
    assert head is not None
    return ev.Position(head.epoch, 0)


async def give(here: House, *texts: str, line: str = LINE, **fields: object) -> Accepted:
    given = GivenConversation(said(*texts), system=(SaidText("Be brief."),))
    command = SendMessage(texts[-1], line, given=given, api="chat", **fields)  # type: ignore[arg-type]
    return await here.send(command)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("apollo", False),
        ("claude-code", False),
        ("team:all", False),
        ("@code-analysis", False),
        ("athena | apollo", True),
        ("athena|apollo", True),
        ("{apollo|athena} | synthesis", True),
        ("apollo,athena", True),
        ("apollo -n5", True),
    ],
)
def test_a_recipient_with_more_than_a_name_is_a_line(target: str, expected: bool) -> None:
    assert is_line(target) is expected


async def test_each_message_runs_the_line_in_one_session(tmp_path: Path) -> None:
    async with house(kept=FileBlobs(tmp_path)) as here:
        first = await give(here, "some code")
        end = await here.end_of(first)
        assert isinstance(end, ev.TurnCompleted)
        (asked, reviewed), (_, heard) = here.driver.heard[:1][0], here.driver.heard[1]
        assert asked == "athena"
        assert reviewed.startswith("review this\n\n[Context: the client's instructions]")
        assert reviewed.endswith("some code")
        assert end.text == f"apollo heard: {heard}"
        second = await give(here, "some code", end.text, "more code")
        await here.end_of(second)
        assert second.session_id == first.session_id
        again = here.driver.heard[2][1]
        assert "Be brief." in again
        assert "User: some code" in again
        assert again.endswith("more code")
        session = await owned_session(here.hub.state, ME, first.session_id)
        assert (session.peer, session.metadata) == ("hub:line", {"line": LINE})
        started = [p.peer for p in await here.log(first.session_id) if isinstance(p, ev.StepStarted)]
        assert started == ["athena", "apollo"] * 2
        await here.end_of(await here.send(content="in the shell", session_id=first.session_id))
        last = here.driver.heard[4][1]
        assert "User: more code" in last
        assert last.endswith("in the shell")


async def test_a_group_answers_with_all_its_parts(tmp_path: Path) -> None:
    async with house(kept=FileBlobs(tmp_path)) as here:
        end = await here.end_of(await give(here, "hi", line="{apollo|athena}"))
        assert isinstance(end, ev.TurnCompleted)
        assert re.findall(r"^\[From (\w+)\]", end.text, re.MULTILINE) in (
            ["Apollo", "Athena"],
            ["Athena", "Apollo"],
        )


async def test_after_a_failed_step_the_next_attempt_continues_the_session(
    tmp_path: Path,
) -> None:
    ok, cut = [Text("ok"), Done()], [ProviderCut("cut")]
    async with house(ok, ok, cut, kept=FileBlobs(tmp_path)) as here:
        first = await give(here, "one")
        await here.end_of(first)
        failed = await give(here, "one", "ok", "two")
        end = await here.end_of(failed)
        assert isinstance(end, ev.TurnFailed)
        assert (end.code, failed.session_id) == ("provider_cut", first.session_id)
        again = await give(here, "one", "ok", "two")
        assert isinstance(await here.end_of(again), ev.TurnCompleted)
        assert again.session_id == first.session_id


async def test_an_interrupted_turn_ends_its_plan(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with house([gate], kept=FileBlobs(tmp_path)) as here:
        accepted = await give(here, "one")
        await here.until(accepted.session_id, accepted.after, ev.StepStarted)
        await here.execute(InterruptSession(accepted.session_id))
        assert isinstance(await here.end_of(accepted), ev.TurnInterrupted)
        (plan,) = await here.store.find("plan")
        await here.until(plan.id, await beginning(here, plan.id), ev.PlanEnded)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("athena | nobody", UnknownPeer),
        ("athena | history", CannotRunLine),
        ("athena > out.md", CannotRunLine),
        ("athena |", Unprocessable),
    ],
)
async def test_a_line_that_cannot_run_is_rejected_before_it_has_a_session(
    line: str, error: type[RhetorError]
) -> None:
    async with house() as here:
        with pytest.raises(error):
            await give(here, "hi", line=line)
        with pytest.raises(error):
            await model_peer(here.hub.state, ME, line)
        assert not await here.store.find("session")


async def test_a_line_has_no_tools_of_clients_and_keeps_to_its_session(tmp_path: Path) -> None:
    tools: Sequence[GivenTool] = (GivenTool("clock"),)
    async with house(kept=FileBlobs(tmp_path)) as here:
        given = GivenConversation(said("hi"), tools=tuple(tools))
        with pytest.raises(Unprocessable) as caught:
            await here.send(content="hi", target=LINE, given=given, api="chat")
        assert caught.value.data["param"] == "tools"
        first = await give(here, "one")
        await here.end_of(first)
        same = await give(here, "two", session_id=first.session_id)
        assert same.session_id == first.session_id
        with pytest.raises(Unprocessable, match="belongs to athena"):
            await give(here, "three", line="athena | prometheus", session_id=first.session_id)
        with pytest.raises(Unprocessable, match="has no line"):
            await here.send(content="hi", target="hub:line")
        with pytest.raises(Unprocessable, match="has no line"):
            await give(here, "hi", line="hub:line")
        assert {row.id for row in await here.store.find("session")} == {first.session_id}
