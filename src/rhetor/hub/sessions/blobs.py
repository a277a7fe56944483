"""Binary content, stored beside the log and read by its owner: how it is sent to a shared socket, who may
read it, and when it is removed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import KeepBlob
from rhetor.domain.event import BlobKept
from rhetor.domain.principal import Principal
from rhetor.domain.session import TAKES_MESSAGES
from rhetor.domain.socket import MOST_BYTES, is_shared
from rhetor.errors import BlobsFull, NotFound, SessionOver, StateConflict, TextOnly, TooLarge
from rhetor.store.base import Draft, Expect, Key, Row

from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "blob"
KEPT = "kept"  # the state of the rows of blobs that belong to a session or a plan
LOCK = "blobs"  # held while content is stored and its row is committed, and while content is removed
IN_SESSION = "session-blob"  # of the rows that say in which session a blob is, for those it is shared with


class Blob(msgspec.Struct, frozen=True):
    media_type: str
    content: bytes
    name: str = ""


class Described(msgspec.Struct, frozen=True):
    """The document of a blob's row."""

    media_type: str
    bytes: int
    name: str = ""


async def keep(state: State, principal: Principal, command: KeepBlob) -> str:
    """Store binary content and return its id. The content and the event that announces it are then durable.

    Raises:
        NotFound: the caller has no such session.
        TextOnly: the session's peer accepts text only.
        TooLarge: the content is larger than `MOST_BYTES`.
        BlobsFull: the caller has stored as much as it may.
        SessionOver: the session was stopped or has expired.
        KeyReused: the command id was used with another command.
        StoreRefused: the store cannot write the content or the event; the command may be sent again.
    """
    state.require_open()
    session = await owned_session(state, principal, command.session_id)
    if not is_shared(session.peer):
        raise TextOnly(session.peer)
    if len(command.content) > MOST_BYTES:
        raise TooLarge("binary content", MOST_BYTES)
    return await state.background.complete(_keep(state, principal, command), "blob")


async def _keep(state: State, principal: Principal, command: KeepBlob) -> str:
    async with state.exclusively(LOCK):
        await require_room(state, principal.subject, len(command.content))
        return await _keep_alone(state, principal, command)


async def _keep_alone(state: State, principal: Principal, command: KeepBlob) -> str:
    session_id = command.session_id
    blob_id = await state.blobs.keep(command.content)
    size = len(command.content)
    sender = command.from_ or principal.subject
    announcement = Draft(BlobKept(blob_id, command.media_type, size, sender))
    row = row_of(state, principal.subject, blob_id, Described(command.media_type, size), KEPT)
    key = _key(principal, command, blob_id)
    expect = Expect("session", session_id, frozenset(TAKES_MESSAGES))
    rows = [row, place_of(row, session_id)]
    try:
        await state.store.commit(session_id, [announcement], key=key, expects=[expect], rows=rows)
    except StateConflict as conflict:
        raise SessionOver(session_id, str(conflict.data["state"])) from None
    return blob_id


def row_of(state: State, owner: str, blob_id: str, about: Described, row_state: str) -> Row:
    """Return the row of a blob that an owner has."""
    doc = msgspec.json.encode(about)
    return Row(KIND, f"{owner}/{blob_id}", row_state, doc, owner=owner, parent=blob_id, at=state.ids.now())


def place_of(row: Row, stream: str) -> Row:
    """Return the row that says that a blob is in a session or a plan."""
    return replace(row, kind=IN_SESSION, id=f"{stream}/{row.parent}", state=KEPT, parent=stream)


async def require_room(state: State, owner: str, more: int) -> None:
    """Check that an owner may store `more` bytes of binary content.

    Raises:
        BlobsFull: the owner may not.
    """
    limit = state.limits.blob_bytes
    if limit is None:
        return
    stored = await state.store.documents(KIND, owner=owner)
    if more + sum(_described(doc).bytes for _, doc in stored) > limit:
        raise BlobsFull(owner, limit)


async def owned_blob(state: State, principal: Principal, blob_id: str) -> Blob:
    """Return a blob of the caller, or of a session of the caller or one that is shared with the caller, with
    its content.

    Raises:
        NotFound: the caller has no such blob, or its content is no longer stored.
    """
    row = await state.store.get(KIND, f"{principal.subject}/{blob_id}")
    for share in state.shares.with_subject(principal.subject):
        row = row or await state.store.get(IN_SESSION, f"{share.session_id}/{blob_id}")
    row = row or await _sent_to(state, principal.subject, blob_id)
    if row is None:
        raise NotFound(KIND, blob_id)
    about = _described(row.doc)
    return Blob(about.media_type, await state.blobs.read(blob_id), about.name)


async def _sent_to(state: State, owner: str, blob_id: str) -> Row | None:
    """Return the row that says that another caller has sent a blob to a session of the owner."""
    for sent in await state.store.find(KIND, parent=blob_id):
        for id, _ in await state.store.documents(IN_SESSION, owner=sent.owner):
            if _blob_of(id) == blob_id:
                session = await state.store.get("session", id.rpartition("/")[0])
                if session is not None and session.owner == owner:
                    return await state.store.get(IN_SESSION, id)
    return None


_described = msgspec.json.Decoder(Described).decode


async def described(state: State, owner: str, blob_id: str) -> Described:
    """Return what is known of an owner's blob.

    Raises:
        NotFound: the owner has no such blob.
    """
    row = await state.store.get(KIND, f"{owner}/{blob_id}")
    if row is None:
        raise NotFound(KIND, blob_id)
    return _described(row.doc)


async def discard(state: State, blob_id: str) -> None:
    """Remove the content of a blob that nobody has any more. The caller holds `LOCK`."""
    if not await state.store.find(KIND, parent=blob_id, limit=1):
        await state.blobs.remove(blob_id)


async def only_here(state: State, places: Sequence[Row]) -> list[Row]:
    """Return those of the rows that say which blobs are in a session whose blobs are in no other session."""
    found = []
    for owner in {place.owner for place in places}:
        own = {_blob_of(place.id): place for place in places if place.owner == owner}
        here = {place.id for place in own.values()}
        rows = await state.store.documents(IN_SESSION, owner=owner)
        elsewhere = {_blob_of(id) for id, _ in rows if id not in here}
        found += [place for blob_id, place in own.items() if blob_id not in elsewhere]
    return found


def _blob_of(row_id: str) -> str:
    return row_id.rpartition("/")[2]


async def sweep(state: State) -> int:
    """Delete the blobs that no event announces, and return how many. Call it before any blob is stored."""

    wanted = {_blob_of(id) for id, _ in await state.store.documents(KIND)}

    async def is_wanted(blob_id: str) -> bool:
        return blob_id in wanted

    return await state.blobs.sweep(is_wanted)


def _key(principal: Principal, command: KeepBlob, blob_id: str) -> Key | None:
    """Return the idempotency key, if the command has an id. It is cheap to compute, because its fingerprint
    covers the content's id instead of the content."""
    if command.command_id is None:
        return None
    body = msgspec.json.encode([blob_id, replace(command, content=b"", command_id=None)])
    digest = hashlib.sha256(body).hexdigest()
    return Key(principal.subject, command.command_id, digest, msgspec.json.encode(blob_id))
