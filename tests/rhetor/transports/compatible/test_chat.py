"""The Chat Completions API, with OpenAI's own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, APIStatusError

from rhetor.domain.event import ToolReturned
from rhetor.domain.output import Done, Text, ToolUse, Usage
from rhetor.errors import RateLimited
from tests.served import TOKEN, served

from .clients import openai

pytestmark = pytest.mark.anyio
HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CHAT = "/v1/chat/completions"


async def test_openais_client_gets_a_peers_answer_whole_and_as_a_stream(tmp_path: Path) -> None:
    usage = Usage("m", 7, 5, 3)
    script = [Text("I ", "reasoning"), Text("Hel"), Text("lo"), usage, Done()]
    async with served(tmp_path, script, script) as home, openai(home) as client:
        raw = await client.chat.completions.with_raw_response.create(model="apollo", messages=HELLO)
        whole = raw.parse()
        choice = whole.choices[0]
        assert (choice.message.content, choice.finish_reason) == ("Hello", "stop")
        assert choice.message.model_dump()["reasoning_content"] == "I "
        assert whole.model == "apollo"
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.total_tokens) == (7, 12)
        assert whole.id == f"chatcmpl-{raw.headers['x-turn-id'].removeprefix('t_')}"
        assert raw.headers["x-request-id"].startswith("req_")
        stream = await client.chat.completions.create(
            model="@code-analysis", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert home.driver.heard == [("apollo", "hello"), ("apollo", "hello")]


async def test_a_client_runs_its_tools_in_parallel_and_the_session_goes_on_with_the_results(
    tmp_path: Path,
) -> None:
    called = [
        ToolUse("c1", "weather", {"at": "Oslo"}, "caller"),
        ToolUse("c2", "weather", {"at": "Rome"}, "caller"),
    ]
    script = [Text("Let me look."), *called, Done("tool_calls")]
    answer = [Text("Rain and sun."), Done()]
    async with served(tmp_path, script, answer, script) as home, openai(home) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="apollo", messages=HELLO, tools=TOOLS
        )
        choice = raw.parse().choices[0]
        assert choice.finish_reason == "tool_calls"
        calls = choice.message.tool_calls
        assert calls is not None
        assert [(call.id, call.function.arguments) for call in calls if call.type == "function"] == [
            ("c1", '{"at":"Oslo"}'),
            ("c2", '{"at":"Rome"}'),
        ]
        results: Any = [
            {"role": "tool", "tool_call_id": "c2", "content": "sun"},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ]
        messages = [*HELLO, choice.message.to_dict(), *results]
        second = await client.chat.completions.with_raw_response.create(
            model="apollo", messages=messages, tools=TOOLS
        )
        assert second.parse().choices[0].message.content == "Rain and sun."
        assert second.headers["x-session-id"] == raw.headers["x-session-id"]
        log = await home.log(raw.headers["x-session-id"])
        returned = [each for each in log if isinstance(each, ToolReturned)]
        assert [(each.call_id, each.result) for each in returned] == [("c2", "sun"), ("c1", "rain")]
        pieces = [
            (call.index, call.id, call.function.name)
            async for chunk in await client.chat.completions.create(
                model="apollo", messages=HELLO, tools=TOOLS, stream=True
            )
            for call in chunk.choices[0].delta.tool_calls or []
            if call.function is not None
        ]
        assert pieces == [(0, "c1", "weather"), (1, "c2", "weather")]
        with pytest.raises(APIStatusError) as caught:
            await client.chat.completions.create(model="team:all", messages=HELLO, tools=TOOLS)
        assert (caught.value.status_code, caught.value.param) == (400, "tools")


async def test_a_stream_is_a_view_of_one_session_which_a_later_request_continues(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        first = await client.chat.completions.with_raw_response.create(model="apollo", messages=HELLO)
        session = first.headers["x-session-id"]
        again = await client.chat.completions.with_raw_response.create(
            model="apollo", messages=HELLO, extra_headers={"x-session-id": session}
        )
        assert again.headers["x-session-id"] == session
        other = await client.chat.completions.with_raw_response.create(
            model="apollo", messages=HELLO, extra_headers={"x-session-id": "ses_of_the_client"}
        )
        assert other.headers["x-session-id"] != session
        with pytest.raises(APIStatusError, match="there is no session"):
            await client.chat.completions.create(
                model="apollo", messages=HELLO, extra_headers={"x-session-id": "s_0"}
            )
        answer = await home.ask_tcp("POST", CHAT, {"x-api-key": TOKEN}, json={**body(), "stream": True})
        log = await home.log(session)
    assert [each.type for each in log].count("turn.completed") == 2
    lines = answer.text.splitlines()
    assert lines[-2] == "data: [DONE]"
    assert json.loads(lines[0].removeprefix("data: "))["object"] == "chat.completion.chunk"


def body(**more: Any) -> dict[str, Any]:
    return {"model": "apollo", "messages": HELLO, **more}


async def test_requests_in_the_shape_of_aichat_are_answered_in_the_shape_that_it_reads(
    tmp_path: Path,
) -> None:
    """aichat sends floats for its parameters, and the calls and results of its functions as texts."""
    functions = [{"type": "function", "function": {"name": "now", "description": "", "parameters": {}}}]
    wishes = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 4096, "stream": True, "tools": functions}
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    rounds = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"output":"noon"}', "tool_call_id": "c1"},
    ]
    system = {"role": "system", "content": "Be brief."}
    called = [ToolUse("c1", "now", {}, "caller"), Done("tool_calls")]
    headers = {"authorization": f"Bearer {TOKEN}", "user-agent": "aichat/0.30.0"}
    async with served(tmp_path, called, [Text("noon"), Done()], [Text("hi"), Done()]) as home:
        first = await home.ask_tcp("POST", CHAT, headers, json=body(messages=[system, *HELLO], **wishes))
        messages = [system, *HELLO, *rounds]
        second = await home.ask_tcp("POST", CHAT, headers, json=body(messages=messages, **wishes))
        assert first.headers["content-type"].startswith("text/event-stream")
        [delta] = [d for d in deltas(first.text) if d.get("tool_calls")]
        assert delta["tool_calls"][0] == {"index": 0, **call}
        assert "".join(d.get("content") or "" for d in deltas(second.text)) == "noon"
        assert second.headers["x-session-id"] == first.headers["x-session-id"]
        whole = await home.ask_tcp("POST", CHAT, headers, json=body())
        assert whole.json["choices"][0]["message"]["content"] == "hi"
        assert whole.json["usage"]["prompt_tokens"] == 0
        listed = await home.ask_tcp("GET", "/v1/models", headers)
        assert "apollo" in [model["id"] for model in listed.json["data"]]


def deltas(text: str) -> list[dict[str, Any]]:
    """Return the deltas of a stream, which ends with `[DONE]`."""
    *frames, done, _ = text.split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: "))["choices"][0]["delta"] for frame in frames]


async def test_a_team_and_a_line_answer_as_models(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        said = await client.chat.completions.create(model="team:reviewers", messages=HELLO)
        assert "[From Apollo]" in (said.choices[0].message.content or "")
        line = "athena | apollo"
        first = await client.chat.completions.with_raw_response.create(model=line, messages=HELLO)
        answer = first.parse()
        assert (answer.model, answer.choices[0].finish_reason) == (line, "stop")
        assert "athena heard: hello" in (answer.choices[0].message.content or "")
        messages: Any = [*HELLO, answer.choices[0].message.to_dict(), *HELLO]
        stream = await client.chat.completions.with_raw_response.create(
            model=line, messages=messages, stream=True
        )
        text = [chunk.choices[0].delta.content or "" async for chunk in stream.parse()]
        assert "athena heard" in "".join(text)
        assert stream.headers["x-session-id"] == first.headers["x-session-id"]
        for wrong, code in (("apollo |", "unprocessable"), ("apollo | sh -c ls", "cannot_run_line")):
            with pytest.raises(APIStatusError) as caught:
                await client.chat.completions.create(model=wrong, messages=HELLO)
            assert (caught.value.status_code, caught.value.param) == (400, "model"), code


async def test_a_request_that_cannot_be_honoured_is_an_error_in_openais_shape(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        for wrong, status, param, code in (
            ({"n": 2}, 400, "n", "unsupported_value"),
            ({"top_k": 5}, 400, "top_k", "unknown_parameter"),
            ({"model": "nobody"}, 404, "model", "model_not_found"),
            ({"model": "@nothing"}, 404, "model", "model_not_found"),
            ({"model": "team:nobody"}, 404, "model", "model_not_found"),
            ({"model": "team:all", "temperature": 0.2}, 400, "temperature", "unsupported_parameter"),
        ):
            with pytest.raises(APIStatusError) as caught:
                await client.post("/chat/completions", body=body(**wrong), cast_to=object)
            found = caught.value
            assert (found.status_code, found.param, found.code) == (status, param, code)
            assert found.type == "invalid_request_error"


async def test_errors_of_the_gate_the_router_and_turns_have_openais_shape(tmp_path: Path) -> None:
    limited = RateLimited("slow down", retryable=True, retry_after=7)
    async with served(tmp_path, [limited], [Text("par"), limited]) as home:
        for headers, path, status, code in (
            ({}, CHAT, 401, "invalid_api_key"),
            ({"x-api-key": "wrong"}, CHAT, 401, "invalid_api_key"),
            ({"x-api-key": TOKEN, "authorization": "Bearer x"}, CHAT, 401, "invalid_api_key"),
            ({"x-api-key": TOKEN}, "/v1/nothing", 404, "not_found"),
            ({"x-api-key": TOKEN}, "/v1/models", 405, "method_not_allowed"),
        ):
            answer = await home.ask_tcp("POST", path, headers, json=body())
            assert (answer.status, answer.json["error"]["code"]) == (status, code), answer.text
            assert answer.headers["x-request-id"].startswith("req_")
        answer = await home.ask_tcp("POST", CHAT, {"x-api-key": TOKEN}, json=body())
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert answer.headers["x-should-retry"] == "true"
        assert answer.json["error"]["code"] == "rate_limit_exceeded"
        assert answer.headers["x-session-id"].startswith("s_")
        async with openai(home) as client:
            stream = await client.chat.completions.create(model="apollo", messages=HELLO, stream=True)
            with pytest.raises(APIError, match="slow down"):
                async for chunk in stream:
                    assert chunk.choices[0].delta.content == "par"


async def test_models_are_listed_for_the_clients_of_both_vendors(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        listed = [model async for model in await client.models.list()]
        assert [model.id for model in listed][:1] == ["apollo"]
        assert {"team:all", "team:reviewers"} <= {model.id for model in listed}
        assert listed[0].model_dump()["capabilities"] == {"code-analysis": 0.95}
        assert (await client.models.retrieve("apollo")).owned_by == "rhetor"
        theirs = {"x-api-key": TOKEN, "anthropic-version": "2023-06-01"}
        page = (await home.ask_tcp("GET", "/v1/models?limit=1", theirs)).json
        assert (page["has_more"], page["last_id"], page["data"][0]["type"]) == (True, "apollo", "model")
        page = (await home.ask_tcp("GET", "/v1/models?after_id=apollo", theirs)).json
        assert page["data"][0]["id"] == "athena"
        ids = [each["id"] for each in (await home.ask_tcp("GET", "/v1/models", theirs)).json["data"]]
        page = (await home.ask_tcp("GET", f"/v1/models?limit=1&before_id={ids[2]}", theirs)).json
        assert (page["has_more"], [each["id"] for each in page["data"]]) == (True, [ids[1]])
        page = (await home.ask_tcp("GET", f"/v1/models?limit=1&before_id={ids[1]}", theirs)).json
        assert (page["has_more"], [each["id"] for each in page["data"]]) == (False, [ids[0]])
        for unknown in ("after_id=nobody", "before_id=nobody", "limit=0"):
            refused = await home.ask_tcp("GET", f"/v1/models?{unknown}", theirs)
            assert (refused.status, refused.json["error"]["type"]) == (400, "invalid_request_error")
            assert unknown.partition("=")[0] in refused.json["error"]["message"]
        missing = await home.ask_tcp("GET", "/v1/models/nobody", theirs)
        assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")
