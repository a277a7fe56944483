"""The parts of a given conversation, with their contents: what a model takes of them, and how each API has
them.

Files of text are text for every model. A part that a model does not take is mentioned if it is in an earlier
message, and refused in a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from rhetor.domain.given import Block, GivenConversation, GivenMessage, SaidPart, SaidResult, SaidText
from rhetor.domain.parts import UNKNOWN, GivenPart, Part, Take, known_type, take_of, type_of
from rhetor.drivers.agents.parts import anthropic_part
from rhetor.drivers.base import Attachment
from rhetor.drivers.models.given.refusals import unsupported
from rhetor.drivers.models.inputs import hint_for
from rhetor.drivers.models.parts import openai_part
from rhetor.drivers.models.target import AgentTarget, Target

Contents = Mapping[str, bytes]
_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml")


def has_parts(given: GivenConversation) -> bool:
    """Return whether a conversation has anything besides text."""
    return any(True for message in given.messages for _ in parts_of(message))


def parts_of(message: GivenMessage) -> Iterator[GivenPart]:
    """Yield the parts of a message, also those in results."""
    for block in message.blocks:
        if isinstance(block, SaidPart):
            yield block.part
        elif isinstance(block, SaidResult):
            yield from (each.part for each in block.content if isinstance(each, SaidPart))


def attachment(part: GivenPart, contents: Contents) -> Attachment | None:
    """Return a part with its content; None if its content is not kept any more."""
    content = part.data or contents.get(part.blob_id)
    if not content:
        return None
    media_type = part.media_type or known_type(content) or UNKNOWN
    return Attachment(Part(type_of(media_type), media_type, part.blob_id, len(content), part.name), content)


def text_of(given: Attachment) -> str | None:
    """Return the content of a file of text; None if it is not one."""
    media_type = given.part.media_type
    if not (media_type.startswith("text/") or media_type in _TEXTS):
        return None
    try:
        return given.content.decode()
    except UnicodeDecodeError:
        return None


def fitted(
    given: GivenConversation, contents: Contents, takes: frozenset[Take] | None, target: Target | AgentTarget
) -> GivenConversation:
    """Return the conversation with the parts that a model takes. `takes`: None if it takes all.

    Raises:
        InputUnsupported: the model does not take a part of a new message, or it is not kept any more.
    """
    fit = _Fit(contents, takes, target)
    new = [fit.message(message, is_new=True) for message in given.new]
    earlier = [fit.message(message, is_new=False) for message in given.earlier]
    return replace(given, messages=(*earlier, *new))


class _Fit:
    def __init__(
        self, contents: Contents, takes: frozenset[Take] | None, target: Target | AgentTarget
    ) -> None:
        self._contents = contents
        self._takes = takes
        self._target = target

    def message(self, message: GivenMessage, *, is_new: bool) -> GivenMessage:
        blocks = tuple(
            self._block(block, is_new=is_new, speaks=message.role == "assistant") for block in message.blocks
        )
        return message if blocks == message.blocks else replace(message, blocks=blocks)

    def _block(self, block: Block, *, is_new: bool, speaks: bool) -> Block:
        if isinstance(block, SaidResult):
            found = tuple(self._content(each, is_new=is_new) for each in block.content)
            return replace(block, content=found)
        if isinstance(block, SaidPart):
            # no API takes the parts of an answer again
            return SaidText(_mention(block.part)) if speaks else self._content(block, is_new=is_new)
        return block

    def _content(self, each: SaidText | SaidPart, *, is_new: bool) -> SaidText | SaidPart:
        if isinstance(each, SaidText):
            return each
        found = attachment(each.part, self._contents)
        if found is not None and text_of(found) is not None:
            return each
        taken = take_of(found.part.media_type) if found is not None else None
        if taken is not None and (self._takes is None or taken in self._takes):
            return each
        if is_new:
            raise self._refusal(each.part, found)
        return SaidText(_mention(each.part), each.cache)

    def _refusal(self, part: GivenPart, found: Attachment | None) -> Exception:
        if found is None:
            why = f"cannot be given {part.name or part.type}, whose content is not kept any more"
            return unsupported(self._target, "messages", why, "send the message with its content again")
        failure = unsupported(self._target, found.part.media_type, f"does not take {found.part}")
        takes = sorted(self._takes or ())
        failure.data |= {"takes": takes, "hint": hint_for(self._target.ref), "param": "messages"}
        return failure


def _mention(part: GivenPart) -> str:
    return f"[This message had {part.name or part.type} with it.]"


def anthropic_block(part: GivenPart, contents: Contents) -> dict[str, Any]:
    """Return a part that the model takes, as a block of the Messages API."""
    found = attachment(part, contents)
    if found is None:
        return {"type": "text", "text": _mention(part)}
    if (text := text_of(found)) is None:
        return anthropic_part(found)
    if not text.strip():
        return {"type": "text", "text": f"[{part.name or part.type} is empty.]"}
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, **({"title": part.name} if part.name else {})}


def openai_block(part: GivenPart, contents: Contents) -> dict[str, Any]:
    """Return a part that the model takes, as a content part of chat completions."""
    found = attachment(part, contents)
    if found is None:
        return {"type": "text", "text": _mention(part)}
    if (text := text_of(found)) is None:
        return openai_part(found)
    return {"type": "text", "text": f"[{part.name}]\n{text}" if part.name else text}


def attachments(parts: Sequence[GivenPart], contents: Contents) -> tuple[Attachment, ...]:
    """Return the parts whose contents are known."""
    return tuple(found for part in parts if (found := attachment(part, contents)) is not None)
