# ruff: noqa: E501  each case is one line
"""Turns with tools at servers that deviate from their API: the right calls and arguments, or an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from rhetor.domain.output import Done, Output, Text, ToolResult, ToolUse
from rhetor.domain.tool import Tool
from rhetor.drivers.base import Prompt
from rhetor.drivers.model_tools.driver import with_tools
from rhetor.drivers.model_tools.mcp_server import Limits
from rhetor.drivers.model_tools.servers import ToolServers
from rhetor.errors import EmptyAnswer, ProviderCut, ProviderFailed, RateLimited, RhetorError
from tests.rhetor.drivers.models import stream_corpus as say
from tests.rhetor.drivers.models.stream_corpus import (
    API,
    DONE,
    an,
    chunk,
    ended,
    ev,
    raw,
    started,
    text,
    whole,
)
from tests.rhetor.drivers.talk import APOLLO, chat_driver

pytestmark = pytest.mark.anyio

TOOLS = (Tool("weather", "Tells the weather."), Tool("time", "Tells the time."))
OK = {"openai": chunk({"content": "ok"}, "stop") + DONE, "anthropic": text("ok") + ended("end_turn")}
Calls = list[tuple[str, Any]]


@asynccontextmanager
async def answering(bodies: Sequence[bytes], kind: str = "text/event-stream") -> AsyncIterator[str]:
    """Run a server that answers with these bodies, each on a connection that stays open."""
    left = list(bodies)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
                body = left.pop(0)
                lines = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(lines.encode() + body)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def turn(api: API, *bodies: bytes) -> tuple[list[Output], RhetorError | None]:
    """Return outputs and failure of one turn with two tools of the client, which return "fine"."""
    outputs: list[Output] = []
    async with answering(bodies) as url:
        environment = {
            "openai": {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "k"},
            "anthropic": {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "k"},
        }[api]
        servers = ToolServers({}, {}, "/", Limits(60, 60))
        async with chat_driver({**environment, "RHETOR_MODEL": "m"}) as chat:
            conversation = await with_tools(chat, servers).open(APOLLO)
            try:
                async with aclosing(conversation.send(Prompt("Hi", tools=TOOLS), ())) as said:
                    async for output in said:
                        outputs.append(output)
                        if isinstance(output, ToolUse) and output.runs_at == "client":
                            await conversation.answer(output.call_id, ToolResult(output.call_id, "fine"))
            except RhetorError as failure:
                return outputs, failure
    return outputs, None


def piece(arguments: Any, name: Any = None, **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


def calls(*pieces: dict[str, Any]) -> bytes:
    return b"".join(chunk({"tool_calls": [each]}) for each in pieces) + chunk({}, "tool_calls") + DONE


ROME, OSLO = {"place": "Rome"}, {"place": "Oslo"}
FIRST = ("weather", ROME)
BOTH = [FIRST, ("weather", OSLO)]
W = "weather"
ROME_TEXT, OSLO_TEXT = json.dumps(ROME), json.dumps(OSLO)


def block(index: Any, content: Any) -> bytes:
    return an("content_block_start", index=index, content_block=content)


def part(index: Any, arguments: Any) -> bytes:
    return an(
        "content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": arguments}
    )


def used(id: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": W, **more}


@pytest.mark.parametrize(
    ("api", "body", "wanted"),
    [
        ("openai", calls(piece("", W, index=0, id="a"), piece('{"place":', index=0), piece(' "Rome"}', index=0)), [FIRST]),
        ("openai", calls(piece(ROME_TEXT, W, index=0, id="a"), piece(OSLO_TEXT, W, index=0, id="b")), BOTH),
        ("openai", calls(piece(ROME_TEXT, W, index=0), piece(OSLO_TEXT, W, index=0)), BOTH),
        ("openai", calls(piece("", W, index=0, id="a"), piece('{"place":', W, index=0, id="a"), piece(' "Rome"}', W, index=0, id="a")), [FIRST]),
        ("openai", calls(piece('{"place":', W, id="a"), piece(' "Rome"}'), piece(OSLO_TEXT, W, id="b")), BOTH),
        ("openai", calls(piece('{"place":', W, index=None, id="a"), piece(' "Rome"}', W, index=None, id=None)), [FIRST]),
        ("openai", calls(piece(ROME, W, index="0", id="a")), [FIRST]),
        ("openai", calls(piece(None, "time", index=0.0, id="a", type=None)), [("time", {})]),
        ("openai", chunk({"function_call": {"name": W, "arguments": ROME_TEXT}}) + chunk({}, "function_call") + DONE, [FIRST]),
        ("openai", calls(piece(ROME_TEXT, W, index=0, id="a")).replace(b"tool_calls\"}", b'stop"}'), [FIRST]),
        ("openai", chunk({"tool_calls": [piece(ROME_TEXT, W, index=0, id="a")]}) + DONE, [FIRST]),
        ("openai", whole({"content": None, "tool_calls": [piece(ROME_TEXT, W, id="a"), piece(OSLO_TEXT, W, id="b")]}, "tool_calls"), BOTH),
        ("openai", raw({"message": {"content": "", "tool_calls": [piece(ROME, W, id="a")]}, "finish_reason": "tool_calls"}) + DONE, [FIRST]),
        ("openai", calls(piece(b'{"place": "R\xc3'.decode("latin-1"), W, index=0, id="a"), piece('\xb3m"}', index=0)).replace(b"\\u00c3", b"\xc3").replace(b"\\u00b3", b"\xb3"), [(W, {"place": "Róm"})]),
        ("anthropic", started() + block(0, used("a", input={})) + part(0, '{"place":') + part(0, ' "Rome"}') + ended("tool_use"), [FIRST]),
        ("anthropic", started() + block(0, used("a", input=ROME)) + ended("tool_use"), [FIRST]),
        ("anthropic", started() + block(0, used("a", input=ROME_TEXT)) + part(0, ROME_TEXT) + ended("tool_use"), [FIRST]),
        ("anthropic", started() + block(0, used("a")) + part(0, ROME_TEXT) + block(0, used("b")) + part(0, OSLO_TEXT) + ended("tool_use"), BOTH),
        ("anthropic", block(None, used(None, input=None)) + part(None, ROME) + ended("tool_calls"), [FIRST]),
        ("anthropic", json.dumps({**say.MESSAGE, "content": [used("a", input=ROME)], "stop_reason": "tool_use"}).encode(), [FIRST]),
    ],
)  # fmt: skip
async def test_each_tool_call_is_run_with_its_own_arguments(api: API, body: bytes, wanted: Calls) -> None:
    outputs, failure = await turn(api, body, OK[api])
    assert failure is None
    assert [(o.name, o.arguments) for o in outputs if isinstance(o, ToolUse)] == wanted
    assert ("".join(o.text for o in outputs if isinstance(o, Text)), outputs[-1]) == ("ok", Done("stop"))


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("openai", chunk({"content": [{"type": "text", "text": "ok"}]}) + chunk({}, "eos") + DONE),
        ("openai", raw({"message": {"content": "ok"}}, usage={"prompt_tokens": "1", "completion_tokens": None}) + DONE),
        ("openai", whole({"content": "ok"})),
        ("openai", chunk({"content": "o"}) + ev("null") + chunk({"content": "k"}) + DONE),
        ("openai", chunk({"content": "ok"}, "stop")),
        ("anthropic", text("ok") + ended("end_turn") + DONE),
        ("anthropic", block(0, {"type": "text", "text": "ok"}) + an("message_delta", delta={"stop_reason": "end_turn"})),
        ("anthropic", json.dumps({**say.MESSAGE, "content": "ok"}).encode()),
    ],
)  # fmt: skip
async def test_text_is_read_as_in_a_turn_without_tools(api: API, body: bytes) -> None:
    if not body.endswith(b"}"):  # a streamed body
        body = b": hello\n\n" + body
    outputs, failure = await turn(api, body)
    assert failure is None
    assert ("".join(o.text for o in outputs if isinstance(o, Text)), outputs[-1]) == ("ok", Done("stop"))


@pytest.mark.parametrize(
    ("api", "body", "kind"),
    [
        ("openai", chunk({}, "stop") + DONE, EmptyAnswer),
        ("openai", chunk({"content": ""}, "content_filter") + DONE, EmptyAnswer),
        ("openai", chunk({"content": "a"}) + chunk({}, "error") + DONE, ProviderCut),
        ("openai", chunk({"content": "a"}) + ev({"detail": "boom"}), ProviderFailed),
        ("openai", chunk({"content": "a"}), ProviderCut),
        ("openai", b"<html><title>Sign in</title></html>", ProviderFailed),
        ("anthropic", started() + ended("refusal"), EmptyAnswer),
        ("anthropic", started() + ended("end_turn"), EmptyAnswer),
        ("anthropic", text("a") + ev({"message": "boom"}, "error"), ProviderFailed),
        ("anthropic", text("a") + an("error", error={"type": "overloaded_error"}), RateLimited),
        ("anthropic", text("a"), ProviderCut),
    ],
)
async def test_a_failure_within_a_stream_raises_a_typed_error(
    api: API, body: bytes, kind: type[ProviderFailed]
) -> None:
    outputs, failure = await turn(api, body)
    assert type(failure) is kind
    assert failure.data["hint"]
    assert "m at 127.0.0.1:" in failure.detail
    assert not any(isinstance(output, Done) for output in outputs)
