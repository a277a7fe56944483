"""The scripted provider, tested with the providers' own SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import aiohttp
import pytest

from tests.later import Later
from tests.provider import Failure, ProviderServer, Script, Usage
from tests.provider.process import ProviderProcess

if TYPE_CHECKING:
    import anthropic
    import openai
else:
    anthropic, openai = Later("anthropic"), Later("openai")

pytestmark = pytest.mark.anyio

ASK: list[Any] = [{"role": "user", "content": "Design a cache"}]


@asynccontextmanager
async def openai_client(url: str, key: str = "k") -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        api_key=key,
        base_url=f"{url}/v1",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(),
    ) as client:
        yield client


@asynccontextmanager
async def anthropic_client(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        api_key="k", base_url=url, max_retries=0, http_client=anthropic.DefaultAioHttpClient()
    ) as client:
        yield client


async def chat(client: openai.AsyncOpenAI, said: list[str] | None = None) -> list[str]:
    """Return the text deltas of one streamed completion; `said` has those that arrived before an error."""
    said = [] if said is None else said
    stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
    async for chunk in stream:
        if text := chunk.choices[0].delta.content:
            said.append(text)
    return said


async def message(client: anthropic.AsyncAnthropic, said: list[str] | None = None) -> list[str]:
    said = [] if said is None else said
    stream = await client.messages.create(model="m", max_tokens=9, messages=ASK, stream=True)
    async for event in stream:
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            said.append(event.delta.text)
    return said


async def test_a_call_without_a_script_echoes_model_and_question() -> None:
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        whole = await client.chat.completions.create(model="m", messages=ASK)
        assert whole.choices[0].message.content == "m: Design a cache"
        assert await chat(client) == ["m: ", "Design ", "a ", "cache"]
        assert provider.requests == [
            {"model": "m", "messages": ASK},
            {"model": "m", "messages": ASK, "stream": True},
        ]


async def test_openai_reports_usage_in_a_last_chunk_on_request() -> None:
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(Script(chunks=("hi",), usage=Usage(12, 3, cached=4, reasoning=1), finish="length"))
        stream = await client.chat.completions.create(
            model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices] == [None, None, "length"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


@pytest.mark.long
async def test_anthropic_sends_the_real_sequence_of_events() -> None:
    async with ProviderServer() as provider, anthropic_client(provider.url) as client:
        provider.script(Script(reasoning=("hm",), chunks=("hi ", "you"), usage=Usage(12, 3, cached=4)))
        stream = await client.messages.create(model="m", max_tokens=9, messages=ASK, stream=True)
        assert [event.type async for event in stream] == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert provider.requests[0] == {"model": "m", "max_tokens": 9, "messages": ASK, "stream": True}


async def test_the_anthropic_sdk_assembles_the_streamed_message() -> None:
    async with ProviderServer() as provider, anthropic_client(provider.url) as client:
        provider.script(Script(reasoning=("hm",), chunks=("hi ", "you"), usage=Usage(12, 3, cached=4)))
        async with client.messages.stream(model="m", max_tokens=9, messages=ASK) as stream:
            final = await stream.get_final_message()
        provider.script(Script(reasoning=("hm",), chunks=("hi ", "you"), usage=Usage(12, 3, cached=4)))
        whole = await client.messages.create(model="m", max_tokens=9, messages=ASK)
    for answer in (final, whole):
        assert [block.type for block in answer.content] == ["thinking", "text"]
        assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == (
            "end_turn",
            8,
            3,
        )
        assert answer.usage.cache_read_input_tokens == 4


async def test_both_sdks_list_the_models() -> None:
    async with ProviderServer(models=("a", "b")) as provider:
        async with openai_client(provider.url) as client:
            assert [model.id async for model in client.models.list()] == ["a", "b"]
        async with anthropic_client(provider.url) as other:
            assert [model.id async for model in other.models.list()] == ["a", "b"]


@pytest.mark.parametrize(
    ("failure", "openai_error", "anthropic_error"),
    [
        (Failure(401), "AuthenticationError", "AuthenticationError"),
        (Failure(429), "RateLimitError", "RateLimitError"),
        (Failure(500), "InternalServerError", "InternalServerError"),
        (Failure(503), "InternalServerError", "ServiceUnavailableError"),
        (Failure(529), "InternalServerError", "OverloadedError"),
        (Failure(404, "unknown_model"), "NotFoundError", "NotFoundError"),
    ],
)
async def test_failures_raise_the_errors_of_the_sdks(
    failure: Failure, openai_error: str, anthropic_error: str
) -> None:
    async with ProviderServer() as provider:
        provider.script(Script(failure=failure), Script(failure=failure))
        async with openai_client(provider.url) as client:
            with pytest.raises(getattr(openai, openai_error)):
                await chat(client)
        async with anthropic_client(provider.url) as other:
            with pytest.raises(getattr(anthropic, anthropic_error)):
                await message(other)
        assert [await call.ended() for call in provider.calls] == ["refused", "refused"]


async def test_context_overflow_has_each_providers_own_message() -> None:
    full = Script(failure=Failure(400, "context_overflow"))
    async with ProviderServer() as provider:
        provider.script(full, full)
        async with openai_client(provider.url) as client:
            with pytest.raises(openai.BadRequestError) as theirs:
                await chat(client)
        async with anthropic_client(provider.url) as other:
            with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
                await message(other)
    assert theirs.value.code == "context_length_exceeded"


async def test_headers_and_body_of_a_failure_can_be_scripted() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(
            Script(failure=Failure(429, headers={"retry-after": date})),
            Script(failure=Failure(502, headers={"content-type": "text/html"}, body="<h1>Bad gateway</h1>")),
        )
        with pytest.raises(openai.RateLimitError) as limited:
            await chat(client)
        with pytest.raises(openai.InternalServerError) as broken:
            await chat(client)
    assert limited.value.response.headers["retry-after"] == date
    assert (broken.value.status_code, broken.value.response.text) == (502, "<h1>Bad gateway</h1>")


async def test_keys_are_checked() -> None:
    async with ProviderServer(key="right") as provider:
        provider.script(Script(key=""), Script())
        async with openai_client(provider.url, "wrong") as client:
            assert await chat(client) == []
            with pytest.raises(openai.AuthenticationError):
                await chat(client)
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with aiohttp.ClientSession() as session:
            headers = {"x-api-key": "right", "anthropic-version": "2023-06-01"}
            async with session.get(f"{provider.url}/v1/models", headers=headers) as answer:
                assert answer.status == 200
        assert [call.key for call in provider.calls] == ["wrong", "wrong", "wrong", "right"]


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_cut_connection_gives_the_chunks_before_it(after: int) -> None:
    script = Script(chunks=("a", "b"), cut_after=after)
    async with ProviderServer() as provider:
        provider.script(script, script)
        said: list[str] = []
        async with openai_client(provider.url) as client:
            with pytest.raises(openai.APIConnectionError):
                await chat(client, said)
        async with anthropic_client(provider.url) as other:
            with pytest.raises(Exception, match=r"payload|ReadError|peer"):
                await message(other, said)
    assert said == [*("a", "b")[:after], *("a", "b")[:after]]


async def test_a_body_can_end_without_the_closing_events() -> None:
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(Script(chunks=("a", "b"), end_after=1))
        assert await chat(client) == ["a"]


async def test_an_error_within_a_stream_is_an_event() -> None:
    script = Script(chunks=("a", "b"), error_after=1, failure=Failure(529))
    said: list[str] = []
    async with ProviderServer() as provider:
        provider.script(script, script)
        async with openai_client(provider.url) as client:
            with pytest.raises(openai.APIError):
                await chat(client, said)
        async with anthropic_client(provider.url) as other:
            with pytest.raises(anthropic.APIStatusError) as error:
                await message(other, said)
    assert said == ["a", "a"]
    assert error.value.type == "overloaded_error"


async def test_malformed_data_is_sent_after_n_chunks() -> None:
    said: list[str] = []
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(Script(chunks=("a", "b"), malformed_after=1))
        with pytest.raises(ValueError, match="Unterminated"):
            await chat(client, said)
    assert said == ["a"]


async def test_a_gate_holds_a_chunk_until_it_is_released() -> None:
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(Script(chunks=("a", "b"), hold={1: "go"}))
        stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
        deltas = (text async for chunk in stream if (text := chunk.choices[0].delta.content))
        assert await anext(deltas) == "a"
        await provider.gate("go").reached()
        assert provider.calls[0].outcome == "open"
        provider.gate("go").release()
        assert [text async for text in deltas] == ["b"]
        assert await provider.calls[0].ended() == "answered"


async def test_a_caller_that_disconnects_is_noticed() -> None:
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(Script(chunks=("a", "b"), hold={1: "never"}))
        stream = await client.chat.completions.create(model="m", messages=ASK, stream=True)
        await anext(stream)
        await stream.close()
        assert await provider.calls[0].ended() == "left"


async def test_trickled_bytes_and_bursts_give_the_same_answer() -> None:
    async with ProviderServer() as provider, openai_client(provider.url) as client:
        provider.script(
            Script(chunks=("a", "b", "c"), trickle=0.00001),
            Script(chunks=("a", "b", "c"), burst=2, delay=0.001, first_delay=0.001, head_delay=0.001),
        )
        assert await chat(client) == ["a", "b", "c"]
        assert await chat(client) == ["a", "b", "c"]


def test_a_provider_in_its_own_process_is_controlled_over_http() -> None:
    with ProviderProcess("--chunks", "3", "--chunk-bytes", "4") as provider:
        assert asyncio.run(_chat_at(provider.url)) == ["xxx ", "xxx ", "xxx "]
        provider.forget()
        provider.script(Script(chunks=("a", "b"), hold={1: "go"}), default=Script(chunks=("z",)))
        provider.release("go")
        assert asyncio.run(_chat_at(provider.url)) == ["a", "b"]
        assert asyncio.run(_chat_at(provider.url)) == ["z"]
        provider.reached("go")
        calls = provider.calls()
    body = {"model": "m", "messages": ASK, "stream": True}
    assert [(call["path"], call["body"], call["outcome"]) for call in calls] == [
        ("/v1/chat/completions", body, "answered")
    ] * 2


def test_a_script_with_an_unknown_field_is_rejected() -> None:
    with ProviderProcess() as provider, pytest.raises(HTTPError, match="422"):
        provider._call("POST", "/_script", {"queue": [{"chunk": "a"}]})


async def _chat_at(url: str) -> list[str]:
    async with openai_client(url) as client:
        return await chat(client)
