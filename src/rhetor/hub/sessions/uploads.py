"""Binary content for the parts of messages: uploaded first, or given with the message itself or by a URL.

An upload that no message refers to is removed after `UNUSED_SECONDS`. Once a message refers to it, it is kept
as long as the message's session or plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from rhetor.domain.command import UploadBlob
from rhetor.domain.parts import (
    MOST_BYTES,
    MOST_PARTS,
    GivenPart,
    Part,
    media_type_of,
    not_taken,
    take_of,
    type_of,
)
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.errors import (
    JSON_ANSWER,
    BlobsFull,
    Malformed,
    StateConflict,
    TooLarge,
    Unprocessable,
    Unsupported,
)
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.turns.attachments import ATTACHED
from rhetor.store.base import Expect, Row

from . import blobs

if TYPE_CHECKING:
    from rhetor.hub.state import State

UPLOADED = "uploaded"  # the state of the rows of blobs that no message refers to
UNUSED_SECONDS = 3600.0
COLLECTED = 100  # uploads that are looked at in one sweep
Parts = tuple[Part, ...]


class Uploaded(msgspec.Struct, frozen=True):
    blob_id: str
    media_type: str
    bytes: int


async def upload(state: State, principal: Principal, command: UploadBlob) -> Uploaded:
    """Store binary content. When this returns, it is durable, and messages of the caller can refer to it.

    Raises:
        Malformed: there is no content.
        TooLarge: it has more than `MOST_BYTES`.
        Unprocessable: it is not what its media type says.
        BlobsFull: the caller has stored as much as it may.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    if not command.content:
        raise Malformed("the binary content is empty")
    if len(command.content) > MOST_BYTES:
        raise TooLarge("the binary content", MOST_BYTES)
    media_type = media_type_of(command.media_type, command.content)
    if media_type is None:
        name = command.name or "the content"
        raise Unprocessable(f"{name} is not {command.media_type}: its first bytes show another type")
    about = blobs.Described(media_type, len(command.content), command.name)
    return await state.background.complete(
        _upload(state, principal.subject, command.content, about), "upload"
    )


async def _upload(state: State, owner: str, content: bytes, about: blobs.Described) -> Uploaded:
    async with state.exclusively(blobs.LOCK):
        blob_id, doc = await state.blobs.keep(content), msgspec.json.encode(about)
        id, uploaded = f"{owner}/{blob_id}", Uploaded(blob_id, about.media_type, about.bytes)
        known = await state.store.get(blobs.KIND, id)
        if known is not None and known.state == blobs.KEPT and known.doc == doc:
            return uploaded  # some clients send the same parts again with each message
        try:
            await blobs.require_room(state, owner, len(content))
        except BlobsFull:
            await blobs.discard(state, blob_id)
            raise

        async def note() -> None:
            known = await state.store.get(blobs.KIND, id)
            row = blobs.row_of(state, owner, blob_id, about, known.state if known else UPLOADED)
            await state.store.commit(HUB_STREAM, [], rows=[row], expects=[(known or row).unchanged])

        await until_unchanged(note)  # a message may come to refer to it at the same time
    return uploaded


async def keep_text(state: State, owner: str, content: bytes, media_type: str) -> Part:
    """Store a text that belongs to a message, such as a list of tools.

    Raises:
        TooLarge, BlobsFull, StoreRefused: as `upload`.
    """
    if len(content) > MOST_BYTES:
        raise TooLarge("the text", MOST_BYTES)
    kept = await _upload(state, owner, content, blobs.Described(media_type, len(content)))
    return Part("file", media_type, kept.blob_id, kept.bytes)


async def parts_of(state: State, principal: Principal, given: Sequence[GivenPart] | UnsetType) -> Parts:
    """Return the parts of a message of the caller. Content that came with the message is stored first, and
    URLs are read.

    Raises:
        NotFound: the caller has no such blob.
        TooLarge: they have more than `MOST_BYTES` together.
        Unprocessable: there are too many, a media type is wrong, or a URL cannot be read.
        BlobsFull, StoreRefused, ShuttingDown: as `upload`.
    """
    if not given:
        return ()
    if len(given) > MOST_PARTS:
        raise Unprocessable(f"a message can have at most {MOST_PARTS} parts, not {len(given)}")
    parts = tuple([await part_of(state, principal, each) for each in given])
    if sum(part.bytes for part in parts) > MOST_BYTES:
        raise TooLarge("all parts of the message together", MOST_BYTES)
    return parts


async def part_of(state: State, principal: Principal, given: GivenPart) -> Part:
    """Return one part of a message of the caller, as `parts_of` does."""
    name, blob_id, media_type = given.name, given.blob_id, given.media_type
    if not blob_id:
        content = given.data
        if given.url:
            is_person_here = principal.local and not principal.is_agent
            found = await state.download(given.url, loopback=is_person_here)
            content, name = found.content, name or found.name
            media_type = media_type or _useful(found.media_type)
        kept = await upload(state, principal, UploadBlob(media_type, content, name))
        about = blobs.Described(kept.media_type, kept.bytes, name)
        blob_id = kept.blob_id
    else:
        about = await blobs.described(state, principal.subject, blob_id)
    if given.type != "file" and given.type != type_of(about.media_type):
        raise Unprocessable(f"the part {name or blob_id} is {about.media_type}, not of the type {given.type}")
    return Part(type_of(about.media_type), about.media_type, blob_id, about.bytes, name or about.name)


def _useful(media_type: str) -> str:
    """Return the media type that a server names, unless it only says that there are bytes or text."""
    return "" if media_type.startswith(("text/", "application/octet-stream", "binary/")) else media_type


async def require_taken(
    state: State, peer: Peer, parts: Parts, schema: Mapping[str, Any] | UnsetType
) -> None:
    """Check that a peer takes the parts of a message, and gives JSON answers if `schema` is set.

    Raises:
        Unsupported: it does not.
        TooLarge: the parts are too large for it.
        Unprocessable: an answer cannot be compared with the schema.
        UnknownModel, ProviderFailed: the peer's model is unknown, or cannot be called.
    """
    if schema is not UNSET:
        await state.inputs.check_schema(schema)
    members = [peer]
    if peer.kind is PeerKind.TEAM:
        members = [state.peers.get(name) for name in state.peers.team(peer.name.removeprefix("team:"))]
    for member in members:
        await _require_taken(state, member, parts, schema)


async def _require_taken(
    state: State, peer: Peer, parts: Parts, schema: Mapping[str, Any] | UnsetType
) -> None:
    inputs = await state.inputs.of(peer)
    takes = inputs.takes
    if takes is not None:
        shown = sorted(takes)
        if (part := not_taken(parts, takes)) is not None:
            hint = inputs.hint if take_of(part.media_type) else _ABOUT_TYPES
            raise Unsupported(peer.name, inputs.by, part.media_type, f"does not take {part}", shown, hint)
        if schema is not UNSET and "json" not in takes:
            raise Unsupported(
                peer.name, inputs.by, JSON_ANSWER, "gives no JSON answers by a schema", shown, inputs.hint
            )
    if sum(part.bytes for part in parts) > inputs.most_bytes:
        raise TooLarge(f"the parts for {peer.name}", inputs.most_bytes)


_ABOUT_TYPES = "models take PNG, JPEG, GIF and WebP images, PDF, WAV and MP3; send text files with -f"


def rows_for(state: State, owner: str, stream: str, parts: Parts) -> tuple[list[Row], list[Expect]]:
    """Return what to commit with the messages of a session or a plan, so that their blobs are kept."""
    if not parts:
        return [], []
    about = {part.blob_id: blobs.Described(part.media_type, part.bytes, part.name) for part in parts}
    rows = [blobs.row_of(state, owner, id, each, blobs.KEPT) for id, each in about.items()]
    states = frozenset({UPLOADED, blobs.KEPT})
    expects = [Expect(blobs.KIND, row.id, states) for row in rows]
    return [*rows, *(blobs.place_of(row, stream) for row in rows)], expects


def attached_row(state: State, session_id: str, turn_id: str, owner: str, parts: Parts) -> Row:
    """Return the row that names the parts of a turn's message."""
    doc = msgspec.json.encode(parts)
    return Row(ATTACHED, turn_id, blobs.KEPT, doc, owner=owner, parent=session_id, at=state.ids.now())


async def collect(state: State) -> None:
    """Remove uploads that no message refers to, if they are older than `UNUSED_SECONDS`."""
    before = state.ids.now() - int(UNUSED_SECONDS * 1000)
    for row in await state.store.find(blobs.KIND, state=UPLOADED, limit=COLLECTED):
        if row.at >= before:
            return
        async with state.exclusively(blobs.LOCK):
            try:
                await state.store.commit(HUB_STREAM, [], expects=[row.unchanged], drop=[(blobs.KIND, row.id)])
            except StateConflict:  # a message has come to refer to it
                continue
            await blobs.discard(state, row.parent)
