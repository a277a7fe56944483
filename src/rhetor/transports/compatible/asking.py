"""Sending the message of a request to the peer that its `model` names, the same for all APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar

from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.dialects.asked import UNSUPPORTED, Asked
from rhetor.dialects.vendor_errors import refused
from rhetor.domain.command import SendMessage
from rhetor.domain.event import ContextInjected
from rhetor.domain.given import GivenConversation, SaidText
from rhetor.domain.peer import Peer
from rhetor.errors import UnknownPeer
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.send import Accepted
from rhetor.transports.rest.peers import accept
from rhetor.transports.server.call import Call

A = TypeVar("A", bound=Asked)
SESSION = "x-session-id"


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


async def send(call: Call, asked: Asked) -> tuple[Accepted, dict[str, str]]:
    """Send the message. Return it with the headers that name its session, turn and cursor.

    Raises:
        UnknownPeer, NoCapablePeer: no peer is the model.
        Unprocessable: the peer cannot honour a parameter.
        RhetorError: as `hub.sessions.send.send`.
    """
    peer = _peer(call, asked.model)
    _require_honoured(peer, asked)
    _require_text(asked)
    return await accept(call, _command(call, asked))


def _peer(call: Call, model: str) -> Peer:
    peers = peers_for(call.hub.state, call.who)
    try:
        return peers.resolve(model)[0]
    except UnknownPeer as error:
        error.data["hint"] = "GET /v1/models lists the models"
        raise


def _require_honoured(peer: Peer, asked: Asked) -> None:
    """Check that the peer can honour all parameters of the request.

    Raises:
        Unprocessable: only a specialist can.
    """
    if peer.has_voice and not asked.given.tools:
        return
    named = ("tools",) if asked.given.tools else asked.only_models
    if named:
        raise refused(named[0], f"{peer.name} is not a specialist, so it cannot honour this", UNSUPPORTED)


def _command(call: Call, asked: Asked) -> SendMessage:
    given = asked.given
    content = "\n\n".join(message.text for message in given.new)
    return SendMessage(
        content,
        asked.model,
        call.headers.get(SESSION),
        call.hub.state.limits.context_window,
        command_id=call.key,
        context=tuple(_context(given)),
    )


def _context(given: GivenConversation) -> Iterator[ContextInjected]:
    """Yield the client's system text and the earlier messages, as what comes before the message."""
    if given.system:
        texts = tuple(text.text for text in given.system)
        yield ContextInjected(texts, {"source": "the client's instructions"})
    if given.earlier:
        said = tuple(f"{message.role}: {message.text}" for message in given.earlier)
        yield ContextInjected(said, {"source": "the earlier conversation"})


def _require_text(asked: Asked) -> None:
    """Check that the request has only what every peer takes.

    Raises:
        Unprocessable: it has not.
    """
    given = asked.given
    if asked.only_models:
        raise refused(asked.only_models[0], "not supported", UNSUPPORTED)
    if given.options.schema or given.options.json:
        raise refused("response_format", "not supported", UNSUPPORTED)
    if not all(isinstance(block, SaidText) for message in given.messages for block in message.blocks):
        raise refused("messages", "only text is supported", UNSUPPORTED)
