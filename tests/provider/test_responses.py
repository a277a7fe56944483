"""The scripted provider's Responses API, tested with the provider's own SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from tests.later import Later
from tests.provider import Failure, ProviderServer, Script, ToolCall, Usage

if TYPE_CHECKING:
    import openai
    from openai.types.responses import Response, ResponseStreamEvent
else:
    openai = Later("openai")

pytestmark = pytest.mark.anyio

ASK: list[Any] = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Design a cache"}]}
]
LOOK = ToolCall("look", '{"at":"x"}', id="call_7", piece=6)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key="k", base_url=f"{url}/v1", max_retries=0, http_client=openai.DefaultAioHttpClient()
    ) as made:
        yield made


async def stream(client: openai.AsyncOpenAI) -> list[ResponseStreamEvent]:
    """Return the events of one streamed response."""
    return [event async for event in await client.responses.create(model="m", input=ASK, stream=True)]


def shown(response: Response) -> list[Any]:
    """Return the content of the finished response, without ids."""
    return [item.model_dump(exclude_none=True, exclude={"id", "status"}) for item in response.output]


async def test_a_call_without_a_script_echoes_model_and_question() -> None:
    async with ProviderServer() as provider, client(provider.url) as sdk:
        whole = await sdk.responses.create(model="m", input=ASK, instructions="Be brief")
        plain = await sdk.responses.create(model="m", input="Hello there")
        events = await stream(sdk)
    assert (whole.output_text, plain.output_text) == ("m: Design a cache", "m: Hello there")
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (5, 4)
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert said == ["m: ", "Design ", "a ", "cache"]
    assert provider.requests[0] == {"model": "m", "input": ASK, "instructions": "Be brief"}


async def test_the_events_have_the_real_order_and_are_numbered() -> None:
    async with ProviderServer() as provider, client(provider.url) as sdk:
        provider.script(Script(reasoning=("hm",), chunks=("hi ", "you"), tool_calls=(LOOK,)))
        events = await stream(sdk)
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_streamed_and_whole_responses_are_the_same() -> None:
    script = Script(
        reasoning=("hm",),
        chunks=("hi ", "you"),
        tool_calls=(LOOK, ToolCall("stop", id="call_8")),
        usage=Usage(12, 3, cached=4, reasoning=1),
    )
    async with ProviderServer() as provider, client(provider.url) as sdk:
        provider.script(script, script)
        async with sdk.responses.stream(model="m", input=ASK) as events:
            streamed = await events.get_final_response()
        whole = await sdk.responses.create(model="m", input=ASK)
    assert shown(streamed) == shown(whole)
    assert [item.type for item in whole.output] == ["reasoning", "message", "function_call", "function_call"]
    calls = [item for item in whole.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("call_7", "look", '{"at":"x"}'),
        ("call_8", "stop", "{}"),
    ]
    for answer in (streamed, whole):
        assert answer.usage is not None
        assert answer.usage.model_dump() == {
            "input_tokens": 12,
            "input_tokens_details": answer.usage.input_tokens_details.model_dump() | {"cached_tokens": 4},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 15,
        }


async def test_a_truncated_answer_is_incomplete() -> None:
    async with ProviderServer() as provider, client(provider.url) as sdk:
        provider.script(Script(chunks=("hi",), finish="length"))
        last = (await stream(sdk))[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert (last.response.status, last.response.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )


async def test_each_event_is_named_by_its_type() -> None:
    async with (
        ProviderServer() as provider,
        aiohttp.ClientSession(headers={"authorization": "Bearer k"}) as raw,
    ):
        provider.script(Script(chunks=("a",)), Script(chunks=("a",), error_after=1, failure=Failure(500)))
        for _ in range(2):
            body = {"model": "m", "input": ASK, "stream": True}
            async with raw.post(f"{provider.url}/v1/responses", json=body) as answer:
                events = (await answer.text()).removesuffix("\n\n").split("\n\n")
            named = [event.removeprefix("event: ").split("\ndata: ") for event in events]
            assert [name for name, _ in named] == [msgspec.json.decode(data)["type"] for _, data in named]
            assert len(named) > 4


async def test_gates_and_faults_count_chunks_like_in_other_dialects() -> None:
    async with asyncio.timeout(60), ProviderServer() as provider, client(provider.url) as sdk:
        provider.script(
            Script(chunks=("a", "b"), hold={1: "go"}),
            Script(chunks=("a", "b"), cut_after=1),
            Script(chunks=("a", "b"), error_after=1, failure=Failure(429)),
            Script(failure=Failure(401)),
        )
        events = await sdk.responses.create(model="m", input=ASK, stream=True)
        deltas = (event.delta async for event in events if event.type == "response.output_text.delta")
        assert await anext(deltas) == "a"
        await provider.gate("go").reached()
        provider.gate("go").release()
        assert [text async for text in deltas] == ["b"]
        said: list[str] = []
        with pytest.raises(openai.APIConnectionError):
            async for event in await sdk.responses.create(model="m", input=ASK, stream=True):
                said += [event.delta] if event.type == "response.output_text.delta" else []
        failed = (await stream(sdk))[-1]
        with pytest.raises(openai.AuthenticationError):
            await stream(sdk)
        outcomes = [await call.ended() for call in provider.calls]
    assert said == ["a"]
    assert failed.type == "response.failed"
    assert failed.response.error is not None
    assert failed.response.error.code == "rate_limit_exceeded"
    assert outcomes == ["answered", "answered", "answered", "refused"]
