"""OpenAI responses, as https://platform.openai.com/docs/api-reference/responses describes them."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import msgspec

from tests.provider import openai_chat
from tests.provider.dialect import Body, Frames, event, text_of
from tests.provider.script import Asked, Failure, Script, ToolCall, Usage, usage_of

_ID = "resp_1"
_CREATED = 1_790_000_000
_ENCRYPTED = "c2VhbGVk"  # the encrypted reasoning that a stateless client sends back

refusal = openai_chat.refusal
models = openai_chat.models

# our finish reason → the reason for an incomplete response
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}

Shape = dict[str, Any]


class Item(NamedTuple):
    """One output item: the events before its chunks, those of each chunk, those after them, and the item in
    the finished response."""

    before: list[Shape]
    chunks: list[list[Shape]]
    after: list[Shape]
    whole: Shape


def asked(body: Body, /) -> Asked:
    """Return model, last user message and options of a request."""
    given = body.get("input") or ""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    users = [text_of(item.get("content")) for item in items if item.get("role") == "user"]
    said = [text_of(item.get("content") or item.get("output")) for item in items]
    return Asked(
        model=body["model"],
        text=users[-1] if users else "",
        words=sum(len(text.split()) for text in (text_of(body.get("instructions")), *said)),
        stream=bool(body.get("stream")),
    )


def answer(script: Script, asked: Asked, /) -> bytes:
    """Return the whole response as one JSON object."""
    items = _items(script.reasoning, script.chunks, script.tool_calls)
    usage = usage_of(script, asked)
    return msgspec.json.encode(_ended(asked.model, script.finish, usage, [item.whole for item in items]))


def frames(script: Script, asked: Asked, /) -> Frames:
    """Return the response as events, which are numbered from 0."""
    usage = usage_of(script, asked)
    return _frames(script.reasoning, script.chunks, script.tool_calls, script.finish, asked.model, usage)


@lru_cache(maxsize=64)
def _frames(
    reasoning: tuple[str, ...],
    chunks: tuple[str, ...],
    calls: tuple[ToolCall, ...],
    finish: str,
    model: str,
    usage: Usage,
) -> Frames:
    items = _items(reasoning, chunks, calls)
    numbers = count()
    begun = _response(model, "in_progress")
    opening = [_of(kind, {"response": begun}) for kind in ("created", "in_progress")]
    first = _encoded(opening + items[0].before, numbers)
    chunked = tuple(_encoded(piece, numbers) for piece in _pieces(items))
    ended = _ended(model, finish, usage, [item.whole for item in items])
    closing = _encoded(
        [*items[-1].after, {"type": f"response.{ended['status']}", "response": ended}], numbers
    )
    return Frames(first, chunked, closing)


def _pieces(items: list[Item]) -> Iterator[list[Shape]]:
    """Yield the chunks. The events between two items are part of the last chunk, so chunks can be counted."""
    for index, item in enumerate(items):
        follows = items[index + 1].before if index + 1 < len(items) else None
        for number, chunk in enumerate(item.chunks, 1):
            last = number == len(item.chunks) and follows is not None
            yield chunk + item.after + (follows or []) if last else chunk


def _items(reasoning: tuple[str, ...], chunks: tuple[str, ...], calls: tuple[ToolCall, ...]) -> list[Item]:
    items: list[Item] = []
    if reasoning:
        items.append(_thoughts(len(items), reasoning))
    if chunks or not calls:
        items.append(_message(len(items), chunks))
    for call in calls:
        items.append(_function_call(len(items), call))
    return items


def _thoughts(index: int, texts: tuple[str, ...]) -> Item:
    at = {"item_id": f"rs_{index}", "output_index": index, "summary_index": 0}
    text = "".join(texts)
    part = {"type": "summary_text", "text": text}
    begun = {"id": f"rs_{index}", "type": "reasoning", "summary": []}
    whole = begun | {"summary": [part], "encrypted_content": _ENCRYPTED}
    before = [_added(index, begun), _of("reasoning_summary_part.added", at, part=part | {"text": ""})]
    after = [
        _of("reasoning_summary_text.done", at, text=text),
        _of("reasoning_summary_part.done", at, part=part),
    ]
    pieces = [[_of("reasoning_summary_text.delta", at, delta=piece)] for piece in texts]
    return Item(before, pieces, [*after, _done(index, whole)], whole)


def _message(index: int, texts: tuple[str, ...]) -> Item:
    at = {"item_id": f"msg_{index}", "output_index": index, "content_index": 0}
    text = "".join(texts)
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    begun = {
        "id": f"msg_{index}",
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }
    whole = begun | {"status": "completed", "content": [part]}
    before = [_added(index, begun), _of("content_part.added", at, part=part | {"text": ""})]
    after = [_of("output_text.done", at, text=text, logprobs=[]), _of("content_part.done", at, part=part)]
    pieces = [[_of("output_text.delta", at, delta=piece, logprobs=[])] for piece in texts]
    return Item(before, pieces, [*after, _done(index, whole)], whole)


def _function_call(index: int, call: ToolCall) -> Item:
    """Return a call. Its first chunk is the event with its name, before which there is none."""
    at = {"item_id": f"fc_{index}", "output_index": index}
    begun = {
        "id": f"fc_{index}",
        "type": "function_call",
        "status": "in_progress",
        "call_id": call.id,
        "name": call.name,
        "arguments": "",
        **({"namespace": call.namespace} if call.namespace else {}),
    }
    whole = begun | {"status": "completed", "arguments": call.arguments}
    pieces = [[_of("function_call_arguments.delta", at, delta=piece)] for piece in call.pieces]
    ended = _of("function_call_arguments.done", at, name=call.name, arguments=call.arguments)
    after = [ended, _done(index, whole)]
    return Item([], [[_added(index, begun)], *pieces], after, whole)


def stream_error(failure: Failure, /) -> bytes:
    """Return an error as the last event of a stream that has started."""
    error = msgspec.json.decode(refusal(failure))["error"]
    failed = _response("", "failed") | {
        "error": {"code": error["code"] or "server_error", "message": error["message"]}
    }
    return event("response.failed", {"type": "response.failed", "sequence_number": 1_000, "response": failed})


def malformed() -> bytes:
    """Return an event whose data is truncated JSON."""
    return b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"br\n\n'


def _of(kind: str, fields: Shape, **more: Any) -> Shape:
    return {"type": f"response.{kind}", **fields, **more}


def _added(index: int, item: Shape) -> Shape:
    return _of("output_item.added", {"output_index": index}, item=item)


def _done(index: int, item: Shape) -> Shape:
    return _of("output_item.done", {"output_index": index}, item=item)


def _encoded(shapes: list[Shape], numbers: Iterator[int]) -> bytes:
    return b"".join(event(shape["type"], shape | {"sequence_number": next(numbers)}) for shape in shapes)


def _ended(model: str, finish: str, usage: Usage, output: list[Shape]) -> Shape:
    missing = _INCOMPLETE.get(finish)
    status = "completed" if missing is None else "incomplete"
    details = None if missing is None else {"reason": missing}
    ended = {"incomplete_details": details, "output": output, "usage": _usage(usage)}
    return _response(model, status) | ended


def _response(model: str, status: str) -> Shape:
    return {
        "id": _ID,
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
