"""Given conversations as catalog rows: one for each turn, with what its message adds to the one before.

So what is stored grows with the conversation, although clients give all of it with each message. System texts
and lists of tools are blobs, which are stored once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from rhetor.domain.given import (
    CacheTime,
    CallOptions,
    GivenConversation,
    GivenMessage,
    GivenTool,
    SaidReasoning,
    SaidText,
)
from rhetor.domain.given_hash import unmarked
from rhetor.errors import NotFound, StateConflict
from rhetor.store.base import Blobs, Catalog, Row, Store

from .programs import HUB_STREAM

KIND = "given"  # of the rows with what a turn's message adds; their ids are those of the turns
CONTINUATION = "continuation"  # of the rows that say how a conversation begins which a session continues
STORED, OPEN = "stored", "open"  # the states of the rows of the two kinds
KEY = "given-key", "hub"  # the kind and id of the row with the key for the ids of conversations
MANY = 50  # turns, whose messages are joined in a thread
Mark = tuple[int, int, CacheTime]  # of a block that is marked for the cache: its message, its place in it
System = tuple[tuple[str, CacheTime], ...]  # the system texts, by the ids of their blobs


class Given(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a turn's message adds to the first `kept` messages of the conversation of the turn `after`, which
    is empty if it begins one.

    `caller`, `target`: who gave it, and the peer, the capability or the line that it is addressed to.
    `before`, `hashed`: the hashes of the messages before the new ones, and of all messages. `changed`:
    earlier messages that the client gave in another way, by their places. `logged`: the model gets the
    session's log instead of the messages before the new ones. `system`, `tools`: the ids of blobs.
    """

    caller: str
    target: str
    before: str
    hashed: str
    messages: tuple[GivenMessage, ...]
    after: str = ""
    kept: int = 0
    changed: dict[int, GivenMessage] = {}
    marks: tuple[Mark, ...] = ()
    system: System = ()
    tools: str = ""
    options: CallOptions = CallOptions()
    logged: bool = False


class Continuation(msgspec.Struct, frozen=True):
    """The session's conversation with a client after the turn `turn`, its last one. `epoch`: of the session's
    log then. `exact`: the short hashes of the messages that the turn's conversation has of it. `urls`: the
    blobs of the parts that the client gives as URLs."""

    turn: str
    epoch: str
    exact: tuple[str, ...]
    urls: dict[str, str] = {}


class GivenTurn(msgspec.Struct, frozen=True):
    """A turn's conversation while the turn runs. `exact`: the short hashes of its messages. `urls`: as in
    `Continuation`."""

    given: Given
    conversation: GivenConversation
    exact: tuple[str, ...]
    urls: dict[str, str] = {}


_given = msgspec.json.Decoder(Given).decode
_continuation = msgspec.json.Decoder(Continuation).decode
_tools = msgspec.json.Decoder(tuple[GivenTool, ...]).decode


async def load_key(store: Store) -> bytes:
    """Return the key of this hub for the ids of conversations; make one if there is none. Ids are stored as
    they are, also if content is encrypted."""
    while (row := await store.get(*KEY)) is None:
        made = Row(*KEY, STORED, msgspec.json.encode(secrets.token_hex(32)))
        with suppress(StateConflict):  # it was made at the same time
            await store.commit(HUB_STREAM, [], rows=[made], expects=[made.unchanged])
    return bytes.fromhex(msgspec.json.decode(row.doc))


def given_row(doc: bytes, turn_id: str, session_id: str, owner: str, at: int) -> Row:
    """Return the row of a turn's `Given`, which `doc` is as JSON."""
    return Row(KIND, turn_id, STORED, doc, owner=owner, parent=session_id, at=at)


def given_of(row: Row) -> Given:
    return _given(row.doc)


def continuation_row(id: str, session_id: str, owner: str, found: Continuation, at: int) -> Row:
    doc = msgspec.json.encode(found)
    return Row(CONTINUATION, id, OPEN, doc, owner=owner, parent=session_id, at=at)


def continuation_of(row: Row) -> Continuation:
    return _continuation(row.doc)


def without_marks(messages: Sequence[GivenMessage]) -> tuple[tuple[GivenMessage, ...], tuple[Mark, ...]]:
    """Return the messages without their marks for the cache, and the marks."""
    marks: list[Mark] = []
    for place, message in enumerate(messages):
        for at, block in enumerate(message.blocks):
            if not isinstance(block, SaidReasoning) and block.cache:
                marks.append((place, at, block.cache))
    return tuple(map(unmarked, messages)), tuple(marks)


def with_marks(messages: Sequence[GivenMessage], marks: Sequence[Mark]) -> tuple[GivenMessage, ...]:
    """Do the opposite of `without_marks`."""
    marked = list(messages)
    for place, at, cache in marks:
        blocks = list(marked[place].blocks)
        block = blocks[at]
        if not isinstance(block, SaidReasoning):
            blocks[at] = replace(block, cache=cache)
        marked[place] = replace(marked[place], blocks=tuple(blocks))
    return tuple(marked)


def changes(
    messages: Sequence[GivenMessage], exact: Sequence[str], stored: Sequence[str]
) -> dict[int, GivenMessage] | None:
    """Return those of the messages that differ from the stored ones in their places; None if most do, so that
    all are to be stored. `exact`, `stored`: the short hashes of both."""
    if len(exact) < len(stored):
        return None
    changed = {at: messages[at] for at, known in enumerate(stored) if exact[at] != known}
    return changed if 2 * len(changed) <= len(stored) else None


async def stored_given(catalog: Catalog, turn_id: str) -> Given | None:
    """Return what is stored of a turn's conversation; None if no client gave one."""
    row = await catalog.get(KIND, turn_id)
    return given_of(row) if row else None


async def messages_of(catalog: Catalog, given: Given) -> tuple[GivenMessage, ...]:
    """Return all messages of a conversation that began with a message of a client.

    Raises:
        NotFound: a part of it is no longer stored.
    """
    parts = [given]
    while after := parts[-1].after:
        if (before := await stored_given(catalog, after)) is None:
            raise NotFound(KIND, after)
        parts.append(before)
    return await asyncio.to_thread(_joined, parts) if len(parts) > MANY else _joined(parts)


def _joined(parts: Sequence[Given]) -> tuple[GivenMessage, ...]:
    messages: list[GivenMessage] = []
    for part in reversed(parts):
        del messages[part.kept :]
        for at, changed in part.changed.items():
            messages[at] = changed
        messages += part.messages
    return with_marks(messages, parts[0].marks)


async def about(blobs: Blobs, given: Given) -> tuple[tuple[SaidText, ...], tuple[GivenTool, ...]]:
    """Return the system texts and the tools.

    Raises:
        NotFound: one is no longer stored.
    """
    system = [SaidText((await blobs.read(id)).decode(), cache) for id, cache in given.system]
    return tuple(system), _tools(await blobs.read(given.tools)) if given.tools else ()
