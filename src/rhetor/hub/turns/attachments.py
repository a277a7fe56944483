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
    left = MOST_BYTES if whole else 0
    for at in reversed(range(len(past))):
        if past[at].role != "user" or not (row := await state.store.get(ATTACHED, spoken[at].turn_id)):
            continue
        found: list[Attachment] = []
        named: list[Part] = []
        for part in _parts(row.doc):
            attachment = await _read(state, part) if part.bytes <= left else None
            if attachment is None:
                named.append(part)
            else:
                found.append(attachment)
                left -= part.bytes
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
