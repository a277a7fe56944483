"""Given conversations: clients of stateless APIs give the whole conversation with each message."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace
from tests.pictures import JPEG, PNG
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.rhetor.hub import agent_programs
from tests.rhetor.hub.agent_programs import ACP, agents
from tests.rhetor.hub.house import OTHER, House, house
from tests.scripted import ScriptedConversation, ScriptedDriver

from rhetor.domain import event as ev
from rhetor.domain.command import (
    ForkSession,
    MakeCheckpoint,
    RestoreSession,
    SendMessage,
    ShareSession,
    StopSession,
    UnshareSession,
)
from rhetor.domain.given import (
    Block,
    CallOptions,
    GivenConversation,
    GivenMessage,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.domain.output import Done, Output, Reasoned, Text, ToolUse
from rhetor.domain.parts import GivenPart
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Program
from rhetor.domain.turn import Turn
from rhetor.drivers.base import Download, Inputs, PastMessage, Prompt
from rhetor.errors import KeyReused, Malformed, ProviderFailed, TooLarge, Unprocessable
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.plans import old_streams
from rhetor.hub.sessions import given_store
from rhetor.hub.sessions.checkpoints import Made
from rhetor.hub.sessions.forks import Forked
from rhetor.hub.sessions.given_limits import MOST_BLOCKS, MOST_GIVEN_PARTS, MOST_SYSTEM, MOST_TOOLS
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns.given import given_to, given_turn, past_of_given
from rhetor.hub.turns.pending import PendingRequests
from rhetor.store.base import Store
from rhetor.store.blobs import FileBlobs
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
T = TypeVar("T")
PICTURES = [SaidPart(GivenPart("image", url="http://192.0.2.1/a.png"))] * (MOST_GIVEN_PARTS + 1)
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


class TakesImages:
    async def of(self, peer: Peer) -> Inputs:
        return Inputs(peer.name, frozenset({"image"}))

    async def check_schema(self, schema: Mapping[str, object]) -> None: ...


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
        self.messages.append(answered(*filter(None, (end.text,)), *new))
        return accepted


@asynccontextmanager
async def given_house(
    folder: Path, *scripts: Sequence[object], store: Store | None = None
) -> AsyncIterator[tuple[House, Recording]]:
    driver = Recording(*scripts)
    kept = FileBlobs(folder / "blobs")
    async with house(driver=driver, kept=kept, store=store, inputs=TakesImages()) as found:
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


async def test_a_conversation_that_waits_for_its_turn_is_read_back_as_it_was_given(tmp_path: Path) -> None:
    gate = asyncio.Event()
    first: list[object] = [Text("hello"), Done()]
    async with given_house(tmp_path, first, [gate, Text("done"), Done()]) as (here, driver):
        client = Client(here, system=(SaidText("Be brief.", "5m"), SaidText("Now.")), tools=(WEATHER,))
        started = await client.ask(SaidText("one", "5m"), SaidPart(GivenPart("image", data=PNG)))
        await here.send(content="wait", session_id=started.session_id)
        image = SaidResult("x", (SaidPart(GivenPart("image", data=JPEG)), SaidText("t")))
        client.messages[1] = answered(SaidReasoning("hm", "anthropic", {"signature": "s"}), SaidText("hello"))
        queued = await client.give(image, SaidText("two", "1h"), session_id=started.session_id)
        gate.set()
        await here.end_of(queued)
        given = driver.given[-1]
        assert given.system == client.fields["system"]
        assert given.tools == (WEATHER,)
        told = ["one", "hello", "wait", "done", "[Result of x: t]\n\ntwo"]
        assert [texts(message) for message in given.messages] == told
        assert given.messages[-1].blocks[-1] == SaidText("two", "1h")
        assert sorted(driver.prompts[-1].contents.values()) == sorted([PNG, JPEG])


async def test_what_is_stored_grows_with_the_conversation_and_not_with_each_message(
    tmp_path: Path,
) -> None:
    async with given_house(tmp_path) as (here, driver):
        client = Client(here, system=(SaidText("s" * 5000),), tools=(WEATHER,))
        for number in range(1, 9):
            if number == 5:  # the client gives an earlier message in another way, from now on
                client.messages[2] = GivenMessage("user", (SaidText(" question 2 " + "x" * 200),))
            accepted = await client.ask(SaidText(f"question {number} " + "x" * 200, "5m"))
        rows = await here.store.find("given", parent=accepted.session_id)
        assert len(rows) == 8
        assert max(len(row.doc) for row in rows) < 1500
        assert len(await here.store.find("session-blob", parent=accepted.session_id)) == 2
        assert len(await here.store.find("continuation", parent=accepted.session_id)) == 1
        session = session_of(not_none(await here.store.get("session", accepted.session_id)))
        stored = not_none(await given_turn(here.hub.state, session, accepted.turn_id))
        assert stored.conversation == driver.given[-1]


async def test_a_client_that_names_the_session_gives_only_its_new_messages(tmp_path: Path) -> None:
    script = [Text("I look."), ToolUse("c1", "get_weather", {"city": "Paris"}, "caller"), Done("tool_calls")]
    async with given_house(tmp_path, script) as (here, driver):
        first = await Client(here, tools=(WEATHER,)).give("the weather?")
        await here.end_of(first)
        result = SaidResult("c1", (SaidText("21"),))
        second = await Client(here, tools=(WEATHER,)).ask(result, session_id=first.session_id)
        await here.end_of(await here.send(content="thanks", session_id=first.session_id))
        third = await Client(here).ask("and now?", session_id=first.session_id)
        call = SaidCall("c1", "get_weather", '{"city":"Paris"}')
        assert second.session_id == third.session_id == first.session_id
        assert driver.given[1].messages == (
            said("the weather?"),
            answered("I look.", call),
            GivenMessage("user", (result,)),
        )
        assert [texts(message) for message in driver.given[2].messages] == [
            "the weather?",
            "I look.",
            "",
            "apollo heard: [Result of get_weather]",
            "thanks",
            "apollo heard: thanks",
            "and now?",
        ]


async def test_of_two_messages_that_continue_a_conversation_one_begins_a_new_session(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, _):
        client = Client(here)
        first = await client.ask("one")
        twin = Client(here)
        twin.messages = [*client.messages]
        found = await asyncio.gather(client.ask("left"), twin.ask("right"))
        sessions = {accepted.session_id for accepted in found}
        assert len(sessions) == 2
        assert first.session_id in sessions


async def test_a_message_whose_turn_failed_is_sent_again_in_the_same_session(tmp_path: Path) -> None:
    failed = [ProviderFailed("overloaded", retryable=True)]
    async with given_house(tmp_path, [Text("hello"), Done()], failed) as (here, driver):
        client = Client(here)
        first = await client.ask("one")
        second = await client.give("two")
        assert isinstance(await here.end_of(second), ev.TurnFailed)
        client.messages.pop()
        third = await client.ask("two")
        fourth = await client.ask("three")
        assert {second.session_id, third.session_id, fourth.session_id} == {first.session_id}
        session = session_of(not_none(await here.store.get("session", first.session_id)))
        stored = not_none(await given_turn(here.hub.state, session, fourth.turn_id))
        assert stored.conversation == driver.given[-1]


async def test_an_idempotency_key_finds_the_turn_of_the_same_request(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, driver):
        client = Client(here)
        await client.ask("one")
        first = await client.give("two", command_id="key")
        await here.end_of(first)
        client.messages.pop()
        again = await client.give("two", command_id="key")
        client.messages.pop()
        assert (again.session_id, again.turn_id, again.replayed) == (first.session_id, first.turn_id, True)
        assert len(driver.given) == 2
        with pytest.raises(KeyReused):
            await client.give("three", command_id="key")


async def test_a_conversation_that_others_continued_or_that_was_restored_begins_a_new_session(
    tmp_path: Path,
) -> None:
    async with given_house(tmp_path) as (here, _):
        client = Client(here)
        first = await client.ask("one")
        await here.end_of(await here.send(content="from the shell", session_id=first.session_id))
        second = await client.ask("two")
        third = await client.ask("three")
        checkpoint = await here.execute(MakeCheckpoint(second.session_id))
        assert isinstance(checkpoint, Made)
        await here.execute(RestoreSession(second.session_id, checkpoint.checkpoint.id))
        fourth = await client.ask("four")
        assert second.session_id == third.session_id
        assert len({first.session_id, second.session_id, fourth.session_id}) == 3


async def test_a_fork_knows_the_conversation_with_its_calls(tmp_path: Path) -> None:
    script = [ToolUse("c1", "get_weather", {}, "caller"), Done("tool_calls")]
    async with given_house(tmp_path, script) as (here, driver):
        client = Client(here, tools=(WEATHER,))
        first = await client.ask("the weather?")
        await client.ask(SaidResult("c1", (SaidText("21"),)))
        forked = await here.execute(ForkSession(first.session_id))
        assert isinstance(forked, Forked)
        accepted = await Client(here).ask("and now?", session_id=forked.session.id)
        await here.end_of(await here.send(content="in the shell", session_id=accepted.session_id))
        assert [len(message.blocks) for message in driver.given[-1].messages] == [1, 1, 1, 1, 1]
        assert isinstance(driver.given[-1].messages[1].blocks[0], SaidCall)
        told = [(past.role, past.content) for past in driver.histories[-1]]
        assert told == [
            ("user", "the weather?"),
            ("assistant", "[Call of get_weather: {}]"),
            ("user", "[Result of get_weather: 21]"),
            ("assistant", "apollo heard: [Result of get_weather]"),
            ("user", "and now?"),
            ("assistant", "apollo heard: and now?"),
        ]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ((), Malformed),
        ((answered("hello"),), Malformed),
        ((said(" "),), Malformed),
        ((said("x" * (1 << 21)),), TooLarge),
        ((said("one"), answered("x" * (1 << 21)), said("two")), TooLarge),
        ((GivenMessage("user", (SaidText("x"),) * MOST_BLOCKS),), Unprocessable),
        ((GivenMessage("user", (SaidResult("c", (SaidText("x"),) * MOST_BLOCKS),)),), Unprocessable),
        ((said("x"),) * (MOST_BLOCKS + 1), Unprocessable),
        ((said("one"), answered(*PICTURES), said("two")), Unprocessable),
    ],
)
async def test_an_invalid_conversation_is_rejected(
    messages: tuple[GivenMessage, ...], error: type[Exception], tmp_path: Path
) -> None:
    async with given_house(tmp_path) as (here, _):
        with pytest.raises(error):
            await here.send(content="", target="apollo", given=GivenConversation(messages), api="chat")


async def test_more_tools_than_any_model_takes_are_rejected(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, _):
        with pytest.raises(Unprocessable, match="at most 1,000 tools, not 1,001"):
            await Client(here, tools=(WEATHER,) * (MOST_TOOLS + 1)).give("hi")


async def test_a_url_is_read_once_and_not_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    async def download(url: str, *, loopback: bool) -> Download:
        read.append(url)
        return Download(PNG, "image/png", "a.png")

    async with given_house(tmp_path) as (here, _):
        here.hub.state.download = download
        client = Client(here)
        await client.ask(*PICTURES[:3])
        assert read == ["http://192.0.2.1/a.png"]
        monkeypatch.setattr(given_store, "URL_SECONDS", 0.0)
        with pytest.raises(Unprocessable, match="took more than 0 s to read"):
            await client.give(SaidPart(GivenPart("image", url="http://192.0.2.1/b.png")))
        assert len(read) == 1


async def test_very_many_system_texts_reach_the_model_as_a_few(tmp_path: Path) -> None:
    texts = tuple(SaidText(f"rule {n}") for n in range(3 * MOST_SYSTEM))
    async with given_house(tmp_path) as (here, driver):
        await Client(here, system=texts).ask("hi")
        found = driver.given[0].system
        assert len(found) == MOST_SYSTEM
        assert "\n\n".join(each.text for each in found) == "\n\n".join(each.text for each in texts)


async def test_a_conversation_of_a_session_that_is_no_longer_shared_begins_a_new_one(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, _):
        shared = (await Client(here).ask("mine")).session_id
        await here.execute(ShareSession(shared, OTHER.subject, ("read", "send")))
        theirs = GivenConversation((said("theirs"),))
        command = SendMessage("theirs", "apollo", given=theirs, api="chat")
        there: Accepted = await here.hub.execute(OTHER, replace(command, session_id=shared))
        end = await here.end_of(there)
        assert isinstance(end, ev.TurnCompleted)
        again = GivenConversation((said("theirs"), answered(end.text), said("more")))
        await here.execute(UnshareSession(shared, OTHER.subject))
        new: Accepted = await here.hub.execute(OTHER, replace(command, content="more", given=again))
        assert new.session_id not in (shared, "")


async def test_a_team_is_told_the_clients_instructions_and_cannot_have_its_tools(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, driver):
        client = Client(here, "team:reviewers", system=(SaidText("Be brief."),))
        client.messages = [said("one"), answered("hello")]
        first = await client.ask("two")
        second = await client.ask("three")
        assert first.session_id == second.session_id
        told = [content for _, content in driver.heard]
        assert all("Be brief." in text and "User: one" in text and text.endswith("two") for text in told[:2])
        assert told[2:] == ["three", "three"]
        assert all("Be brief." in history[0].content for history in driver.histories[2:])
        client.fields["tools"] = (WEATHER,)
        with pytest.raises(Unprocessable) as caught:
            await client.ask("four")
        assert caught.value.data["param"] == "tools"


@pytest.mark.long
async def test_an_agent_is_told_what_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    echo = ACP.replace('told = "nothing"', 'told = said["params"]["prompt"][0]["text"]')
    monkeypatch.setitem(agent_programs.PROTOCOLS, "acp", (echo, agent_programs.PROTOCOLS["acp"][1]))
    kept = FileBlobs(tmp_path / "blobs")
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(60), hosting(Path(folder)) as hosts, agents(hosts, kept=kept) as hub:
            client = Client(House(hub, ScriptedDriver()), "acp", system=(SaidText("Be brief."),))
            client.messages = [said("one"), answered("hello")]
            first = await client.ask("two")
            heard = client.messages[-1].text
            await client.ask("three")
            client.fields["system"] = (SaidText("Be verbose."),)
            await client.ask("four")
            assert "[Context: the client's instructions]" in heard
            assert "Be brief." in heard
            assert "[Context: the earlier conversation]" in heard
            assert "User: one\n\nAssistant: hello" in heard
            assert heard.endswith("two")
            assert client.messages[-3].text == "three"
            assert "Be verbose." in client.messages[-1].text
            contexts = [
                p for p in await client.house.log(first.session_id) if isinstance(p, ev.ContextInjected)
            ]
            assert [context.metadata["source"] for context in contexts] == [
                "the client's instructions",
                "the earlier conversation",
                "the client's instructions",
            ]


async def test_an_agent_that_answers_instead_of_a_specialist_is_told_the_conversation() -> None:
    conversation = GivenConversation(
        (said("one"), answered(SaidCall("c", "clock", "{}")), said("two")),
        (SaidText("Be brief."),),
        (WEATHER,),
    )
    agent = Peer("acp", PeerKind.TOOL, "acp", program=Program(("acp",), "/"))
    async with house() as here:
        state = here.hub.state
        pending = PendingRequests(state, "s_1", "me", Turn("t_1", "m_1", "apollo"))
        past = await past_of_given(state, conversation, pending, agent)
        asked = await given_to(state, agent, Prompt("two", given=conversation))
        assert [(one.role, one.content) for one in past] == [
            ("user", "one"),
            ("assistant", "[Call of clock: {}]"),
        ]
        assert pending.retells == "taken over"
        assert asked.given is None
        assert asked.content.startswith("[Context: the client's instructions]")
        assert asked.content.endswith("two")


def texts(message: GivenMessage) -> str:
    return message.text


def not_none(value: T | None) -> T:
    assert value is not None
    return value


async def test_the_next_hub_runs_waiting_turns_with_the_conversation_as_it_was_given(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with given_house(tmp_path, [asyncio.Event()], store=store) as (here, _):
        client = Client(here, system=(SaidText("Be brief.", "5m"),), options=CallOptions(max_tokens=9))
        first = await client.give("one")
        second = await Client(here, options=CallOptions(max_tokens=7)).give(
            "two", session_id=first.session_id
        )
    async with given_house(tmp_path, store=store) as (here, driver):
        await here.end_of(second)
        assert driver.given == [GivenConversation((said("two"),), options=CallOptions(max_tokens=7))]
        again = Client(here, system=(SaidText("Be brief.", "5m"),))
        again.messages = [said("two"), answered("apollo heard: two")]
        third = await again.ask("three")
        assert third.session_id == first.session_id
        assert driver.given[-1].messages == tuple(again.messages[:3])


async def test_the_conversation_is_removed_with_its_session(tmp_path: Path) -> None:
    async with given_house(tmp_path) as (here, _):
        client = Client(here, system=(SaidText("Be brief."),), tools=(WEATHER,))
        await client.ask(SaidPart(GivenPart("image", data=PNG)), "one")
        accepted = await client.ask("two")
        await here.execute(StopSession(accepted.session_id))
        assert len(list((tmp_path / "blobs").iterdir())) == 3
        assert await old_streams.remove_old(here.hub.state, 1 << 60) == 1
        for kind in ("given", "continuation", "session-blob", "attached", "blob"):
            assert not await here.store.find(kind)
        assert not list((tmp_path / "blobs").iterdir())
        assert (await client.ask("three")).session_id != accepted.session_id
