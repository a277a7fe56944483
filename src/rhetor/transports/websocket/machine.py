"""The link of a machine that joins the hub (`/ws/node`): JSON to begin with, then binary messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec
from starlette.websockets import WebSocket

from rhetor.domain.machine import Hello
from rhetor.errors import Malformed, RhetorError
from rhetor.hub.machines.joining import join as join_hub

from .connection import SocketConnection, talk

HELLO_SECONDS = 10.0
log = logging.getLogger(__name__)


async def join(socket: WebSocket) -> None:
    """Serve one connection of a machine. Its first message says what it offers. The reply says how the
    connection continues the last one, or why it is rejected; all messages after that belong to the link."""
    await talk(socket, _serve)


async def _serve(connection: SocketConnection) -> None:
    async with aclosing(_messages(connection)) as messages:
        try:
            hello = await _hello(messages)
            machine, link = await join_hub(connection.hub.state, connection.who, hello)
        except RhetorError as error:  # the reason of a close frame has no room for what to do
            said = {"code": error.code, "detail": error.detail, "hint": error.data.get("hint", "")}
            await connection.say(msgspec.json.encode(said))
            raise
        resumed = link.resume(hello.session, hello.received)
        welcome = {"name": machine.name, "session": resumed.session, "received": resumed.received}
        await connection.say(msgspec.json.encode(welcome))
        try:
            await link.serve(_LinkSocket(connection, messages), hello.received)
        except ConnectionError as error:
            log.debug("the link of a machine was lost", extra={"machine": machine.name, "why": str(error)})
        except ValueError as error:
            raise Malformed(str(error)) from error


async def _messages(connection: SocketConnection) -> AsyncGenerator[str | bytes, None]:
    async for message in connection.messages():
        yield message


async def _hello(messages: AsyncIterator[str | bytes]) -> Hello:
    """Return what the machine says first.

    Raises:
        Malformed: it says nothing in time, or something else.
    """
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            first = await anext(messages, "")
        return msgspec.json.decode(first, type=Hello)
    except TimeoutError:
        raise Malformed(f"the first message did not arrive within {HELLO_SECONDS:g} s") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"the first message is invalid: {error}") from error


class _LinkSocket:
    """The connection of a machine, as its link uses it."""

    def __init__(self, connection: SocketConnection, messages: AsyncIterator[str | bytes]) -> None:
        self._connection = connection
        self._messages = messages

    async def send(self, data: bytes) -> None:
        await self._connection.show(data)

    async def receive(self) -> bytes | None:
        message = await anext(self._messages, None)
        if isinstance(message, str):
            raise ValueError("a text message, where only binary ones are expected")
        return message
