"""OpenAI chat completions, as https://platform.openai.com/docs/api-reference/chat describes them."""

from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any

import msgspec

from tests.provider.dialect import Body, Frames, data, text_of
from tests.provider.script import Asked, Failure, Script, ToolCall, Usage, usage_of

_ID = "chatcmpl-1"
_CREATED = 1_790_000_000

# status → (message, type, code), as observed from the API
_WORDS: dict[int | str, tuple[str, str, str | None]] = {
    401: (
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
        "invalid_request_error",
        "invalid_api_key",
    ),
    429: ("Rate limit reached for requests. Please try again later.", "requests", "rate_limit_exceeded"),
    503: ("That model is currently overloaded with other requests.", "server_error", None),
    "context_overflow": (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. "
        "Please reduce the length of the messages.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "quota": (
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "unknown_model": (
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
}
_OTHER_CLIENT = ("Invalid request.", "invalid_request_error", None)
_OTHER_SERVER = (
    "The server had an error while processing your request. Sorry about that!",
    "server_error",
    None,
)


def asked(body: Body, /) -> Asked:
    """Return model, last user message and options of a request."""
    messages = body["messages"]
    said = [text_of(message.get("content")) for message in messages]
    users = [text for message, text in zip(messages, said, strict=True) if message["role"] == "user"]
    options = body.get("stream_options") or {}
    return Asked(
        model=body["model"],
        text=users[-1] if users else "",
        words=sum(len(text.split()) for text in said),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
    )


def answer(script: Script, asked: Asked, /) -> bytes:
    """Return the whole completion as one JSON object."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(script.chunks), "refusal": None}
    if script.reasoning:
        message["reasoning_content"] = "".join(script.reasoning)
    if script.tool_calls:
        message["tool_calls"] = [_tool_call(call, call.arguments) for call in script.tool_calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(script)}
    envelope = _envelope(asked.model) | {"object": "chat.completion"}
    return msgspec.json.encode(envelope | {"choices": [choice], "usage": _usage(usage_of(script, asked))})


def frames(script: Script, asked: Asked, /) -> Frames:
    """Return the completion as a stream: role, one delta per chunk, reason, usage on request, `[DONE]`."""
    usage = usage_of(script, asked) if asked.include_usage else None
    calls, mixed = script.tool_calls, script.interleaved
    return _frames(script.reasoning, script.chunks, calls, mixed, _finish(script), asked.model, usage)


@lru_cache(maxsize=64)
def _frames(
    reasoning: tuple[str, ...],
    chunks: tuple[str, ...],
    calls: tuple[ToolCall, ...],
    interleaved: bool,
    finish: str,
    model: str,
    usage: Usage | None,
) -> Frames:
    envelope = _envelope(model) | ({} if usage is None else {"usage": None})
    thoughts = tuple(_delta(envelope, {"reasoning_content": text}) for text in reasoning)
    words = tuple(_delta(envelope, {"content": text}) for text in chunks)
    closing = _delta(envelope, {}, finish)
    if usage is not None:
        closing += data(envelope | {"choices": [], "usage": _usage(usage)})
    opening = _delta(envelope, {"role": "assistant", "content": "", "refusal": None})
    parts = [_parts(index, call) for index, call in enumerate(calls)]
    ordered = chain.from_iterable(zip_longest(*parts)) if interleaved else chain.from_iterable(parts)
    wishes = tuple(_delta(envelope, {"tool_calls": [part]}) for part in ordered if part)
    return Frames(opening, thoughts + words + wishes, closing + b"data: [DONE]\n\n")


def _finish(script: Script) -> str:
    return "tool_calls" if script.tool_calls and script.finish == "stop" else script.finish


def _tool_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _parts(index: int, call: ToolCall) -> list[dict[str, Any]]:
    """Yield the parts of a call: the first one has its name, the others pieces of its arguments."""
    rest = [{"index": index, "function": {"arguments": piece}} for piece in call.pieces]
    return [{"index": index, **_tool_call(call, "")}, *rest]


def refusal(failure: Failure, /) -> bytes:
    """Return the body of an error."""
    other = _OTHER_SERVER if failure.status >= 500 else _OTHER_CLIENT
    words = _WORDS.get(failure.reason) or _WORDS.get(failure.status) or other
    message, kind, code = words
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def stream_error(failure: Failure, /) -> bytes:
    """Return an error as an event of a stream that has started."""
    return b"data: " + refusal(failure) + b"\n\n"


def malformed() -> bytes:
    """Return an event whose data is truncated JSON."""
    return b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"br\n\n'


def models(names: tuple[str, ...], /) -> bytes:
    """Return the list of models."""
    rows = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "tests"} for name in names]
    return msgspec.json.encode({"object": "list", "data": rows})


def _envelope(model: str) -> dict[str, Any]:
    return {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _delta(envelope: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return data(envelope | {"choices": [choice]})


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
