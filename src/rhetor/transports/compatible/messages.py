"""Anthropic's Messages API: `/v1/messages`."""

from __future__ import annotations

from functools import partial

from msgspec import UNSET
from starlette.responses import Response

from rhetor.dialects import anthropic_messages, anthropic_messages_answer
from rhetor.dialects.vendor_errors import refused
from rhetor.hub.sessions.given_limits import check
from rhetor.transports.server import vendor
from rhetor.transports.server.call import Call

from .answers import TurnStream, whole
from .asking import decoded, hops_of, peer_of, require_contents, send

VERSION, BETA = "anthropic-version", "anthropic-beta"


async def create_message(call: Call, content: bytearray) -> Response:
    """Answer the last message of a conversation; with `stream: true`, as server-sent events.

    `model` is a peer, `team:NAME`, `@CAPABILITY`, or a line of the grammar. The session in which the peer
    answers is in the header `x-session-id`. A request with that header continues that session.
    """
    decode = partial(anthropic_messages.asked, betas=_betas(call), version=_version(call))
    asked = await decoded(call, content, decode)
    accepted, headers = await send(call, asked, "messages")
    make = partial(anthropic_messages_answer.message, turn_id=accepted.turn_id, model=asked.model)
    if not asked.stream:
        return await whole(call, accepted, headers, make)
    request_id: str = call.scope["state"][vendor.REQUEST_ID]
    view = anthropic_messages_answer.MessageStream(accepted.turn_id, asked.model, request_id)
    error_frame = partial(anthropic_messages_answer.error_frame, request_id=request_id)
    return TurnStream(call, accepted, view, headers, error_frame, anthropic_messages_answer.PING, make)


async def count_tokens(call: Call, content: bytearray) -> dict[str, int]:
    """Return how many tokens a conversation has for the model, with the peer's own prompt.

    A provider with this API counts them; for every other peer the number is an estimate.
    """
    decode = partial(anthropic_messages.counted, betas=_betas(call), version=_version(call))
    asked = await decoded(call, content, decode)
    check(asked.given, call.hub.state.limits.message_bytes)
    require_contents(asked.given, "messages")
    hops = hops_of(call)
    peer = await peer_of(call, asked.model)
    found = await call.node.providers.count_tokens(peer, asked.given, {}, 0 if hops is UNSET else hops)
    return {"input_tokens": found.input_tokens}


def _version(call: Call) -> str:
    """Return the version of the API that the client expects."""
    version = call.headers.get(VERSION, anthropic_messages.OLD_VERSION)
    if version not in anthropic_messages.VERSIONS:
        known = ", ".join(sorted(anthropic_messages.VERSIONS))
        raise refused(VERSION, f"unknown version {version[:40]!r} of this API; use one of {known}")
    return version


def _betas(call: Call) -> list[str]:
    """Return the betas that the headers name."""
    named = (each.strip() for value in call.headers.getlist(BETA) for each in value.split(","))
    return [each for each in named if each]
