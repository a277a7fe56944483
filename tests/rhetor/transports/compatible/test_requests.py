"""What requests to all vendors' APIs have in common: sizes, repetition, and clients that are cut off."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text
from rhetor.errors import RateLimited
from rhetor.transports.server.connections import Connections
from rhetor.transports.server.flow import BODY_BYTES
from tests.served import TOKEN, Answer, Served, served

pytestmark = pytest.mark.anyio
KEY = {"x-api-key": TOKEN}
CHAT = "/v1/chat/completions"


def body(content: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "apollo", "messages": [{"role": "user", "content": content}], **more}


async def test_a_client_cut_off_in_mid_stream_finds_the_rest_through_the_session(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with served(tmp_path, [Text("one "), gate, Text("two"), Done()]) as home:
        url = f"{home.node.url}{CHAT}"
        async with home.remote.post(url, headers=KEY, json=body(stream=True)) as response:
            assert response.headers["x-cursor"].endswith(":0")
            first = await response.content.readuntil(b"\n\n")
            assert json.loads(first[6:])["choices"][0]["delta"]["content"] == "one "
            session, cursor = response.headers["x-session-id"], response.headers["x-cursor"]
            response.close()
        gate.set()
        log = await home.seen(session, lambda payload: payload.type == "turn.completed")
        assert log[-1].text == "one two"  # type: ignore[union-attr]
        page = await home.ask_tcp("GET", f"/api/v2/sessions/{session}/events?after={cursor}", bearer())
        assert page.json["events"][-1]["data"]["text"] == "one two"


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {}),
        ("/v1/messages", {"max_tokens": 9}),
        ("/v1/responses", {"messages": None, "input": "hi"}),
    ],
)
async def test_a_stream_that_fails_before_it_says_anything_has_the_status_of_its_error(
    tmp_path: Path, path: str, more: dict[str, Any]
) -> None:
    limited = RateLimited("slow down", retryable=True, retry_after=7)
    sent = {name: value for name, value in body(stream=True, **more).items() if value is not None}
    async with served(tmp_path, [limited], [Done("length")]) as home:
        answer = await home.ask_tcp("POST", path, KEY, json=sent)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert answer.headers["x-should-retry"] == "true"
        assert answer.headers["x-session-id"].startswith("s_")
        cut = await home.ask_tcp("POST", path, KEY, json=sent)
        assert cut.status == 200
        assert cut.headers["content-type"].startswith("text/event-stream")


async def test_a_stream_begins_although_the_turn_says_nothing_for_long(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with served(tmp_path, [gate, Text("late"), Done()]) as home:
        url = f"{home.node.url}{CHAT}"
        async with home.remote.post(url, headers=KEY, json=body(stream=True)) as response:
            assert response.status == 200
            gate.set()
            assert b"late" in await response.content.read()


def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}"}


async def test_a_repeated_request_gets_the_same_answer_again(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        headers = {**KEY, "idempotency-key": "k"}
        answers = [await home.ask_tcp("POST", CHAT, headers, json=body(stream=True)) for _ in range(2)]
        assert answers[0].text == answers[1].text
        assert len(home.driver.heard) == 1
        other = await home.ask_tcp("POST", CHAT, headers, json=body("other"))
        assert (other.status, other.json["error"]["code"]) == (409, "key_reused")
        assert other.headers["x-should-retry"] == "false"


def with_image(size: int) -> dict[str, Any]:
    content = b"\x89PNG\r\n\x1a\n" + bytes(size)
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return body([{"type": "image_url", "image_url": {"url": url}}])


async def test_a_stream_beyond_the_limit_of_connections_sends_no_message(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with served(tmp_path, [gate, Text("hi"), Done()], connections=Connections(100, 1)) as home:
        async with home.remote.post(f"{home.node.url}{CHAT}", headers=KEY, json=body(stream=True)) as first:
            assert first.status == 200
            second = await home.ask_tcp("POST", CHAT, KEY, json=body(stream=True))
            assert (second.status, second.json["error"]["code"]) == (429, "too_many_connections")
            assert second.headers["retry-after"] == "5"
            gate.set()
            assert b"[DONE]" in await first.content.read()
        assert len(home.driver.heard) == 1


async def large(home: Served, content: dict[str, Any]) -> Answer:
    data = io.BytesIO(json.dumps(content).encode())
    return await home.ask_tcp("POST", CHAT, {**KEY, "content-type": "application/json"}, data=data)


@pytest.mark.long
async def test_a_body_may_have_more_than_others_and_its_parts_as_much_as_those_of_any_message(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        read = await large(home, with_image(BODY_BYTES))
        # scripted peers take text only, so it was read and decoded
        assert (read.status, read.json["error"]["code"]) == (400, "unsupported")
        home.node.byte_rates.per_second = 1 << 30
        many = await large(home, with_image(17 << 20))
        assert (many.status, many.json["error"]["code"]) == (413, "too_large")
        huge = await home.ask_tcp("POST", CHAT, {**KEY, "content-length": str(40 << 20)}, data=b"{}")
        assert (huge.status, huge.json["error"]["code"]) == (413, "too_large")
        assert "33554432" in huge.json["error"]["message"]
        await require_short(home)


async def require_short(home: Served) -> None:
    """Assert that the other APIs still have their own limit, and their own errors."""
    huge = await home.ask_tcp(
        "POST", "/api/v2/ai/apollo/message", bearer(), data=io.BytesIO(b" " * (BODY_BYTES + 1))
    )
    assert (huge.status, huge.json["code"], huge.json["limit"]) == (413, "too_large", BODY_BYTES)


async def test_a_text_is_limited_like_that_of_any_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        long = await large(home, body("x" * (1 << 21)))
        assert (long.status, long.json["error"]["code"]) == (413, "too_large")
        many = await large(home, body(stop=[[] for _ in range(700_000)]))
        assert (many.status, many.json["error"]["code"]) == (413, "too_many_values")
        plain = await home.ask_tcp("POST", CHAT, {**KEY, "content-type": "text/plain"}, data=b"{}")
        assert (plain.status, plain.json["error"]["type"]) == (415, "invalid_request_error")


async def test_hops_through_another_hub_count(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answers = {}
        for hops in ("7", "8", "a lot"):
            headers = {**KEY, "x-rhetor-hops": hops}
            answers[hops] = await home.ask_tcp("POST", CHAT, headers, json=body())
        assert {hops: answer.status for hops, answer in answers.items()} == {"7": 200, "8": 400, "a lot": 200}
        assert answers["8"].json["error"]["code"] == "hop_limit"
