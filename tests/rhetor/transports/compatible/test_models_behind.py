"""Requests to the vendors' APIs whose specialist's model is called over HTTP: a provider, or a hub again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from anthropic import APIStatusError as AnthropicError
from msgspec.structs import replace
from openai import APIStatusError
from pydantic import BaseModel

from rhetor.domain.event import MessageAccepted, UsageReported
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import Conversation, Driver
from rhetor.hub.core.limits import Limits
from tests.provider import Failure, ProviderServer, Script
from tests.provider.script import ToolCall, Usage
from tests.rhetor.drivers.talk import anthropic_at, chat_driver, openai_at
from tests.served import TOKEN, Served, served

from .clients import anthropic, openai

pytestmark = pytest.mark.anyio
HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
MIRROR = Peer("mirror", PeerKind.SPECIALIST, "chat", role="mirror", prompt="You are a mirror.", model="auto")


@pytest.mark.long
async def test_a_clients_tools_and_options_reach_the_model_and_its_calls_come_back(tmp_path: Path) -> None:
    calls = (ToolCall("weather", '{"at": "Oslo"}', "same"), ToolCall("weather", '{"at": "Rome"}', "same"))
    async with ProviderServer() as provider:
        provider.script(
            Script(tool_calls=calls), Script(chunks=("Rain ", "and sun")), Script(failure=Failure(400))
        )
        async with (
            chat_driver(openai_at(provider)) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[MIRROR]) as home,
            openai(home) as client,
        ):
            system: Any = {"role": "system", "content": "Be brief."}
            first = await client.chat.completions.create(
                model="mirror", messages=[system, *HELLO], tools=TOOLS, temperature=0.2, seed=5
            )
            choice = first.choices[0]
            assert choice.finish_reason == "tool_calls"
            ids = [call.id for call in choice.message.tool_calls or []]
            assert len(set(ids)) == 2  # although the model's were the same
            results: Any = [{"role": "tool", "tool_call_id": id, "content": "rain"} for id in ids]
            conversation = [system, *HELLO, choice.message.to_dict(), *results]
            second = await client.chat.completions.create(model="mirror", messages=conversation, tools=TOOLS)
            assert second.choices[0].message.content == "Rain and sun"
            with pytest.raises(APIStatusError) as refused:
                await client.chat.completions.create(model="mirror", messages=HELLO)
            assert refused.value.status_code == 400
        body, again = provider.requests[:2]
    assert (body["temperature"], body["seed"], body["tools"][0]["function"]["name"]) == (0.2, 5, "weather")
    roles = [message["role"] for message in again["messages"]]
    assert roles[-4:] == ["user", "assistant", "tool", "tool"]
    text = json.dumps(body["messages"])
    assert text.index("You are a mirror.") < text.index("Be brief.") < text.index("hello")


CLAUDE = replace(MIRROR, name="claude", model="anthropic/m")
GPT = replace(MIRROR, name="gpt", model="openai/m")


@pytest.mark.long
async def test_clients_of_either_api_run_their_tools_with_models_of_the_other(tmp_path: Path) -> None:
    calls = (ToolCall("weather", '{"at": "Oslo"}', piece=4),)
    calling, answer = Script(reasoning=("Hm.",), tool_calls=calls), Script(chunks=("Rain.",))
    tool: Any = {"name": "weather", "input_schema": {"type": "object"}}
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    hello: Any = [{"role": "user", "content": "hello"}]
    async with ProviderServer() as provider:
        provider.script(calling, answer, calling, answer)
        async with (
            chat_driver(openai_at(provider) | anthropic_at(provider)) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[CLAUDE, GPT]) as home,
            openai(home) as chat,
            anthropic(home) as messages,
        ):
            first = await chat.chat.completions.create(model="claude", messages=hello, tools=TOOLS)
            said = first.choices[0]
            (called,) = said.message.tool_calls or []
            result: Any = {"role": "tool", "tool_call_id": called.id, "content": "rain"}
            conversation = [*hello, said.message.to_dict(), result]
            last = await chat.chat.completions.create(model="claude", messages=conversation, tools=TOOLS)
            assert last.choices[0].message.content == "Rain."
            told = await messages.messages.create(
                model="gpt", max_tokens=4000, messages=hello, tools=[tool], thinking=thinking
            )
            assert (told.stop_reason, [block.type for block in told.content]) == (
                "tool_use",
                ["thinking", "tool_use"],
            )
            use = told.content[-1]
            assert use.type == "tool_use"
            assert use.input == {"at": "Oslo"}
            shown: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
            content: Any = [block.to_dict() for block in told.content]
            again: Any = [
                *hello,
                {"role": "assistant", "content": content},
                {"role": "user", "content": [shown]},
            ]
            final = await messages.messages.create(model="gpt", max_tokens=4000, messages=again, tools=[tool])
            assert final.content[0].to_dict() == {"type": "text", "text": "Rain."}
        to_claude, to_gpt = provider.requests[1], provider.requests[3]
    input = {"type": "tool_use", "id": called.id, "name": "weather", "input": {"at": "Oslo"}}
    assert to_claude["messages"][1] == {"role": "assistant", "content": [input]}
    assert to_claude["messages"][2]["content"][0]["tool_use_id"] == called.id
    assert [message["role"] for message in to_gpt["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert to_gpt["messages"][2]["reasoning_content"] == "Hm."
    assert to_gpt["messages"][3] == {"role": "tool", "tool_call_id": use.id, "content": "rain"}


class Weather(BaseModel):
    place: str
    rain: bool


async def test_a_model_that_rejects_a_request_names_the_parameter_of_the_clients_api(tmp_path: Path) -> None:
    result: Any = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
    called: Any = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    async with (
        ProviderServer() as provider,
        chat_driver(anthropic_at(provider)) as driver,
        served(tmp_path, drivers={"chat": driver}, also=[CLAUDE]) as home,
        openai(home) as theirs,
        anthropic(home) as messages,
    ):
        with pytest.raises(APIStatusError) as refused:
            await theirs.responses.create(model="claude", input=[*HELLO, called, result, result])
        assert (refused.value.status_code, refused.value.param) == (400, "input")
        with pytest.raises(APIStatusError) as refused:
            await theirs.chat.completions.create(model="claude", messages=HELLO, stop=" ")
        assert (refused.value.status_code, refused.value.param) == (400, "stop")
        assert "leave out stop," in refused.value.message
        with pytest.raises(AnthropicError, match="leave out stop_sequences, or use another model"):
            await messages.messages.create(model="claude", max_tokens=9, messages=HELLO, stop_sequences=[" "])
        assert provider.requests == []


@pytest.mark.long
async def test_openais_client_gets_structured_output_whole_and_as_a_stream(tmp_path: Path) -> None:
    said = Script(chunks=('{"place": "Oslo", ', '"rain": true}'))
    async with ProviderServer() as provider:
        provider.script(said, said)
        async with (
            chat_driver(openai_at(provider)) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[MIRROR]) as home,
            openai(home) as client,
        ):
            asks: Any = {"model": "mirror", "messages": HELLO, "response_format": Weather}
            whole = await client.chat.completions.parse(**asks)
            async with client.chat.completions.stream(**asks) as stream:
                streamed = await stream.get_final_completion()
        format = provider.requests[0]["response_format"]
    for found in (whole, streamed):
        assert found.choices[0].message.parsed == Weather(place="Oslo", rain=True)
    assert (format["type"], format["json_schema"]["strict"]) == ("json_schema", True)


def itself(home: Served) -> dict[str, str]:
    """Return the environment in which the hub is its own provider."""
    return {"OPENAI_BASE_URL": f"{home.node.url}/v1", "OPENAI_API_KEY": TOKEN, "RHETOR_MODEL": "mirror"}


class Later:
    """A driver that is made once the hub runs."""

    sessions: Literal["many", "one"] = "many"

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers

    async def open(self, peer: Peer, resume: str | None = None) -> Conversation:
        return await self._drivers["chat"].open(peer, resume)

    async def aclose(self) -> None: ...


@pytest.mark.long
async def test_a_specialist_whose_model_is_itself_ends_at_the_hop_limit(tmp_path: Path) -> None:
    drivers: dict[str, Driver] = {}
    async with (
        served(tmp_path, drivers={"chat": Later(drivers)}, also=[MIRROR], limits=Limits(hops=4)) as home,
        chat_driver(itself(home)) as drivers["chat"],
        openai(home) as client,
    ):
        with pytest.raises(APIStatusError, match="through 5 peers; the limit is 4") as caught:
            await client.chat.completions.create(model="mirror", messages=HELLO)
        assert (caught.value.status_code, caught.value.code) == (400, "hop_limit")
        assert "refused the request" not in str(caught.value)  # as each hop on the way back would say
        sessions = await home.hub.state.store.find("session")
        logs = [await home.log(row.id) for row in sessions]
    via = sorted(len(each.via) for log in logs for each in log if isinstance(each, MessageAccepted))
    assert via == [0, 1, 2, 3]  # each was called once


async def test_clients_learn_the_tokens_of_reasoning_and_which_stop_sequence_ended_an_answer(
    tmp_path: Path,
) -> None:
    thought = Usage(7, 5, reasoning=3)
    async with ProviderServer() as provider:
        provider.script(*[Script(chunks=("Hm.",), usage=thought)] * 3)
        provider.script(*[Script(chunks=("Hm.",), usage=thought, finish="stop_sequence= END")] * 3)
        async with (
            chat_driver(openai_at(provider) | anthropic_at(provider)) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[CLAUDE, GPT]) as home,
            openai(home) as client,
            anthropic(home) as messages,
        ):
            chat = await client.chat.completions.create(model="gpt", messages=HELLO)
            assert chat.usage is not None and chat.usage.completion_tokens_details is not None
            assert chat.usage.completion_tokens_details.reasoning_tokens == 3
            response = await client.responses.create(model="gpt", input="hello")
            assert response.usage is not None
            assert response.usage.output_tokens_details.reasoning_tokens == 3
            other = await messages.messages.create(model="gpt", max_tokens=99, messages=HELLO)
            assert other.usage.output_tokens_details is not None
            assert other.usage.output_tokens_details.thinking_tokens == 3
            stops: Any = {"model": "claude", "max_tokens": 99, "messages": HELLO, "stop_sequences": [" END"]}
            whole = await messages.messages.create(**stops)
            async with messages.messages.stream(**stops) as stream:
                streamed = await stream.get_final_message()
            for message in (whole, streamed):
                assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " END")
                assert message.usage.output_tokens_details is not None
                assert message.usage.output_tokens_details.thinking_tokens == 3
            ended = await client.chat.completions.create(model="claude", messages=HELLO, stop=[" END"])
            assert ended.choices[0].finish_reason == "stop"
            rows = await home.hub.state.store.find("turn")
            log = [payload for row in rows for payload in await home.log(row.parent)]
    reported = [each.reasoning_tokens for each in log if isinstance(each, UsageReported)]
    assert reported == [3] * 6
