"""Compaction and the count of tokens of the Responses API, with OpenAI's own client."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError

from rhetor.domain.event import MessageAccepted
from rhetor.domain.output import Done, Reasoned, Text, Usage
from rhetor.domain.parts import Take
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.models.inputs import ModelInputs
from tests.callers import caller
from tests.pictures import PNG
from tests.provider import ProviderServer
from tests.provider import Script as Reply
from tests.provider.script import ToolCall
from tests.rhetor.drivers.talk import anthropic_at, chat_driver, openai_at
from tests.rhetor.hub.sessions.test_uploads import Takes
from tests.scripted import Script
from tests.served import served

from .clients import openai

pytestmark = pytest.mark.anyio
PIXEL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
CONVERSATION: Any = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PIXEL}],
    },
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"at":"Oslo"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]
MIRROR = Peer(
    "mirror", PeerKind.SPECIALIST, "chat", role="mirror", prompt="You are a mirror.", model="openai/m"
)


async def _unlisted(provider: object) -> dict[str, frozenset[Take]]:
    return {}


PICTURES = ModelInputs(_unlisted, {"openai/m": frozenset({"image"})})


async def test_a_model_summarizes_a_conversation_and_the_next_request_has_its_summary(tmp_path: Path) -> None:
    async with ProviderServer() as provider:
        provider.script(Reply(chunks=("Oslo: ", "sunny.")), Reply(chunks=("Yes.",)), Reply(chunks=("No.",)))
        async with (
            chat_driver(openai_at(provider), inputs=PICTURES) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[MIRROR]) as home,
            openai(home) as client,
        ):
            raw = await client.responses.with_raw_response.compact(
                model="mirror", input=CONVERSATION, instructions="Mind the weather."
            )
            found = raw.parse()
            assert (found.object, [item.type for item in found.output]) == (
                "response.compaction",
                ["message", "message", "compaction"],
            )
            output: Any = raw.http_response.json()["output"]
            assert "sunny" not in json.dumps(output)
            assert output[0]["content"][0]["text"] == "Be brief."
            assert output[1]["content"][1]["image_url"] == PIXEL
            assert found.usage.total_tokens > 0
            await client.responses.create(
                model="mirror", input=[*output, {"role": "user", "content": "Is it?"}]
            )
            last = await client.responses.create(model="mirror", input=output)
            assert last.output_text == "No."
            log = await home.log(raw.headers["x-session-id"])
        summarizing, asking, continuing = provider.requests
    text = json.dumps(summarizing["messages"])
    assert all(
        each in text
        for each in ("Mind the weather.", "[Call of weather:", "[Result of weather: sunny]", PIXEL)
    )
    assert "tools" not in summarizing
    *_, user, summary, new = asking["messages"]
    assert user["content"][1]["image_url"]["url"] == PIXEL
    assert (summary["role"], summary["content"]) == (
        "assistant",
        "Summary of the earlier conversation:\n\nOslo: sunny.",
    )
    assert new == {"role": "user", "content": "Is it?"}
    assert continuing["messages"][-1] == {"role": "user", "content": "Continue from this summary."}
    assert len([each for each in log if isinstance(each, MessageAccepted)]) == 1


async def test_a_compaction_is_used_after_a_restart_and_only_by_its_caller(tmp_path: Path) -> None:
    script: Script = [Text("The word is slate."), Usage("m", 7, 5, 3), Done()]
    async with served(tmp_path, script) as home, openai(home) as client:
        found = await client.responses.compact(model="apollo", input="The word is slate.")
        assert (found.usage.total_tokens, found.usage.input_tokens_details.cached_tokens) == (12, 3)
    item: Any = found.output[-1].to_dict()
    asked: Any = [item, {"role": "user", "content": "Which word?"}]
    async with served(tmp_path) as home, openai(home) as client:
        await client.responses.create(model="athena", input=asked)
        guest = (await caller(home))["authorization"].removeprefix("Bearer ")
        changed = [{**item, "encrypted_content": item["encrypted_content"][:-4] + "AAAA"}, asked[1]]
        foreign = [{**item, "encrypted_content": "gAAAAA="}, asked[1]]
        for key, wrong in (({"api_key": guest}, asked), ({}, changed), ({}, foreign)):
            async with openai(home, **key) as other:
                with pytest.raises(APIStatusError, match="not a compaction of this hub") as caught:
                    await other.responses.create(model="apollo", input=wrong)
            assert (caught.value.status_code, caught.value.code) == (400, "invalid_value")


async def test_a_previous_response_is_compacted_and_a_compaction_is_compacted_again(tmp_path: Path) -> None:
    called = Reply(tool_calls=(ToolCall("weather", '{"at":"Oslo"}'),))
    async with ProviderServer() as provider:
        provider.script(called, Reply(chunks=("sum one",)), Reply(chunks=("sum two",)))
        async with (
            chat_driver(openai_at(provider), inputs=PICTURES) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[MIRROR]) as home,
            openai(home) as client,
        ):
            home.hub.state.inputs = Takes(mirror={"image"})
            first = await client.responses.create(model="mirror", input=CONVERSATION[1:2], tools=[WEATHER])
            found = await client.responses.with_raw_response.compact(
                model="mirror", previous_response_id=first.id
            )
            output: Any = found.http_response.json()["output"]
            assert [item["type"] for item in output] == ["message", "compaction"]
            assert output[0]["content"][1]["image_url"] == PIXEL
            again = await client.responses.compact(model="mirror", input=output)
            assert [item.type for item in again.output] == ["message", "compaction"]
        _, one, two = (json.dumps(request["messages"]) for request in provider.requests)
    assert '[Call of weather: {\\"at\\":\\"Oslo\\"}]' in one
    assert "[assistant]\\nSummary of the earlier conversation:\\n\\nsum one" in two


async def test_a_conversation_that_cannot_be_compacted_is_an_error_of_openais(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("cut"), Done("length")]) as home, openai(home) as client:
        for wrong, status, param in (
            ({}, 400, "input"),
            ({"input": []}, 400, "input"),
            ({"model": "nobody"}, 404, "model"),
            ({"model": "team:all", "input": "hi"}, 400, "model"),
            ({"model": "apollo | athena", "input": "hi"}, 400, "model"),
            ({"input": "hi", "previous_response_id": "resp_1"}, 400, "previous_response_id"),
            ({"input": "hi", "extra_body": {"stream": True}}, 400, "stream"),
        ):
            with pytest.raises(APIStatusError) as caught:
                await client.responses.compact(**{"model": "apollo", **wrong})  # type: ignore[arg-type]
            assert (caught.value.status_code, caught.value.param) == (status, param), wrong
        with pytest.raises(APIStatusError, match="the summary is incomplete") as caught:
            await client.responses.compact(model="apollo", input="hi")
        assert caught.value.status_code == 502
        assert caught.value.response.headers["x-session-id"].startswith("s_")


async def test_the_tokens_of_a_conversation_are_counted(tmp_path: Path) -> None:
    scripts: list[Script] = [[Text("12345678"), Reasoned("anthropic", {"signature": "s"}), Done()]]
    async with served(tmp_path, *scripts) as home, openai(home) as client:
        few = await client.responses.input_tokens.count(model="apollo", input="hello")
        assert few.to_dict() == {"object": "response.input_tokens", "input_tokens": few.input_tokens}
        first = await client.responses.create(model="apollo", input="hello")
        more = await client.responses.input_tokens.count(
            model="apollo",
            input=CONVERSATION,
            previous_response_id=first.id,
            instructions="x" * 40,
            tools=[WEATHER],
        )
        assert more.input_tokens > few.input_tokens + 1600
        url: Any = [
            {"role": "user", "content": [{"type": "input_image", "image_url": "http://127.0.0.1/a.png"}]}
        ]
        for wrong, param in (({}, "input"), ({"input": url}, "input")):
            with pytest.raises(APIStatusError) as caught:
                await client.responses.input_tokens.count(model="apollo", **wrong)
            assert (caught.value.status_code, caught.value.param) == (400, param)


async def test_a_provider_with_anthropics_api_counts_the_tokens(tmp_path: Path) -> None:
    async with (
        ProviderServer() as provider,
        chat_driver(anthropic_at(provider)) as driver,
        served(tmp_path, drivers={"chat": driver}, also=[MIRROR]) as home,
        openai(home) as client,
    ):
        found = await client.responses.input_tokens.count(model="mirror", input="hello")
    assert found.input_tokens > 0
