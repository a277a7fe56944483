"""The input items of the Responses API as a conversation."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rhetor.domain.given import (
    CacheTime,
    GivenMessage,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
    Vendor,
)
from rhetor.domain.parts import GivenPart

from . import openai_responses_body as b
from .asked import NO_FILES, UNSUPPORTED, base64_of, item, part_of
from .openai_responses_tools import custom_arguments, model_name
from .vendor_errors import refused

_SEALED = "rhetor1."  # begins the encrypted content of reasoning that came from this hub
# what items of earlier responses said, by their ids, and what compactions say, by their encrypted contents
Referenced = Mapping[str, GivenMessage]


class Sealed(Struct, frozen=True):
    """The reasoning of a model, as its vendor's API needs it again."""

    vendor: Vendor
    data: dict[str, Any]


class Said(Struct, frozen=True):
    """The input of a request. `system`: the texts of system and developer messages, wherever they are."""

    messages: tuple[GivenMessage, ...]
    system: tuple[SaidText, ...] = ()


def decoded(raws: Sequence[Raw]) -> list[b.Item]:
    """Decode the items of an input.

    Raises:
        Unprocessable: an item is invalid, or of a type that is not supported.
        TooManyValues: an item has too many values.
    """
    return [_item(raw, f"input[{n}]") for n, raw in enumerate(raws)]


def references(items: Sequence[b.Item]) -> list[str]:
    """Return the ids of the items of earlier responses that the input refers to."""
    return [each.id for each in items if isinstance(each, b.ItemReference)]


def compactions(items: Sequence[b.Item]) -> list[str]:
    """Return the encrypted contents of the compactions in the input."""
    return [each.encrypted_content for each in items if isinstance(each, b.CompactionItem)]


def said(items: Sequence[b.Item], referenced: Referenced) -> Said:
    """Return what the items say. What the assistant says in several items without an answer in between is
    one message, because the providers want its reasoning, text and calls together.

    Raises:
        Unprocessable: a part is invalid, or there is no item for a reference.
    """
    messages: list[GivenMessage] = []
    system: list[SaidText] = []
    for n, each in enumerate(items):
        where = f"input[{n}]"
        if isinstance(each, b.MessageItem) and is_instruction(each):
            system += _texts(each, where)
        elif (message := _message(each, where, referenced)).blocks:
            messages.append(message)
    return Said(tuple(_joined(messages)), tuple(system))


def is_instruction(each: b.Item) -> bool:
    """Whether an item is a system or developer message, which is sent to the model first."""
    return isinstance(each, b.MessageItem) and each.role in ("system", "developer")


def sealed(vendor: Vendor, data: dict[str, Any]) -> str:
    """Return the reasoning of a model as text that a client sends back."""
    content = msgspec.json.encode(Sealed(vendor, data))
    return _SEALED + base64.urlsafe_b64encode(content).decode()


def _item(raw: Raw, where: str) -> b.Item:
    kind = item(raw, b.Kind, where)
    name = kind.type or ("message" if kind.role else "item_reference")
    if (type := b.ITEMS.get(name)) is None:
        raise refused(f"{where}.type", f"items of the type {name!r} are not supported", UNSUPPORTED)
    found: b.Item = item(raw, type, where)
    return found


def _message(each: b.Item, where: str, referenced: Referenced) -> GivenMessage:
    match each:
        case b.MessageItem(role="user"):
            return GivenMessage("user", tuple(_blocks(each.content, f"{where}.content")))
        case b.MessageItem():
            return GivenMessage("assistant", tuple(_blocks(each.content, f"{where}.content")))
        case b.FunctionCallItem():
            call = SaidCall(each.call_id, model_name(each.name, each.namespace), each.arguments)
            return GivenMessage("assistant", (call,))
        case b.CustomCallItem():
            name = model_name(each.name, each.namespace)
            return GivenMessage("assistant", (SaidCall(each.call_id, name, custom_arguments(each.input)),))
        case b.CallOutputItem():
            result = SaidResult(each.call_id, tuple(_blocks(each.output, f"{where}.output")))
            return GivenMessage("user", (result,))
        case b.ReasoningItem():
            return GivenMessage("assistant", (_thought(each, where),))
        case b.ItemReference(id=id):
            if id not in referenced:
                raise refused(where, f"Item with id {id!r} not found.", "item_not_found")
            return referenced[id]
        case b.CompactionItem(encrypted_content=content):
            return referenced[content]


def _joined(messages: Sequence[GivenMessage]) -> Iterator[GivenMessage]:
    """Yield the messages: those of the assistant that follow each other as one, and the results of tools that
    follow each other too, because they answer the calls of one message."""
    held: GivenMessage | None = None
    for message in messages:
        if held is not None and _belongs(message, held):
            held = GivenMessage(held.role, held.blocks + message.blocks)
            continue
        if held is not None:
            yield held
        held = message
    if held is not None:
        yield held


def _belongs(message: GivenMessage, before: GivenMessage) -> bool:
    if message.role != before.role:
        return False
    both = (message, before)
    return message.role == "assistant" or all(isinstance(m.blocks[0], SaidResult) for m in both)


def _texts(message: b.MessageItem, where: str) -> Iterator[SaidText]:
    for n, block in enumerate(_blocks(message.content, f"{where}.content")):
        if not isinstance(block, SaidText):
            raise refused(f"{where}.content[{n}]", f"a message of the role {message.role} has only text")
        yield block


def _blocks(content: str | Sequence[b.Content], where: str) -> Iterator[SaidText | SaidPart]:
    if isinstance(content, str):
        yield SaidText(content)
        return
    for n, part in enumerate(content):
        match part:
            case b.InputText(text, mark):
                yield SaidText(text, _cache(mark))
            case b.OutputText(text) | b.Refusal(text):
                yield SaidText(text)
            case _:
                yield SaidPart(_part(part, f"{where}[{n}]"))


def _cache(mark: b.CacheBreakpoint | None) -> CacheTime:
    if mark is None:
        return ""
    return "1h" if mark.ttl == "12h" else "5m"


def _part(part: b.InputImage | b.InputFile | b.InputAudio, where: str) -> GivenPart:
    match part:
        case b.InputAudio(audio):
            media_type = "audio/wav" if audio.format == "wav" else "audio/mpeg"
            return GivenPart("audio", media_type, data=base64_of(audio.data, f"{where}.input_audio.data"))
        case b.InputImage(str(url), None):
            return part_of(url, f"{where}.image_url", "image")
        case b.InputFile(str(data), None, None, name):
            if data.startswith("data:"):
                return part_of(data, f"{where}.file_data", name=name or "")
            return GivenPart("file", name=name or "", data=base64_of(data, f"{where}.file_data"))
        case b.InputFile(None, str(url), None, name):
            return part_of(url, f"{where}.file_url", name=name or "")
    if part.file_id is not None:
        raise refused(f"{where}.file_id", NO_FILES, UNSUPPORTED)
    members = "image_url" if isinstance(part, b.InputImage) else "either file_data or file_url"
    raise refused(where, f"must have {members}")


def _thought(given: b.ReasoningItem, where: str) -> SaidReasoning:
    text = "\n\n".join(each.text for each in given.summary or given.content or ())
    content = given.encrypted_content
    if content is not None and content.startswith(_SEALED):
        kept = _unsealed(content, f"{where}.encrypted_content")
        return SaidReasoning(text, kept.vendor, kept.data)
    data: dict[str, Any] = msgspec.to_builtins(given)
    found = {name: value for name, value in data.items() if value is not None}
    return SaidReasoning(text, "openai", {"type": "reasoning", **found} if content is not None else {})


def _unsealed(content: str, where: str) -> Sealed:
    try:
        found = base64.urlsafe_b64decode(content.removeprefix(_SEALED))
        return msgspec.json.decode(found, type=Sealed)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise refused(where, "was changed; send it back unchanged") from error
