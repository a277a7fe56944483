"""Entries of the audit: who did what from where, and how it ended.

The entries are numbered from 1, and each is chained to the one before it: its `chain` is a MAC over the
chain of that entry, its number, its time and its content. Each node of a shared database has a chain of its
own.
"""

from __future__ import annotations

import hmac
from typing import ClassVar, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

STREAM = "audit"  # only the audit writes to it, and the routes of sessions cannot read it
COUNT = "audit_count"  # the kind of the rows with the count of each stream, whose ids are its name
BEGUN, DONE, CANCELLED = "begun", "done", "cancelled"
UNKNOWN, PENDING = "unknown", "pending"  # what is shown of an action whose end has no entry
STARTED = "hub.start"  # an action that an earlier hub began and did not end has an unknown outcome
PERMISSION_ANSWER = "permission.answer"
GAP = "audit.gap"  # what the hub found when it continued: entries are missing, or the count of them is wrong
KEY_LOST = "the key of the entries so far is lost"
MOST_TEXT = 200


class AuditEntry(Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry. All texts have at most 200 characters.

    `subject`: the caller, empty if unknown. `credential`, `address`: as in `Principal`. `api`: how the caller
    reached the hub. `target`: what the action concerns. `detail`: what was chosen or changed; never a secret
    or the content of a message.

    `outcome`: `begun` is written before the action is executed. Its end is an entry of its own, with the
    number of that entry in `of`: `done`, `cancelled` if the caller went away first, or the code of the
    error. An entry without `of` that is not `begun` concerns something that needed no execution, such as a
    refusal.
    """

    type: ClassVar[Literal["audit.entry"]] = "audit.entry"
    action: str
    outcome: str
    subject: str = ""
    credential: str = ""
    address: str = ""
    api: str = ""
    target: str = ""
    detail: str = ""
    of: int | UnsetType = UNSET
    chain: str = ""


def stream_of(node: str) -> str:
    """Return the stream of a node's entries. `node`: empty for a hub that shares its database with no
    other."""
    return f"{STREAM}:{node}" if node else STREAM


def node_of(stream: str) -> str:
    return stream.partition(":")[2]


def is_stream(stream: str) -> bool:
    """Return whether only the audit writes to a stream."""
    return stream == STREAM or stream.startswith(f"{STREAM}:")


def key_for(key: bytes, stream: str) -> bytes:
    """Return the key of the chain of a stream, so that no entry fits into another chain."""
    return key if stream == STREAM else hmac.digest(key, stream.encode(), "sha256")


def shortened(text: str) -> str:
    """Return the text if it is short enough for an entry, or else its beginning. Lone surrogates, which
    cannot be stored, are replaced."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def content_of(entry: AuditEntry) -> bytes:
    """Return the content that is stored."""
    return msgspec.json.encode(entry)


def chain_of(key: bytes, before: str, number: int, at: int, entry: AuditEntry) -> str:
    """Return the chain of an entry. `before`: that of the entry before it; empty for the first one."""
    place = f"entry {before or '-'} {number} {at} ".encode()
    return _mac(key, place + content_of(replace(entry, chain="")))


class Count(Struct, frozen=True, gc=False):
    """How many entries there are, and the chain of the last one. It is stored with each entry, so that
    missing entries at the end are noticed."""

    number: int
    chain: str
    mac: str = ""

    @classmethod
    def of(cls, key: bytes, number: int, chain: str) -> Count:
        return cls(number, chain, _mac(key, f"count {number} {chain}".encode()))

    def is_genuine(self, key: bytes) -> bool:
        return hmac.compare_digest(self.mac, Count.of(key, self.number, self.chain).mac)


def _mac(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, "sha256").hexdigest()
