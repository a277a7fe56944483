"""A conversation as the items of the Responses API: the input of a stored response."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rhetor.domain.event import ToolCalled
from rhetor.domain.given import (
    Block,
    GivenMessage,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
    Vendor,
)

from .openai_responses_items import sealed
from .openai_responses_tools import ToolName, call_item

Item = dict[str, Any]


def items_of(
    messages: Sequence[GivenMessage],
    id: str,
    names: Mapping[str, ToolName],
    contents: Mapping[str, bytes] | None = None,
) -> Iterator[Item]:
    """Yield a conversation as items. `id`: of the response that it is the input of, without its prefix;
    `names`: of the tools, as in `Tools`; `contents`: of the blobs that it names. If that is None, the items
    are without the contents of images and files."""
    custom: set[str] = set()
    found = (each for message in messages for each in _items(message, names, custom, contents))
    for n, each in enumerate(found):
        yield {**each, "id": f"{each['id']}_{id}_in{n}"}


def _items(
    message: GivenMessage,
    names: Mapping[str, ToolName],
    custom: set[str],
    contents: Mapping[str, bytes] | None,
) -> Iterator[Item]:
    """Yield the items of a message; their ids are prefixes. `custom`: the ids of the calls of custom tools,
    to which those of the message are added."""
    content: list[Item] = []
    for block in message.blocks:
        if isinstance(block, SaidText | SaidPart):
            content.append(_content(block, message.role, contents))
            continue
        if content:
            yield _message(message.role, content)
            content = []
        yield _item(block, names, custom)
    if content:
        yield _message(message.role, content)


def _message(role: str, content: list[Item]) -> Item:
    return {"id": "msg", "type": "message", "status": "completed", "role": role, "content": content}


def _item(block: Block, names: Mapping[str, ToolName], custom: set[str]) -> Item:
    match block:
        case SaidCall(id, name, arguments):
            item = call_item(ToolCalled(id, name, arguments, "caller"), "", names)
            if item["type"] == "custom_tool_call":
                custom.add(id)
            return {**item, "id": item["id"].rstrip("_")}
        case SaidResult(id, content):
            kind = "custom_tool_call_output" if id in custom else "function_call_output"
            about = {"id": "out", "type": kind, "status": "completed", "call_id": id}
            return {**about, "output": _output(content)}
        case SaidReasoning(text, vendor, data):
            return {"id": "rs", "type": "reasoning", "summary": _summary(text), **_kept(vendor, data)}
    raise TypeError(f"{type(block).__name__} is a part of a message")


def _summary(text: str) -> list[Item]:
    return [{"type": "summary_text", "text": text}] if text else []


def _kept(vendor: Vendor, data: dict[str, Any]) -> Item:
    return {"encrypted_content": sealed(vendor, data)} if data else {}


def _output(content: Sequence[SaidText | SaidPart]) -> str | list[Item]:
    if all(isinstance(block, SaidText) for block in content):
        return "\n".join(block.text for block in content if isinstance(block, SaidText))
    return [_content(block, "user") for block in content]


def _content(block: SaidText | SaidPart, role: str, contents: Mapping[str, bytes] | None = None) -> Item:
    """Return a part of a message."""
    if isinstance(block, SaidText):
        if role == "assistant":
            return {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
        return {"type": "input_text", "text": block.text}
    part = block.part
    data = b"" if contents is None or part.url else part.data or contents[part.blob_id]
    if part.type == "image":
        url = _data_url(part.media_type, data) if data else part.url or None
        return {"type": "input_image", "detail": "auto", "file_id": None, "image_url": url}
    if part.type == "audio" and data:
        format = "wav" if part.media_type == "audio/wav" else "mp3"
        return {"type": "input_audio", "input_audio": {"data": _base64(data), "format": format}}
    content = {"file_data": _data_url(part.media_type, data)} if data else {"file_url": part.url or None}
    return {"type": "input_file", "filename": part.name or None, **content}


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
