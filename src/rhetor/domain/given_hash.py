"""Recognizes a conversation that a client sends again, by a chain of hashes of its messages.

Clients do not give a conversation back exactly as it was. So these do not count: the system text and the
tools, reasoning, marks for a provider's cache, whitespace, how the arguments of a call are written, and
whether one side said something in one message or in several.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec.structs import replace

from .given import (
    Block,
    GivenConversation,
    GivenMessage,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)

_SPACES = b" \t\n\r\v\f"
_encoder = msgspec.json.Encoder(order="deterministic")


def chain(messages: Iterable[GivenMessage], before: str = "") -> str:
    """Return the hash of a conversation. `before`: the hash of earlier messages, whose last one is by the
    other side."""
    for role, said in groupby(messages, lambda message: message.role):
        plain = _plain([block for message in said for block in message.blocks])
        before = _digest([before, role, *plain])
    return before


def continuation_id(key: bytes, owner: str, target: str, hashed: str) -> str:
    """Return what identifies a conversation of a caller with a peer or a line, up to an answer. `hashed`: by
    `chain`. Nobody without the `key` can tell from it what was said."""
    return hmac.digest(key, _encoder.encode([owner, target, hashed]), "sha256").hex()


def exact(message: GivenMessage) -> str:
    """Return a short hash of everything that a message has, except for marks for the cache."""
    return _digest(unmarked(message))[:16]


def unmarked(message: GivenMessage) -> GivenMessage:
    """Return the message without marks for the cache, which clients move with each message."""
    if not [block for block in message.blocks if not isinstance(block, SaidReasoning) and block.cache]:
        return message
    return replace(message, blocks=tuple(map(_unmarked, message.blocks)))


def _unmarked(block: Block) -> Block:
    return block if isinstance(block, SaidReasoning) else replace(block, cache="")


def continues(given: GivenConversation) -> bool:
    """Return whether the conversation has an answer already, so that a session may have its beginning."""
    return any(message.role == "assistant" for message in given.messages)


def _plain(blocks: Sequence[Block]) -> tuple[str, list[Any], list[Any], list[str]]:
    """Return what counts: the text, the calls, the results and the parts."""
    calls = [
        (each.id, each.name, _arguments(each.arguments)) for each in blocks if isinstance(each, SaidCall)
    ]
    results = [
        (each.id, _text(each.content), list(_parts(each.content)))
        for each in blocks
        if isinstance(each, SaidResult)
    ]
    return _text(blocks), calls, results, list(_parts(blocks))


def _text(blocks: Iterable[Block]) -> str:
    said = b"".join([block.text.encode() for block in blocks if isinstance(block, SaidText)])
    return said.translate(None, _SPACES).decode()  # the quickest way, for texts of many megabytes


def _parts(blocks: Iterable[Block]) -> Iterator[str]:
    """Yield what identifies each part. A client gives it in the same way each time."""
    for block in blocks:
        if isinstance(block, SaidPart):
            part = block.part
            yield part.blob_id or part.url or hashlib.sha256(part.data).hexdigest()


def _arguments(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        return text


def _digest(value: object) -> str:
    return hashlib.sha256(_encoder.encode(value)).hexdigest()
