"""Compaction and the count of tokens: `POST /v1/responses/compact` and `/v1/responses/input_tokens`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import UNSET
from starlette.responses import Response

from rhetor.dialects.asked import UNSUPPORTED_VALUE
from rhetor.dialects.openai_compaction import (
    CompactionAsked,
    compacted,
    compaction_asked,
    compaction_request,
    summary_of,
)
from rhetor.dialects.openai_input_tokens import to_count, tokens_request
from rhetor.dialects.vendor_errors import refused
from rhetor.domain.given import GivenConversation
from rhetor.domain.lines import is_line
from rhetor.domain.peer import Peer
from rhetor.hub.sessions.given_limits import check_size
from rhetor.hub.turns.given import contents_of
from rhetor.store.base import Record
from rhetor.transports.server.call import Call, json_response

from .answers import made, records_of_turn
from .asking import decoded, hops_of, peer_of, require_contents, send
from .earlier import sealed, with_earlier
from .responses import API


async def compact_conversation(call: Call, content: bytearray) -> Response:
    """Summarize a conversation: return the user's messages, and an opaque item that stands for the rest.

    `model` is the specialist or coding agent that summarizes. The item can be sent to any model, by the same
    caller only. The summary is a turn of a new session, which is in the header `x-session-id`.
    """
    request = await decoded(call, content, compaction_request)
    peer = await _summarizer(call, request.body.model)
    read = partial(compaction_asked, at_once=not peer.has_voice)
    asked = await with_earlier(call, request, len(content), read)
    kept = GivenConversation(asked.kept)
    contents = await contents_of(call.hub.state, kept)
    accepted, headers = await send(call, asked, API)
    records = await records_of_turn(call, accepted)
    make = partial(_compacted, call, asked, accepted.turn_id, contents)
    return json_response(await asyncio.to_thread(made, make, records, accepted), headers)


async def count_input(call: Call, content: bytearray) -> dict[str, Any]:
    """Return how many tokens a conversation has for the model, with the peer's own prompt.

    A provider with Anthropic's API counts them; for every other peer the number is an estimate.
    """
    request = await decoded(call, content, tokens_request)
    given = await with_earlier(call, request, len(content), to_count)
    check_size(given, call.hub.state.limits.message_bytes)
    require_contents(given, "input")
    hops = hops_of(call)
    peer = await peer_of(call, request.body.model)
    contents = await contents_of(call.hub.state, given)
    found = await call.node.providers.count_tokens(peer, given, contents, 0 if hops is UNSET else hops)
    return {"object": "response.input_tokens", "input_tokens": found.input_tokens}


def _compacted(
    call: Call, asked: CompactionAsked, turn_id: str, contents: Mapping[str, bytes], records: Iterable[Record]
) -> dict[str, Any]:
    end = list(records)[-1]
    encrypted = sealed(call.node, call.who.subject, summary_of(end))
    return compacted(asked, end, turn_id, encrypted, contents)


async def _summarizer(call: Call, model: str) -> Peer:
    """Return the peer that is to summarize.

    Raises:
        UnknownPeer, NoCapablePeer: there is no such peer.
        Unprocessable: it is a team, a line or a program without a model.
    """
    if not is_line(model):
        peer = await peer_of(call, model)
        if peer.has_voice or peer.remembers:
            return peer
    why = "only a specialist or a coding agent can summarize a conversation; name one of these"
    raise refused("model", why, UNSUPPORTED_VALUE)
