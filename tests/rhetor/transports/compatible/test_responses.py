"""The Responses API, with OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import Response
from pydantic import BaseModel

from rhetor.domain.event import MessageAccepted, ToolReturned
from rhetor.domain.output import Done, Reasoned, Text, ToolUse, Usage
from rhetor.errors import RateLimited
from tests.callers import caller
from tests.scripted import Script
from tests.served import TOKEN, served

from .clients import openai

pytestmark = pytest.mark.anyio
RESPONSES = "/v1/responses"
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
CALL: Script = [
    Text("hm", "reasoning"),
    Reasoned("anthropic", {"signature": "s"}),
    Text("I look"),
    ToolUse("c1", "weather", {"at": "Oslo"}, "caller"),
    Usage("m", 7, 5, 3),
    Done("tool_calls"),
]


class Sum(BaseModel):
    total: int


async def test_openais_client_gets_an_answer_whole_streamed_and_parsed(tmp_path: Path) -> None:
    script: Script = [Text("Hel"), Text("lo"), Usage("m", 7, 5, 3), Done()]
    async with (
        served(tmp_path, script, script, [Text('{"total": 4}'), Done()]) as home,
        openai(home) as client,
    ):
        raw = await client.responses.with_raw_response.create(
            model="apollo", input="hello", instructions="Be short.", metadata={"a": "b"}
        )
        whole = raw.parse()
        assert (whole.output_text, whole.status, whole.model) == ("Hello", "completed", "apollo")
        assert (whole.instructions, whole.metadata) == ("Be short.", {"a": "b"})
        assert whole.usage is not None
        assert (whole.usage.total_tokens, whole.usage.input_tokens_details.cached_tokens) == (12, 3)
        assert whole.id == f"resp_{raw.headers['x-turn-id'].removeprefix('t_')}"
        assert raw.headers["x-session-id"].startswith("s_")
        async with client.responses.stream(model="apollo", input="hello") as stream:
            types = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert types[:2] == ["response.created", "response.in_progress"]
        assert "response.output_text.delta" in types
        assert final.output_text == "Hello"
        parsed = await client.responses.parse(model="apollo", input="2 + 2", text_format=Sum)
        assert parsed.output_parsed == Sum(total=4)
        log = await home.log(raw.headers["x-session-id"])
    assert [each.api for each in log if isinstance(each, MessageAccepted)] == ["responses"]


async def test_calls_and_reasoning_go_out_and_come_back_in_one_session(tmp_path: Path) -> None:
    async with served(tmp_path, CALL) as home, openai(home) as client:
        options: Any = {"model": "apollo", "tools": [WEATHER], "include": ["reasoning.encrypted_content"]}
        asked: list[Any] = [{"role": "user", "content": "weather?"}]
        first = await client.responses.with_raw_response.create(input=asked, **options)
        output = first.parse().output
        assert [item.type for item in output] == ["reasoning", "message", "function_call"]
        returned = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
        asked += [item.model_dump(exclude_none=True) for item in output] + [returned]
        second = await client.responses.with_raw_response.create(input=asked, store=False, **options)
        session = first.headers["x-session-id"]
        assert second.headers["x-session-id"] == session
        log = await home.log(session)
    assert [each for each in log if isinstance(each, ToolReturned)] == [ToolReturned("c1", "sunny")]


async def test_a_previous_response_is_continued_or_branched_from(tmp_path: Path) -> None:
    async with served(tmp_path, CALL) as home, openai(home) as client:
        first = await client.responses.with_raw_response.create(
            model="apollo", input="weather?", tools=[WEATHER]
        )
        id, session = first.parse().id, first.headers["x-session-id"]
        output: Any = [{"type": "function_call_output", "call_id": "c1", "output": "sunny"}]
        sessions = []
        for _ in range(2):  # the second one is no longer the head of the session
            again = await client.responses.with_raw_response.create(
                model="apollo", input=output, previous_response_id=id
            )
            assert again.parse().previous_response_id == id
            sessions.append(again.headers["x-session-id"])
        assert sessions[0] == session
        assert sessions[1] != session
        items = [
            item async for item in await client.responses.input_items.list(again.parse().id, order="asc")
        ]
        assert [item.type for item in items] == [
            *("message", "reasoning", "message", "function_call", "function_call_output")
        ]
        reference: Any = [{"type": "item_reference", "id": first.parse().output[2].id}, *output]
        await client.responses.create(model="apollo", input=reference)
        for wrong, code in (
            ({"previous_response_id": "resp_none"}, "previous_response_not_found"),
            ({"input": output}, "invalid_value"),
            ({"input": [{"type": "item_reference", "id": "msg_1_0"}]}, "item_not_found"),
        ):
            with pytest.raises(APIStatusError) as caught:
                await client.responses.create(**{"model": "apollo", "input": "hi", **wrong})
            assert (caught.value.status_code, caught.value.code) == (400, code)


@pytest.mark.long
async def test_a_stored_response_is_read_streamed_again_and_deleted(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("Hel"), Text("lo"), Done()]) as home, openai(home) as client:
        created = await client.responses.create(
            model="apollo", input="hello", instructions="Be short.", tools=[WEATHER], user="u"
        )
        assert (await client.responses.retrieve(created.id)) == created
        events = [event async for event in await client.responses.retrieve(created.id, stream=True)]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        rest = await client.responses.retrieve(created.id, stream=True, starting_after=3)
        assert [event async for event in rest] == events[4:]
        assert events[-1].type == "response.completed"
        assert events[-1].response == created
        page = await client.responses.input_items.list(created.id, limit=1)
        assert [item.type for item in page.data] == ["message"]
        for query in ({"after": "msg_other"}, {"limit": 0}, {"order": "up"}):
            with pytest.raises(BadRequestError) as caught:
                await client.responses.input_items.list(created.id, **query)
            assert (caught.value.param, caught.value.code) == (next(iter(query)), "invalid_value")
        await client.responses.delete(created.id)
        await _is_gone(client, created.id)
        assert [row.state for row in await home.hub.state.store.find("turn")] == ["completed"]


async def test_a_response_in_a_session_that_is_no_longer_shared_is_gone(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("hello"), Done()]) as home:
        guest = await caller(home)
        made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "context_window": 4})
        shares = f"/api/v2/sessions/{made.json['id']}/shares"
        await home.ask("POST", shares, {"subject": "guest", "scopes": ["read", "send"]})
        key = guest["authorization"].removeprefix("Bearer ")
        async with openai(home, api_key=key, default_headers={"x-session-id": made.json["id"]}) as client:
            created = await client.responses.create(model="apollo", input="hi")
            assert (await client.responses.retrieve(created.id)) == created
            await home.ask("DELETE", f"{shares}/guest")
            await _is_gone(client, created.id, deletes=False)


async def _is_gone(client: AsyncOpenAI, id: str, *, deletes: bool = True) -> None:
    calls: list[Awaitable[object]] = [
        client.responses.retrieve(id),
        client.responses.cancel(id),
        client.responses.input_items.list(id),
    ]
    if deletes:
        calls.append(client.responses.delete(id))
    for call in calls:
        with pytest.raises(NotFoundError, match=id):
            await call


@pytest.mark.long
async def test_a_response_that_is_not_stored_is_found_while_its_connection_is_open(tmp_path: Path) -> None:
    more = asyncio.Event()
    async with served(tmp_path, [Text("a"), more, Text("b"), Done()]) as home, openai(home) as client:
        stream = await client.responses.create(model="apollo", input="hi", store=False, stream=True)
        first = await anext(aiter(stream))
        assert first.type == "response.created"
        found = await client.responses.retrieve(first.response.id)
        assert (found.status, found.model_dump()["store"]) == ("in_progress", False)
        more.set()
        assert [event.type async for event in stream][-1] == "response.completed"
        await _is_gone(client, first.response.id)


@pytest.mark.long
async def test_a_response_in_the_background_is_polled_followed_and_cancelled(tmp_path: Path) -> None:
    more = asyncio.Event()
    scripts: list[Script] = [[Text("a"), more, Text("b"), Done()], [Text("a"), asyncio.Event()]]
    async with served(tmp_path, *scripts) as home, openai(home) as client:
        queued = await client.responses.create(model="apollo", input="hi", background=True)
        assert queued.status in ("queued", "in_progress")
        follow = aiter(await client.responses.retrieve(queued.id, stream=True))
        assert (await anext(follow)).type == "response.created"
        more.set()
        assert [event.type async for event in follow][-1] == "response.completed"
        done = await client.responses.retrieve(queued.id)
        assert (done.status, done.output_text, done.background) == ("completed", "ab", True)
        assert (await client.responses.cancel(queued.id)).status == "completed"
        stream = await client.responses.create(model="apollo", input="hi", background=True, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        id = next(row.id for row in await home.hub.state.store.find("turn", state="running"))
        cancelled = await client.responses.cancel(f"resp_{id.removeprefix('t_')}")
        assert (cancelled.status, cancelled.output_text) == ("cancelled", "a")


@pytest.mark.long
async def test_what_cannot_be_honoured_and_what_fails_is_an_error_of_openais(tmp_path: Path) -> None:
    limited = RateLimited("slow down", retryable=True, retry_after=7)
    async with served(tmp_path, [limited], [Text("par"), limited]) as home, openai(home) as client:
        for wrong, status, param in (
            ({"model": "nobody"}, 404, "model"),
            ({"model": "team:all", "tools": [WEATHER]}, 400, "tools"),
            ({"model": "team:all", "reasoning": {"effort": "low"}}, 400, "reasoning.effort"),
            ({"conversation": "c"}, 404, None),
        ):
            with pytest.raises(APIStatusError) as caught:
                await client.responses.create(**{"model": "apollo", "input": "hi", **wrong})  # type: ignore[call-overload]
            assert (caught.value.status_code, caught.value.param) == (status, param)
        with pytest.raises(APIStatusError) as caught:
            await client.responses.create(model="apollo", input="hi")
        assert (caught.value.status_code, caught.value.code) == (429, "rate_limit_exceeded")
        assert caught.value.response.headers["retry-after"] == "7"
        events = [e async for e in await client.responses.create(model="apollo", input="hi", stream=True)]
        assert events[-1].type == "response.failed"
        failed = events[-1].response
        assert failed.error is not None
        assert (failed.status, failed.error.code, failed.output_text) == (
            "failed",
            "rate_limit_exceeded",
            "par",
        )
        answer = await home.ask_tcp("GET", f"{RESPONSES}/resp_1", {"x-api-key": TOKEN})
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


async def test_a_websocket_answers_requests_in_turn_and_continues_what_is_not_stored(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        async with client.responses.connect() as socket:
            first = await _asked(socket, input="one", store=False)
            second = await _asked(socket, input="two", store=False, previous_response_id=first.id)
            assert second.output_text == "apollo heard: two"
            wrong: Any = [{"type": "function_call_output", "call_id": "none", "output": ""}]
            failed = await _asked(socket, input=wrong, store=False, previous_response_id=second.id)
            assert failed["error"]["code"] == "invalid_value"
            gone = await _asked(socket, input="three", store=False, previous_response_id=second.id)
            assert (gone["status"], gone["error"]["code"]) == (400, "previous_response_not_found")
            stored = await _asked(socket, input="four " + "x" * (300 << 10))
            await socket.send_raw(json.dumps({"type": "response.cancel"}))
            assert json.loads(await socket.recv_bytes())["error"]["param"] == "type"
        async with client.responses.connect() as socket:
            gone = await _asked(socket, input="five", store=False, previous_response_id=first.id)
            assert gone["error"]["code"] == "previous_response_not_found"
            await _asked(socket, input="six", previous_response_id=stored.id)
        turns = await home.hub.state.store.find("turn")
    assert len({row.parent for row in turns}) == 2  # one and two, four and six


async def test_a_response_names_its_session_and_a_request_continues_one_by_its_id(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        first = await client.responses.create(model="apollo", input="one")
        assert first.conversation is not None
        session = first.conversation.id
        streamed = await client.responses.create(
            model="apollo", input="two", conversation=session, stream=True
        )
        shown = [event.response async for event in streamed if hasattr(event, "response")]
        async with client.responses.connect() as socket:
            third = await _asked(socket, input="three", conversation={"id": session})
        assert {each.conversation.id for each in (*shown, third) if each.conversation} == {session}
        assert (await client.responses.retrieve(third.id)).conversation == first.conversation
        messages = [each for each in await home.log(session) if isinstance(each, MessageAccepted)]
        assert [each.content for each in messages] == ["one", "two", "three"]
        with pytest.raises(NotFoundError):
            await client.responses.create(model="apollo", input="four", conversation="conv_1")
        with pytest.raises(APIStatusError, match="names another session") as caught:
            await client.responses.create(
                model="apollo", input="four", conversation="s_1", extra_headers={"x-session-id": session}
            )
        assert caught.value.status_code == 400
        guest = (await caller(home))["authorization"].removeprefix("Bearer ")
        async with openai(home, api_key=guest) as other:
            with pytest.raises(NotFoundError):
                await other.responses.create(model="apollo", input="four", conversation=session)


async def test_a_websocket_prepares_a_conversation_without_an_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as home, openai(home) as client:
        async with client.responses.connect() as socket:
            options: Any = {"instructions": "Be brief.", "generate": False}
            prepared = await _asked(socket, input="one", **options)
            assert (prepared.status, prepared.output, prepared.conversation) == ("completed", [], None)
            assert prepared.usage.total_tokens == 0
            assert home.driver.heard == []
            answer = await _asked(socket, input="two", previous_response_id=prepared.id)
            assert answer.output_text == "apollo heard: one\n\ntwo"
            empty = await _asked(socket, prompt_cache_options={"prewarm": True})
            gone = await _asked(socket, input="three", previous_response_id=prepared.id)
            assert gone["error"]["code"] == "previous_response_not_found"
            assert (await _asked(socket, input="x", previous_response_id=empty.id)).status == "completed"
            refused = await _asked(socket, input="one", generate=False, model="team:all", tools=[WEATHER])
            assert refused["error"]["param"] == "tools"
            with pytest.raises(NotFoundError):
                await client.responses.retrieve(empty.id)
            last = await _asked(socket, input="one", generate=False)
        async with client.responses.connect() as socket:
            gone = await _asked(socket, input="three", previous_response_id=last.id)
            assert gone["error"]["code"] == "previous_response_not_found"


async def _asked(socket: Any, **request: Any) -> Any:
    """Return the response to a request; the message with the error if there is none."""
    await socket.send_raw(json.dumps({"type": "response.create", "model": "apollo", **request}))
    while True:
        found = json.loads(await socket.recv_bytes())
        if found["type"] == "error":
            return found
        if found["type"] in ("response.completed", "response.failed"):
            return Response.model_validate(found["response"])
