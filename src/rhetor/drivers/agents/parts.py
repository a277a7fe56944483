"""The parts of messages as agents take them, byte for byte in base64."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any

from rhetor.domain.parts import PDF, Take, not_taken, take_of
from rhetor.drivers.base import Attachment
from rhetor.errors import InputUnsupported

from .inputs import AGENT_HINT

REMOVED = "(stored beside the log)"


def base64(attachment: Attachment) -> str:
    return b64encode(attachment.content).decode()


def data_url(attachment: Attachment) -> str:
    return f"data:{attachment.part.media_type};base64,{base64(attachment)}"


def texts(content: str) -> list[dict[str, Any]]:
    """Return the block of a message's text; none if it is empty."""
    return [{"type": "text", "text": content}] if content else []


def anthropic_part(attachment: Attachment) -> dict[str, Any]:
    """Return a part as a block of Anthropic's Messages API, which Claude Code takes too."""
    media_type = attachment.part.media_type
    source = {"type": "base64", "media_type": media_type, "data": base64(attachment)}
    if media_type == PDF:
        name = attachment.part.name
        return {"type": "document", "source": source, **({"title": name} if name else {})}
    return {"type": "image", "source": source}


def without_contents(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message of the Messages API without the contents of its parts: a message that an agent
    repeats is not to be in the log once more."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_without_content(block) for block in content]}


def _without_content(block: Any) -> Any:
    source = block.get("source") if isinstance(block, dict) else None
    if not (isinstance(source, dict) and "data" in source):
        return block
    return {**block, "source": {**source, "data": REMOVED}}


def acp_part(attachment: Attachment) -> dict[str, Any]:
    """Return a part as a block of the Agent Client Protocol."""
    media_type = attachment.part.media_type
    return {"type": take_of(media_type), "mimeType": media_type, "data": base64(attachment)}


def require_taken(attachments: Iterable[Attachment], takes: frozenset[Take], agent: str) -> None:
    """Check that an agent takes the parts of a message.

    Raises:
        InputUnsupported: it does not.
    """
    if (part := not_taken((each.part for each in attachments), takes)) is not None:
        raise InputUnsupported(
            f"{agent} does not take {part}",
            unsupported=part.media_type,
            takes=sorted(takes),
            hint=AGENT_HINT,
        )


Attachments = Sequence[Attachment]
