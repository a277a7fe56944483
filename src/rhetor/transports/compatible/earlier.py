"""What a request of the Responses API refers to: a previous response, items of earlier ones, and compactions.
A compaction opens only for the caller who got it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.dialects import openai_compaction
from rhetor.dialects.openai_responses import NOTHING_BEFORE, Before, Request
from rhetor.dialects.openai_responses_answer import id_of, turn_of, turn_of_item
from rhetor.dialects.openai_responses_items import compactions, decoded, references, said
from rhetor.dialects.vendor_errors import refused
from rhetor.domain.given import GivenMessage
from rhetor.errors import NotFound, SealBroken
from rhetor.hub.sessions.responses import conversation_of
from rhetor.transports.server.call import Caller
from rhetor.transports.server.node import Node

from .kept_responses import answer_to, found_response
from .open_responses import open_responses

T = TypeVar("T")
Item = dict[str, Any]
PREVIOUS = "previous_response_id"
NOT_YOURS = (
    "not a compaction of this hub that you may use; send it back unchanged, or the messages themselves"
)


async def with_earlier(
    caller: Caller, request: Request[Any], size: int, make: Callable[[Request[Any], Before], T]
) -> T:
    """Return what `make` makes of a request and the conversation before it. `size`: bytes of the request; a
    large one is processed in a thread.

    Raises:
        RhetorError: as `make`; or there is no such response, item or compaction.
    """
    before = await _before(caller, request.body.previous_response_id)
    referenced = await _referenced(caller, references(request.items))
    referenced |= await _opened(caller, compactions(request.items))
    before = msgspec.structs.replace(before, referenced=referenced)
    if size <= LARGE_BYTES:
        return make(request, before)
    async with caller.node.decoding:
        return await asyncio.to_thread(make, request, before)


def sealed(node: Node, subject: str, summary: str) -> str:
    """Return the encrypted content of a compaction. This may read files, so call it in a thread.

    Raises:
        KeysUnavailable: the hub's keys cannot be read or made.
    """
    return openai_compaction.written(node.seal.seal(summary.encode(), _place(subject)))


async def _before(caller: Caller, id: str | None) -> Before:
    """Return the conversation of the previous response with its answer; nothing if there is none.

    Raises:
        Unprocessable: it is not found, or not complete.
    """
    if id is None:
        return NOTHING_BEFORE
    kept = open_responses(caller.node).prepared(turn_of(id), caller.who.subject)
    if kept is not None:
        return kept
    try:
        found = await found_response(caller, id)
        conversation = await conversation_of(caller.hub.state, found.turn)
        answer = await answer_to(caller, found)
    except NotFound as missing:
        raise refused(PREVIOUS, f"there is no response {id!r}", "previous_response_not_found") from missing
    if not answer.is_over:
        raise refused(PREVIOUS, f"the response {id!r} is not complete yet")
    instructed = 1 if found.kept.own["instructed"] else 0
    said = _messages(answer.output)
    return Before((*conversation.messages, *said), conversation.system[instructed:])


async def _referenced(caller: Caller, ids: Sequence[str]) -> dict[str, GivenMessage]:
    """Return what items of earlier responses said, by their ids. Those that are not found are left out."""
    answers: dict[str, Sequence[Item]] = {}
    for turn_id in dict.fromkeys(map(turn_of_item, ids)):
        try:
            answers[turn_id] = (await answer_to(caller, await found_response(caller, id_of(turn_id)))).output
        except NotFound:
            continue
    items = [item for output in answers.values() for item in output if item["id"] in ids]
    return {item["id"]: _messages([item])[0] for item in items}


async def _opened(caller: Caller, contents: Sequence[str]) -> dict[str, GivenMessage]:
    """Return what compactions say, by their encrypted contents.

    Raises:
        Unprocessable: one is of another caller or of another hub, or was changed.
        KeysUnavailable: the hub's keys cannot be read.
    """
    return await asyncio.to_thread(_open, caller, contents) if contents else {}


def _open(caller: Caller, contents: Sequence[str]) -> dict[str, GivenMessage]:
    found: dict[str, GivenMessage] = {}
    for each in contents:
        try:
            envelope = openai_compaction.read(each)
            summary = caller.node.seal.open(envelope, _place(caller.who.subject)).decode()
        except (ValueError, SealBroken) as error:
            raise refused("input.encrypted_content", NOT_YOURS) from error
        found[each] = openai_compaction.summary_message(summary)
    return found


def _place(subject: str) -> bytes:
    """Return what a compaction is sealed for, so that it opens only for the caller who got it."""
    return b"compaction\0" + subject.encode()


def _messages(output: Sequence[Item]) -> Sequence[GivenMessage]:
    return said(decoded([Raw(msgspec.json.encode(item)) for item in output]), {}).messages
