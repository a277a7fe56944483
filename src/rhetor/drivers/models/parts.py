"""The parts of messages as the APIs of providers take them, byte for byte in base64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from rhetor.domain.parts import PDF, Take, not_taken, take_of
from rhetor.drivers.agents.parts import anthropic_part, base64, data_url, texts
from rhetor.drivers.base import Attachment, PastMessage, Prompt
from rhetor.errors import JSON_ANSWER, InputUnsupported

NAMELESS = "document.pdf"
_SOUNDS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def openai_content(text: str, attachments: Sequence[Attachment]) -> Any:
    """Return the content of a user's message for chat completions."""
    if not attachments:
        return text
    return [*texts(text), *map(openai_part, attachments)]


def anthropic_content(text: str, attachments: Sequence[Attachment]) -> Any:
    """Return the content of a user's message for the Messages API."""
    if not attachments:
        return text
    return [*map(anthropic_part, attachments), *texts(text)]


def openai_part(attachment: Attachment) -> dict[str, Any]:
    """Return a part as a content part of chat completions."""
    part = attachment.part
    if part.media_type == PDF:
        file = {"filename": part.name or NAMELESS, "file_data": data_url(attachment)}
        return {"type": "file", "file": file}
    if sound := _SOUNDS.get(part.media_type):
        return {"type": "input_audio", "input_audio": {"data": base64(attachment), "format": sound}}
    return {"type": "image_url", "image_url": {"url": data_url(attachment)}}


def readable(history: Sequence[PastMessage], takes: frozenset[Take]) -> Sequence[PastMessage]:
    """Return earlier messages for a model, with a mention of each part that the model does not take."""
    return [_readable(past, takes) if past.attachments else past for past in history]


def _readable(past: PastMessage, takes: frozenset[Take]) -> PastMessage:
    left = tuple(each for each in past.attachments if take_of(each.part.media_type) in takes)
    gone = [each.part for each in past.attachments if each not in left]
    mentions = (f"[This message had {part} with it.]" for part in gone)
    return replace(past, content="\n\n".join(filter(None, (past.content, *mentions))), attachments=left)


def require_taken(prompt: Prompt, takes: frozenset[Take], ref: str, hint: str) -> None:
    """Check that a model takes the parts of a message, and gives JSON answers if it is asked for one.

    Raises:
        InputUnsupported: it does not.
    """
    about: dict[str, Any] = {"model": ref, "provider": ref.partition("/")[0], "status": None}
    parts = [attachment.part for attachment in prompt.attachments]
    if (part := not_taken(parts, takes)) is not None:
        raise InputUnsupported(
            f"{ref} does not take {part}",
            unsupported=part.media_type,
            takes=sorted(takes),
            hint=hint,
            **about,
        )
    if prompt.schema is not None:
        require_json(takes, ref, hint)


def require_json(takes: frozenset[Take], ref: str, hint: str) -> None:
    """Check that a model gives JSON answers by a schema.

    Raises:
        InputUnsupported: it does not.
    """
    if "json" not in takes:
        raise InputUnsupported(
            f"{ref} gives no JSON answers by a schema",
            unsupported=JSON_ANSWER,
            takes=sorted(takes),
            hint=hint,
            model=ref,
            provider=ref.partition("/")[0],
            status=None,
        )
