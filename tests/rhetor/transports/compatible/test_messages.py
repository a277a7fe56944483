"""The Messages API, with Anthropic's own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic import APIStatusError

from rhetor.domain.output import Done, Reasoned, Text, ToolUse, Usage
from rhetor.errors import RateLimited
from tests.served import TOKEN, served

from .clients import anthropic

pytestmark = pytest.mark.anyio
HELLO: Any = {"role": "user", "content": "hello"}
MESSAGES = "/v1/messages"
SIGNED = {"type": "thinking", "thinking": "I ", "signature": "c2ln"}
WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "apollo", "max_tokens": 100, "messages": [HELLO], **more}


async def test_anthropics_client_gets_a_peers_answer_whole_and_as_a_stream(tmp_path: Path) -> None:
    script = [
        Text("I ", "reasoning"),
        Reasoned("anthropic", SIGNED),
        Text("Hel"),
        Text("lo"),
        Usage("m", 7, 5, 3),
        Done(),
    ]
    async with served(tmp_path, script, script) as home, anthropic(home) as client:
        raw = await client.messages.with_raw_response.create(**body())
        whole = await raw.parse()
        assert [block.to_dict() for block in whole.content] == [SIGNED, {"type": "text", "text": "Hello"}]
        assert (whole.stop_reason, whole.model) == ("end_turn", "apollo")
        assert (whole.usage.input_tokens, whole.usage.cache_read_input_tokens) == (4, 3)
        assert whole.id == f"msg_{raw.headers['x-turn-id'].removeprefix('t_')}"
        assert raw.headers["request-id"].startswith("req_")
        async with client.messages.stream(**body(model="@code-analysis")) as stream:
            streamed = await stream.get_final_message()
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (4, 5)


async def test_calls_of_the_clients_tools_end_the_turn_and_their_results_continue_it(tmp_path: Path) -> None:
    call = ToolUse("c1", "weather", {"at": "Oslo"}, "caller")
    scripts = [call, Done("tool_calls")], [Text("wet"), Done()]
    async with served(tmp_path, *scripts) as home, anthropic(home) as client:
        raw = await client.messages.with_raw_response.create(**body(tools=[WEATHER]))
        first = await raw.parse()
        assert first.stop_reason == "tool_use"
        result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "rain"}
        said = [
            HELLO,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        again = await client.messages.with_raw_response.create(**body(tools=[WEATHER], messages=said))
        assert (await again.parse()).content[0].text == "wet"
        assert again.headers["x-session-id"] == raw.headers["x-session-id"]


async def test_a_request_that_cannot_be_honoured_is_an_error_in_anthropics_shape(tmp_path: Path) -> None:
    limited = RateLimited("slow down", retryable=True, retry_after=7)
    async with served(tmp_path, [limited], [Text("par"), limited]) as home, anthropic(home) as client:
        for wrong, status, kind, said in (
            ({"top_q": 1}, 400, "invalid_request_error", "top_q"),
            ({"model": "nobody"}, 404, "not_found_error", "nobody"),
            ({"temperature": 0.2}, 400, "invalid_request_error", "temperature"),
            ({"model": "team:all", "stop_sequences": ["x"]}, 400, "invalid_request_error", "stop_sequences"),
            ({"model": "team:all", "tools": [WEATHER]}, 400, "invalid_request_error", "tools"),
        ):
            with pytest.raises(APIStatusError, match=said) as caught:
                await client.post(MESSAGES, body=body(**wrong), cast_to=object)
            assert caught.value.status_code == status
            found: Any = caught.value.body
            assert (found["type"], found["error"]["type"]) == ("error", kind)
            assert found["request_id"] == caught.value.request_id
        version = {"x-api-key": TOKEN, "anthropic-version": "1999-01-01"}
        answer = await home.ask_tcp("POST", MESSAGES, version, json=body())
        assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
        answer = await home.ask_tcp("POST", MESSAGES, {}, json=body())
        assert (answer.status, answer.json["error"]["type"]) == (401, "authentication_error")
        answer = await home.ask_tcp("POST", MESSAGES, {"x-api-key": TOKEN}, json=body())
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        answer = await home.ask_tcp("POST", MESSAGES, {"x-api-key": TOKEN}, json=body(stream=True))
        last = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
        assert (last["type"], last["error"]["type"]) == ("error", "rate_limit_error")


async def test_the_tokens_of_a_conversation_are_estimated_for_a_peer_that_cannot_count(
    tmp_path: Path,
) -> None:
    image: Any = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    async with served(tmp_path) as home, anthropic(home) as client:
        less = await client.messages.count_tokens(model="apollo", messages=[HELLO])
        more = await client.messages.count_tokens(
            model="apollo", messages=[{"role": "user", "content": "hello " * 400}], tools=[WEATHER]
        )
        assert 0 < less.input_tokens < 100 < 600 < more.input_tokens
        with pytest.raises(APIStatusError, match="send the content itself"):
            await client.messages.count_tokens(
                model="apollo", messages=[{"role": "user", "content": [image]}]
            )


async def test_what_claude_code_sends_is_accepted(tmp_path: Path) -> None:
    mark = {"type": "ephemeral"}
    sent = body(
        system=[{"type": "text", "text": "You are Claude Code.", "cache_control": mark}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}],
        tools=[{**WEATHER, "description": "d", "eager_input_streaming": True, "cache_control": mark}],
        metadata={"user_id": '{"session_id":"x"}'},
        thinking={"type": "adaptive"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        temperature=1,
        stream=True,
    )
    headers = {
        "authorization": f"Bearer {TOKEN}",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    }
    async with served(tmp_path) as home:
        answer = await home.ask_tcp("POST", f"{MESSAGES}?beta=true", headers, json=sent)
    assert answer.status == 200
    assert "event: message_stop" in answer.text
