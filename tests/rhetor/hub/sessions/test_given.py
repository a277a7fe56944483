"""Given conversations: clients of stateless APIs give the whole conversation with each message."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.rhetor.hub.house import OTHER, House, house
from tests.scripted import ScriptedConversation, ScriptedDriver

from rhetor.domain import event as ev
from rhetor.domain.command import SendMessage
from rhetor.domain.given import (
    Block,
    CallOptions,
    GivenConversation,
    GivenMessage,
    GivenTool,
    SaidCall,
    SaidResult,
    SaidText,
)
from rhetor.domain.output import Done, Output, Reasoned, ToolUse
from rhetor.domain.peer import Peer
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Store
from rhetor.store.blobs import FileBlobs

pytestmark = pytest.mark.anyio

WEATHER = GivenTool("get_weather", "Tells the weather.", {"type": "object", "properties": {}})


def said(text: str) -> GivenMessage:
    return GivenMessage("user", (SaidText(text),))


def answered(*blocks: Block | str) -> GivenMessage:
    return GivenMessage("assistant", tuple(SaidText(b) if isinstance(b, str) else b for b in blocks))


class Recording(ScriptedDriver):
    """Records the prompts that models get."""

    def __init__(self, *scripts: Sequence[object]) -> None:
        super().__init__(*scripts)  # type: ignore[arg-type]
        self.prompts: list[Prompt] = []

    async def open(self, peer: Peer, resume: str | None = None) -> ScriptedConversation:
        return RecordingConversation(self, peer)

    @property
    def given(self) -> list[GivenConversation]:
        return [prompt.given for prompt in self.prompts if prompt.given is not None]


class RecordingConversation(ScriptedConversation):
    def __init__(self, driver: Recording, peer: Peer) -> None:
        super().__init__(driver, peer)
        self._recording = driver

    def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        self._recording.prompts.append(message)
        return super().send(message, history)


class Client:
    """A client of a stateless API: it keeps the conversation, and gives all of it each time."""

    def __init__(self, hub: House, target: str = "apollo", **fields: object) -> None:
        self.house = hub
        self.target = target
        self.fields = fields
        self.messages: list[GivenMessage] = []

    async def give(self, *blocks: Block | str, **fields: object) -> Accepted:
        new = tuple(SaidText(b) if isinstance(b, str) else b for b in blocks)
        self.messages.append(GivenMessage("user", new))
        given = GivenConversation(tuple(self.messages), **self.fields)  # type: ignore[arg-type]
        content = "\n\n".join(block.text for block in new if isinstance(block, SaidText))
        whole: dict[str, object] = {"content": content, "target": self.target, "given": given, "api": "chat"}
        return await self.house.send(None, **{**whole, **fields})

    async def ask(self, *blocks: Block | str, **fields: object) -> Accepted:
        """Give a message, and take the answer of the peer into the conversation."""
        accepted = await self.give(*blocks, **fields)
        end = await self.house.end_of(accepted)
        assert isinstance(end, ev.TurnCompleted)
        calls = [p for p in await self.house.log(accepted.session_id) if isinstance(p, ev.ToolCalled)]
        own = [call for call in calls if call.runs_at == "caller"]
        known = {b.id for m in self.messages for b in m.blocks if isinstance(b, SaidCall)}
        new = [SaidCall(c.call_id, c.name, str(c.arguments)) for c in own if c.call_id not in known]
        self.messages.append(answered(end.text, *new))
        return accepted


@asynccontextmanager
async def given_house(
    folder: Path, *scripts: Sequence[object], store: Store | None = None
) -> AsyncIterator[tuple[House, Recording]]:
    driver = Recording(*scripts)
    async with house(driver=driver, kept=FileBlobs(folder / "blobs"), store=store) as found:
        yield found, driver


async def test_the_model_gets_the_conversation_as_the_client_gave_it(tmp_path: Path) -> None:
    given = GivenConversation(
        (said("hi"), answered("hello"), said("and now?")),
        system=(SaidText("Be brief.", "5m"),),
        tools=(WEATHER,),
        options=CallOptions("anthropic", max_tokens=10),
    )
    async with given_house(tmp_path) as (here, driver):
        accepted = await here.send(content="and now?", target="apollo", given=given, api="messages")
        await here.end_of(accepted)
        assert driver.given == [given]
        message = next(p for p in await here.log(accepted.session_id) if isinstance(p, ev.MessageAccepted))
        assert (message.content, message.api) == ("and now?", "messages")


async def test_a_client_that_gives_the_conversation_back_continues_its_session(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, driver):
        client = Client(here)
        first = await client.ask("one")
        second = await client.ask("two")
        third = await client.ask("three")
        assert first.session_id == second.session_id == third.session_id
        assert [len(given.messages) for given in driver.given] == [1, 3, 5]


async def test_only_the_head_of_a_conversation_is_continued(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, _):
        client = Client(here)
        first = await client.ask("one")
        second = await client.ask("two")
        client.messages = client.messages[:2]
        other = await client.ask("something else")
        stranger = Client(here)
        stranger.messages = [*client.messages]
        given = GivenConversation((*stranger.messages, said("more")))
        foreign = await here.hub.execute(
            OTHER, SendMessage(content="more", target="apollo", given=given, api="chat")
        )
        assert first.session_id == second.session_id
        assert len({first.session_id, other.session_id, foreign.session_id}) == 3


async def test_calls_of_the_clients_tools_end_the_turn(tmp_path: Path) -> None:
    script = [
        Reasoned("anthropic", {"type": "thinking", "signature": "x"}),
        ToolUse("call_1", "get_weather", {"city": "Paris"}, "caller"),
        ToolUse("call_2", "get_weather", {"city": "Rome"}, "caller"),
        Done("tool_calls"),
    ]
    async with given_house(tmp_path, script) as (here, _):
        client = Client(here, tools=(WEATHER,))
        first = await client.give("the weather?")
        end = await here.end_of(first)
        assert isinstance(end, ev.TurnCompleted)
        assert (end.text, end.finish_reason) == ("", "tool_calls")
        client.messages.append(
            answered(
                SaidCall("call_1", "get_weather", '{ "city":"Paris" }'),
                SaidCall("call_2", "get_weather", '{"city":"Rome"}'),
            )
        )
        results = [SaidResult("call_1", (SaidText("21"),)), SaidResult("call_2", (SaidText("30"),), True)]
        second = await client.ask(*results)
        assert second.session_id == first.session_id
        payloads = await here.log(first.session_id)
        assert [p.content for p in payloads if isinstance(p, ev.MessageAccepted)] == [
            "the weather?",
            "[Results of get_weather, get_weather]",
        ]
        returned = [p for p in payloads if isinstance(p, ev.ToolReturned)]
        assert returned == [ev.ToolReturned("call_1", "21"), ev.ToolReturned("call_2", "30", True)]
        kept = [p for p in payloads if isinstance(p, ev.ReasoningKept)]
        assert kept == [ev.ReasoningKept("anthropic", {"type": "thinking", "signature": "x"})]
