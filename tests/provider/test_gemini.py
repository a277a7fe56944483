"""The scripted provider's Gemini API, tested on the wire."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.provider import Failure, ProviderServer, Script, ToolCall, Usage

pytestmark = pytest.mark.anyio

ASK = {
    "contents": [{"role": "user", "parts": [{"text": "Design a cache"}]}],
    "systemInstruction": {"parts": [{"text": "Be brief"}]},
}


async def ask(provider: ProviderServer, verb: str, body: Any = ASK, model: str = "g-2.5") -> tuple[int, Any]:
    """Return the status of a call, and its JSON, or the list of events of a stream."""
    async with aiohttp.ClientSession(headers={"x-goog-api-key": "k"}) as session:
        url = f"{provider.url}/v1beta/models/{model}:{verb}"
        async with session.post(url, data=msgspec.json.encode(body)) as answer:
            if answer.content_type != "text/event-stream":
                return answer.status, msgspec.json.decode(await answer.read())
            events = (await answer.text()).removesuffix("\n\n").split("\n\n")
            assert all(event.startswith("data: ") for event in events)
            return answer.status, [msgspec.json.decode(event[6:]) for event in events]


def candidate(parts: list[Any], finish: str | None = None) -> dict[str, Any]:
    ending = {} if finish is None else {"finishReason": finish}
    return {"content": {"parts": parts, "role": "model"}, "index": 0} | ending


async def test_a_call_without_a_script_echoes_model_and_question() -> None:
    async with ProviderServer() as provider:
        status, whole = await ask(provider, "generateContent")
        _, events = await ask(provider, "streamGenerateContent?alt=sse")
        call = provider.calls[0]
    assert (status, whole["candidates"]) == (200, [candidate([{"text": "g-2.5: Design a cache"}], "STOP")])
    assert whole["usageMetadata"]["promptTokenCount"] == 5
    said = [event["candidates"][0]["content"]["parts"][0]["text"] for event in events]
    assert said == ["g-2.5: ", "Design ", "a ", "cache", ""]
    assert (call.path, call.key, call.body) == ("/v1beta/models/g-2.5:generateContent", "k", ASK)


async def test_thoughts_calls_and_usage_are_parts_of_the_answer() -> None:
    script = Script(
        reasoning=("hm",),
        chunks=("hi",),
        tool_calls=(ToolCall("look", '{"at":"x"}'),),
        usage=Usage(12, 3, cached=4, reasoning=1),
    )
    parts = [
        {"text": "hm", "thought": True},
        {"text": "hi"},
        {"functionCall": {"id": "call_1", "name": "look", "args": {"at": "x"}}},
    ]
    async with ProviderServer() as provider:
        provider.script(script, script)
        _, whole = await ask(provider, "generateContent")
        _, events = await ask(provider, "streamGenerateContent?alt=sse")
    assert whole["candidates"] == [candidate(parts, "STOP")]
    assert [event["candidates"][0] for event in events] == [
        *(candidate([part]) for part in parts),
        candidate([{"text": ""}], "STOP"),
    ]
    counts = {
        "promptTokenCount": 12,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 1,
        "totalTokenCount": 15,
    }
    assert whole["usageMetadata"] == events[-1]["usageMetadata"] == counts


async def test_tokens_are_counted_and_models_listed_without_using_up_a_script() -> None:
    async with ProviderServer(models=("a",)) as provider:
        provider.script(Script(chunks=("kept",)))
        assert await ask(provider, "countTokens") == (200, {"totalTokens": 5})
        url, headers = f"{provider.url}/v1beta/models", {"x-goog-api-key": "k"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            listed = msgspec.json.decode(await answer.read())
        assert [model["name"] for model in listed["models"]] == ["models/a"]
        _, whole = await ask(provider, "generateContent")
        outcomes = [await call.ended() for call in provider.calls]
    assert whole["candidates"][0]["content"]["parts"] == [{"text": "kept"}]
    assert outcomes == ["answered", "answered", "answered"]


async def test_failures_and_faults_are_scripted() -> None:
    async with ProviderServer() as provider:
        provider.script(
            Script(failure=Failure(429)),
            Script(failure=Failure(400, "context_overflow")),
            Script(chunks=("a", "b"), error_after=1, failure=Failure(503)),
            Script(chunks=("a", "b"), cut_after=1),
            Script(key="other"),
        )
        status, limited = await ask(provider, "generateContent")
        _, full = await ask(provider, "generateContent")
        _, events = await ask(provider, "streamGenerateContent?alt=sse")
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(provider, "streamGenerateContent?alt=sse")
        refused, _ = await ask(provider, "generateContent")
        outcomes = [await call.ended() for call in provider.calls]
    assert (status, limited["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert full["error"]["status"] == "INVALID_ARGUMENT"
    assert "input token count" in full["error"]["message"]
    assert [event.get("error", {}).get("code") for event in events] == [None, 503]
    assert refused == 401
    assert outcomes == ["refused", "refused", "answered", "answered", "refused"]


async def test_a_gate_holds_a_chunk_until_it_is_released() -> None:
    async with asyncio.timeout(60), ProviderServer() as provider, aiohttp.ClientSession() as session:
        provider.script(Script(chunks=("a", "b"), hold={1: "go"}))
        url = f"{provider.url}/v1beta/models/m:streamGenerateContent?alt=sse"
        async with session.post(url, json=ASK, headers={"x-goog-api-key": "k"}) as answer:
            assert b'"a"' in await answer.content.readline()
            await provider.gate("go").reached()
            assert provider.calls[0].outcome == "open"
            provider.gate("go").release()
            assert b'"b"' in await answer.content.read()
        assert await provider.calls[0].ended() == "answered"
