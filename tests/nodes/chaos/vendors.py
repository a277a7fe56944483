"""Clients of the APIs of OpenAI and Anthropic: one request, and what its stream said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp

from tests.nodes.hubs import BEARER

from .places import Lost, Place, decode, require

FAILED = (409, 502, 504)  # statuses of a turn that failed; 409: cancelled


class Said(NamedTuple):
    """An answer. `text`: None if the turn failed or was interrupted."""

    turn: str
    session: str
    text: str | None


class Vendor(NamedTuple):
    """An API. `body`: of a request with these messages. `part`: the text in an event of a stream; None if the
    event is an error. `is_end`: whether the event is the last one of an answer that is complete."""

    name: str
    path: str
    body: Callable[[list[dict[str, str]]], dict[str, Any]]
    part: Callable[[dict[str, Any]], str | None]
    is_end: Callable[[bytes], bool]

    async def ask(self, place: Place, messages: list[dict[str, str]], key: str) -> Said:
        """Ask, and read the whole answer.

        Raises:
            one of `LOST`: the node was lost; the same request with the same key has the same answer.
        """
        headers = {**BEARER, "idempotency-key": key, "anthropic-version": "2023-06-01"}
        body = {**self.body(messages), "model": "apollo", "stream": True}
        url = f"{place.url}{self.path}"
        async with place.http.post(url, json=body, headers=headers, timeout=place.quiet()) as stream:
            if stream.status in FAILED and "x-turn-id" in stream.headers:
                return Said(stream.headers["x-turn-id"], stream.headers["x-session-id"], None)
            await require(stream, 200)
            said = await self._read(stream)
            return Said(stream.headers["x-turn-id"], stream.headers["x-session-id"], said)

    async def _read(self, stream: aiohttp.ClientResponse) -> str | None:
        text = ""
        async for line in stream.content:
            if not line.startswith(b"data: "):
                continue
            data = line[6:].strip()
            if self.is_end(data):
                return text
            if data != b"[DONE]":
                part = self.part(decode(data))
                if part is None:
                    return None
                text += part
        raise Lost(f"{self.name}: the stream was cut")


def _chat_part(event: dict[str, Any]) -> str | None:
    if "error" in event:
        return None
    choices = event["choices"]
    return str(choices[0]["delta"].get("content") or "") if choices else ""


def _message_part(event: dict[str, Any]) -> str | None:
    if event["type"] == "error":
        return None
    return str(event["delta"]["text"]) if event["type"] == "content_block_delta" else ""


def _response_part(event: dict[str, Any]) -> str | None:
    if event["type"] in ("error", "response.failed"):
        return None
    return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""


VENDORS = (
    Vendor(
        "openai.chat",
        "/v1/chat/completions",
        lambda messages: {"messages": messages},
        _chat_part,
        lambda data: data == b"[DONE]",
    ),
    Vendor(
        "openai.responses",
        "/v1/responses",
        lambda messages: {"input": messages},
        _response_part,
        lambda data: b'"type":"response.completed"' in data,
    ),
    Vendor(
        "anthropic",
        "/v1/messages",
        lambda messages: {"messages": messages, "max_tokens": 1000},
        _message_part,
        lambda data: b'"type":"message_stop"' in data,
    ),
)
