"""Reads the parts of messages from the blobs, for the peer that is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.parts import MOST_BYTES, Part
from rhetor.drivers.base import Attachment, PastMessage
from rhetor.errors import NotFound, TurnFailure

if TYPE_CHECKING:
    from rhetor.hub.state import State
    from rhetor.store.base import Spoken

ATTACHED = "attached"  # of the rows that name the parts of a turn's message; their ids are those of the turns
_parts = msgspec.json.Decoder(tuple[Part, ...]).decode


async def contents_of(state: State, parts: Sequence[Part]) -> tuple[Attachment, ...]:
    """Return the parts of a message with their contents.

    Raises:
        TurnFailure: the content of a part is no longer stored.
    """
    try:
        return tuple([Attachment(part, await state.blobs.read(part.blob_id)) for part in parts])
    except NotFound as error:
        raise TurnFailure(
            f"the content of a part is no longer stored: {error.detail}", hint="send the message again"
        ) from error


async def with_attachments(
    state: State, spoken: Sequence[Spoken], past: list[PastMessage], *, whole: bool
) -> list[PastMessage]:
    """Return earlier messages with their parts, which a model needs again with each message.

    The latest parts come first, up to `MOST_BYTES`; the others are only named, as are all parts unless
    `whole` is set: an agent is told in text what was said.
    """
    is_user = [message.role == "user" for message in past]
    turns = [one.turn_id if is_user[at] else "" for at, one in enumerate(spoken)]
    parts = [await attached_parts(state, turn_id) if turn_id else () for turn_id in turns]
    return await with_contents(state, past, parts, whole=whole)


async def attached_parts(state: State, turn_id: str) -> Sequence[Part]:
    """Return the parts of a turn's message."""
    row = await state.store.get(ATTACHED, turn_id)
    return _parts(row.doc) if row is not None else ()


async def with_contents(
    state: State, past: list[PastMessage], parts: Sequence[Sequence[Part]], *, whole: bool
) -> list[PastMessage]:
    """Do the same for messages with these `parts`, whose sizes may be unknown (0)."""
    left = MOST_BYTES if whole else 0
    for at in reversed(range(len(past))):
        found: list[Attachment] = []
        named: list[Part] = []
        for part in parts[at]:
            attachment = await _read(state, part) if part.bytes < left else None
            if attachment is None or len(attachment.content) > left:
                named.append(part)
            else:
                found.append(attachment)
                left -= len(attachment.content)
        content = "\n\n".join(filter(None, (past[at].content, *map(mention, named))))
        past[at] = replace(past[at], content=content, attachments=tuple(found))
    return past


async def _read(state: State, part: Part) -> Attachment | None:
    try:
        return Attachment(part, await state.blobs.read(part.blob_id))
    except NotFound:
        return None


def mention(part: Part) -> str:
    """Return what stands for a part that is not sent again."""
    return f"[This message had {part} with it.]"
