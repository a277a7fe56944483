"""Sending the message of a request to the peer that its `model` names, the same for all APIs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType
from starlette.requests import HTTPConnection

from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.dialects.asked import UNSUPPORTED, Asked
from rhetor.dialects.vendor_errors import refused
from rhetor.domain.command import SendMessage
from rhetor.domain.event import Api
from rhetor.domain.given import GivenConversation, SaidPart, SaidResult
from rhetor.domain.lines import LINE_DRIVER
from rhetor.domain.peer import Peer
from rhetor.errors import UnknownPeer, Unprocessable
from rhetor.hub.plans.line_turn import model_peer
from rhetor.hub.sessions.send import Accepted
from rhetor.transports.rest.peers import accept
from rhetor.transports.server.call import Call, Caller

A = TypeVar("A")
SESSION = "x-session-id"
HOPS, HOPS_COUNT = "x-rhetor-hops", re.compile(r"[1-9][0-9]{0,5}")
OURS = "s_"  # with which the ids of sessions begin


def session_of(call: HTTPConnection) -> str | None:
    """Return the session that the request names. Clients such as OpenCode send ids of their own, which name
    none."""
    id = call.headers.get(SESSION, "")
    return id if id.startswith(OURS) else None


def hops_of(call: HTTPConnection) -> int | UnsetType:
    """Return through how many peers of another hub the message has passed, if a hub sends it."""
    said = call.headers.get(HOPS, "")
    return int(said) if HOPS_COUNT.fullmatch(said) else UNSET


async def decoded(call: Call, content: bytearray, asked: Callable[[bytearray], A]) -> A:
    """Return what the body of a request asks for. A large one is decoded in a thread, in steps, so that the
    event loop runs in between.

    Raises:
        RhetorError: as `asked`.
    """
    if len(content) <= LARGE_BYTES:
        return asked(content)
    async with call.node.decoding:
        return await asyncio.to_thread(asked, content)


async def send(call: Call, asked: Asked, api: Api) -> tuple[Accepted, dict[str, str]]:
    """Send the message with its conversation. Return it with the headers that name its session, turn and
    cursor.

    Raises:
        UnknownPeer, NoCapablePeer: no peer is the model.
        Unprocessable: the model is an invalid line, or the peer cannot honour a parameter.
        TooManyConnections: the answer is to be a stream, and the caller may open no more.
        RhetorError: as `hub.sessions.send.send`.
    """
    if asked.stream:
        call.node.connections.require_room(call.who)
    return await accept(call, await command_of(call, call, asked, api, call.key))


async def command_of(
    caller: Caller, connection: HTTPConnection, asked: Asked, api: Api, key: str | None = None
) -> SendMessage:
    """Return the command for a request that came through a connection. `key`: its idempotency key.

    Raises:
        UnknownPeer, NoCapablePeer: no peer is the model.
        Unprocessable: the model is an invalid line, or the peer cannot honour a parameter.
    """
    peer = await peer_of(caller, asked.model)
    _require_honoured(peer, asked)
    given = asked.given
    schema = None if peer.has_voice else given.options.schema  # a specialist's model gets it with the options
    return SendMessage(
        "\n\n".join(message.text for message in given.new),
        asked.model,
        asked.session_of(session_of(connection)),
        command_id=key,
        response_schema=UNSET if schema is None else schema,
        given=given,
        api=api,
        kept=asked.stored,
        hops=hops_of(connection),
    )


async def peer_of(caller: Caller, model: str) -> Peer:
    """Return the peer that a request names as its model.

    Raises:
        UnknownPeer, NoCapablePeer: there is none.
        Unprocessable: it is an invalid line.
    """
    try:
        return await model_peer(caller.hub.state, caller.who, model)
    except UnknownPeer as error:
        error.data["hint"] = "GET /v1/models lists the models"
        raise
    except Unprocessable as error:
        error.data["param"] = "model"
        raise


def place_in(ids: Sequence[str], id: str, parameter: str) -> int:
    """Return the place of an id in a list, at which a page begins or ends.

    Raises:
        Unprocessable: the list does not have it.
    """
    if id not in ids:
        raise refused(parameter, f"{id[:200]!r} is not in the list; use an id of an earlier page")
    return ids.index(id)


def require_contents(given: GivenConversation, parameter: str) -> None:
    """Check that the conversation, which the client gives as a parameter, has the contents of all its parts.

    Raises:
        Unprocessable: it has a URL instead.
    """
    for message in given.messages:
        results = [block.content for block in message.blocks if isinstance(block, SaidResult)]
        for block in (*message.blocks, *(each for content in results for each in content)):
            if isinstance(block, SaidPart) and block.part.url:
                why = "the tokens of a URL cannot be counted; send the content itself"
                raise refused(parameter, why, UNSUPPORTED)


def _require_honoured(peer: Peer, asked: Asked) -> None:
    """Check that the peer can honour all parameters of the request.

    Raises:
        Unprocessable: only a specialist can.
    """
    if peer.has_voice:
        return
    named = ("tools",) if asked.given.tools else asked.only_models
    if named:
        who = "a line" if peer.driver == LINE_DRIVER else peer.name
        why = f"{who} is not a specialist, so it cannot honour this"
        raise refused(named[0], why, UNSUPPORTED)
