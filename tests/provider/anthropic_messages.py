"""Anthropic messages, as https://platform.claude.com/docs/en/api/messages describes them."""

from functools import lru_cache
from typing import Any

import msgspec

from tests.provider.dialect import Body, Frames, event, text_of
from tests.provider.script import Asked, Failure, Script, ToolCall, Usage, usage_of

_ID = "msg_1"
_Block = tuple[dict[str, Any], list[dict[str, str]]]  # its start, and its deltas

# our finish reason → Anthropic's
_STOP_REASON = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}

# status → (type, message), as observed from the API
_WORDS: dict[int | str, tuple[str, str]] = {
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    529: ("overloaded_error", "Overloaded"),
    "context_overflow": ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "quota": ("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "unknown_model": ("not_found_error", "model: unknown"),
}
_OTHER_CLIENT = ("invalid_request_error", "Invalid request.")
_OTHER_SERVER = ("api_error", "Internal server error")


def asked(body: Body, /) -> Asked:
    """Return model, last user message and options of a request."""
    said = [text_of(message["content"]) for message in body["messages"]]
    users = [text_of(message["content"]) for message in body["messages"] if message["role"] == "user"]
    prompt = [text_of(body.get("system")), *said]
    return Asked(
        model=body["model"],
        text=users[-1] if users else "",
        words=sum(len(text.split()) for text in prompt),
        stream=bool(body.get("stream")),
    )


def answer(script: Script, asked: Asked, /) -> bytes:
    """Return the whole message as one JSON object."""
    content: list[dict[str, Any]] = []
    if script.reasoning:
        thinking = "".join(script.reasoning)
        content.append({"type": "thinking", "thinking": thinking, "signature": script.signature})
    content += _redacted(script)
    if script.chunks or not script.tool_calls:
        content.append({"type": "text", "text": "".join(script.chunks)})
    content += [
        _tool_use(call) | {"input": msgspec.json.decode(call.arguments)} for call in script.tool_calls
    ]
    usage = _usage(usage_of(script, asked))
    return msgspec.json.encode(_message(asked.model, content, _stop_reason(_finish(script)), usage))


def frames(script: Script, asked: Asked, /) -> Frames:
    """Return the message as events, with the ping that the API sends after the start of the first block."""
    usage, calls = usage_of(script, asked), script.tool_calls
    thoughts = (script.reasoning, script.signature, script.redacted)
    return _frames(*thoughts, script.chunks, calls, _finish(script), asked.model, usage)


def counted(asked: Asked, /) -> bytes:
    """Return the number of tokens of a prompt: its words."""
    return msgspec.json.encode({"input_tokens": asked.words})


@lru_cache(maxsize=64)
def _frames(
    reasoning: tuple[str, ...],
    signature: str,
    redacted: tuple[str, ...],
    chunks: tuple[str, ...],
    calls: tuple[ToolCall, ...],
    finish: str,
    model: str,
    usage: Usage,
) -> Frames:
    blocks: list[_Block] = []
    if reasoning:
        thoughts = [{"type": "thinking_delta", "thinking": text} for text in reasoning]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, thoughts))
    blocks += [({"type": "redacted_thinking", "data": data}, []) for data in redacted]
    if chunks or not calls:
        words = [{"type": "text_delta", "text": text} for text in chunks]
        blocks.append(({"type": "text", "text": ""}, words))
    for call in calls:
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *call.pieces)]
        blocks.append((_tool_use(call), pieces))
    opening = _message_start(model, usage) + _block_start(0, blocks[0][0]) + event("ping", {"type": "ping"})
    chunked = [chunk for index in range(len(blocks)) for chunk in _block(index, blocks, signature)]
    return Frames(opening, tuple(chunked), _block_stop(len(blocks) - 1) + _message_stop(finish, usage))


def _block(index: int, blocks: list[_Block], signature: str) -> list[bytes]:
    """Return the chunks of a block. The events between two blocks are part of the last chunk, so that
    chunks can be counted."""
    start, deltas = blocks[index]
    chunks = [_delta(index, delta) for delta in deltas] or [b""]
    if index + 1 < len(blocks):
        if start["type"] == "thinking":
            chunks[-1] += _delta(index, {"type": "signature_delta", "signature": signature})
        chunks[-1] += _block_stop(index) + _block_start(index + 1, blocks[index + 1][0])
    return chunks


def _redacted(script: Script) -> list[dict[str, Any]]:
    return [{"type": "redacted_thinking", "data": data} for data in script.redacted]


def _finish(script: Script) -> str:
    return "tool_calls" if script.tool_calls and script.finish == "stop" else script.finish


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}


def refusal(failure: Failure, /) -> bytes:
    """Return the body of an error."""
    return msgspec.json.encode(_error(failure) | {"request_id": "req_1"})


def stream_error(failure: Failure, /) -> bytes:
    """Return an error as an event of a stream that has started."""
    return event("error", _error(failure))


def malformed() -> bytes:
    """Return an event whose data is truncated JSON."""
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"br\n\n'


def models(names: tuple[str, ...], /) -> bytes:
    """Return the list of models."""
    rows = [
        {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2026-09-21T00:00:00Z",
            "lifecycle": "active",
        }
        for name in names
    ]
    edges = {"first_id": names[0], "last_id": names[-1]} if names else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"data": rows, "has_more": False} | edges)


def _error(failure: Failure) -> dict[str, Any]:
    other = _OTHER_SERVER if failure.status >= 500 else _OTHER_CLIENT
    kind, message = _WORDS.get(failure.reason) or _WORDS.get(failure.status) or other
    return {"type": "error", "error": {"type": kind, "message": message}}


def _stop_reason(finish: str) -> str:
    return _STOP_REASON.get(finish, finish)


def _message(
    model: str, content: list[Any], stop_reason: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": _ID,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _message_start(model: str, usage: Usage) -> bytes:
    # output tokens count up during the stream; it starts with one
    counts = _usage(usage) | {"output_tokens": 1}
    counts.pop("output_tokens_details", None)
    return event("message_start", {"type": "message_start", "message": _message(model, [], None, counts)})


def _block_start(index: int, block: dict[str, Any]) -> bytes:
    return event(
        "content_block_start", {"type": "content_block_start", "index": index, "content_block": block}
    )


def _delta(index: int, delta: dict[str, str]) -> bytes:
    return event("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta})


def _block_stop(index: int) -> bytes:
    return event("content_block_stop", {"type": "content_block_stop", "index": index})


def _message_stop(finish: str, usage: Usage) -> bytes:
    reason, _, stop = finish.partition("=")
    delta = {"stop_reason": _stop_reason(reason), "stop_sequence": stop or None}
    ending = {"type": "message_delta", "delta": delta, "usage": _usage(usage)}
    return event("message_delta", ending) + event("message_stop", {"type": "message_stop"})


def _usage(usage: Usage) -> dict[str, Any]:
    """Return the usage. Anthropic's `input_tokens` excludes tokens read from the cache, or written to it."""
    counts: dict[str, Any] = {
        "input_tokens": usage.input - usage.cached - usage.written,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts
