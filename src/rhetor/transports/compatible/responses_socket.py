"""The WebSocket mode of the Responses API: `WS /v1/responses`.

Each `response.create` message is a request, and its answer is the events of the response. They are processed
one after the other.
"""

from __future__ import annotations

import asyncio

import msgspec
from starlette.websockets import WebSocket

from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.dialects.openai_responses import Before, Request, ResponseAsked, request_on_socket
from rhetor.dialects.openai_responses_answer import About, prepared, turn_of
from rhetor.dialects.openai_responses_body import ResponsesBody, prepares
from rhetor.dialects.openai_responses_stream import SocketResponse, socket_error
from rhetor.domain.turn import TurnState
from rhetor.errors import Malformed, RhetorError, ShuttingDown
from rhetor.hub.sessions.send import Accepted
from rhetor.transports.websocket.connection import SocketConnection, talk

from .asking import command_of, session_of
from .open_responses import OwnResponses, open_responses
from .responses import API, resolved


async def responses_socket(socket: WebSocket) -> None:
    """Serve one connection."""
    await talk(socket, lambda connection: ResponsesSocket(connection, socket).serve())


class ResponsesSocket:
    """Serves one connection. If it was opened with a session, all of its requests continue that. Responses
    that are not stored can be continued until it is closed, until a request that continues them fails, or
    until there are too many newer ones."""

    def __init__(self, connection: SocketConnection, socket: WebSocket) -> None:
        self._connection = connection
        self._socket = socket
        self._own = OwnResponses(open_responses(connection.node))

    async def serve(self) -> None:
        """Answer requests until the client closes the connection.

        Raises:
            TooManyInvalid, RateExceeded, TooLarge, TooSlow: the connection must be closed.
        """
        try:
            async for message in self._connection.messages():
                await self._charge(message)
                await self._answer(message)
        finally:
            self._own.close()

    async def _charge(self, message: str | bytes) -> None:
        try:
            self._connection.charge(message)
        except RhetorError as error:  # the connection is closed; the client learns when to return
            await self._refuse(error)
            raise

    async def _answer(self, message: str | bytes) -> None:
        previous = None
        try:
            if isinstance(message, bytes):
                raise Malformed("requests must be text messages")
            request = await self._decoded(message.encode())
            previous = request.body.previous_response_id
            if not await self._respond(request, len(message)):
                self._evict(previous)
        except ShuttingDown:
            raise
        except RhetorError as error:
            self._evict(previous)
            await self._refuse(error)
            if isinstance(error, Malformed):
                self._connection.count_fault()

    async def _decoded(self, data: bytes) -> Request[ResponsesBody]:
        if len(data) <= LARGE_BYTES:
            return request_on_socket(data)
        async with self._connection.node.decoding:
            return await asyncio.to_thread(request_on_socket, data)

    async def _respond(self, request: Request[ResponsesBody], size: int) -> bool:
        """Send the message, and write the events of its response. Return whether it did not fail."""
        connection = self._connection
        found = await resolved(connection, request, session_of(self._socket), size)
        command = await command_of(connection, self._socket, found, API)
        if prepares(request.body):
            await self._prepare(found)
            return True
        accepted: Accepted = await connection.execute(command)
        turn_id = accepted.turn_id
        if not found.store:
            self._own.add(turn_id, connection.who.subject, found.kept)
        about = About(turn_id, accepted.session_id, found.shown, found.names, found.encrypted)
        await connection.follow(accepted.session_id, accepted.after, SocketResponse(about))
        row = await connection.hub.state.store.get("turn", turn_id)
        return row is not None and row.state != TurnState.FAILED

    async def _prepare(self, found: ResponseAsked) -> None:
        """Keep a conversation, so that the client can continue it without sending it again."""
        ids, given = self._connection.hub.state.ids, found.given
        id = ids.new("t")
        before = Before(given.messages, given.system[1 if found.instructed else 0 :])
        self._own.prepare(id, self._connection.who.subject, before)
        about = About(id, "", found.shown, found.names, found.encrypted)
        events = prepared(about, ids.now() // 1000)
        await self._connection.say(*map(msgspec.json.encode, events))

    def _evict(self, previous: str | None) -> None:
        """Forget a response that a request could not continue (Open Responses, WebSocket continuation)."""
        self._own.drop(turn_of(previous or ""))

    async def _refuse(self, error: RhetorError) -> None:
        self._connection.fault(error.code)
        await self._connection.say(socket_error(error))
