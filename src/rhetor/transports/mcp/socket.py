"""`/ws/mcp`: MCP over a WebSocket, one message a frame. `rhetor mcp` copies it to standard input and output.

MCP itself knows no WebSocket. This is the transport of stdio, which has no requests and responses of HTTP.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.websockets import WebSocket

from rhetor.errors import Malformed, RhetorError, TooManyAtOnce, TooManyValues
from rhetor.transports.server.large import check_values
from rhetor.transports.server.rates import size_of
from rhetor.transports.websocket.connection import SocketConnection, talk

from .caller import BODY_BYTES, MOST_VALUES, McpCaller
from .endpoint import endpoint_of

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.server.lowlevel import Server

    from .socket_calls import SocketCalls

MOST_WAITING = 100  # requests of one client that are not answered yet
PARSE_ERROR = -32700


async def mcp_socket(socket: WebSocket) -> None:
    await talk(socket, _converse)


async def _converse(connection: SocketConnection) -> None:
    import anyio

    endpoint = endpoint_of(connection.node)
    server = await endpoint.server()
    from .socket_calls import SocketCalls

    caller = McpCaller(connection.who, connection.node)
    calls = SocketCalls(endpoint.direct, caller, connection.say)
    inbox, heard = anyio.create_memory_object_stream[Any](0)
    said, outbox = anyio.create_memory_object_stream[Any](0)
    waiting = set[Any]()
    async with inbox, heard, said, outbox, asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve(server, heard, said), name="mcp server")
        tasks.create_task(_speak(connection, outbox, waiting, calls), name="mcp writer")
        try:
            await _listen(connection, inbox, waiting, calls, tasks)
        finally:
            calls.end()


async def _serve(server: Server[Any], heard: Any, said: Any) -> None:
    """Serve the client until it closes the connection. Its running requests are cancelled then."""
    await server.run(heard, said, server.create_initialization_options())


async def _listen(
    connection: SocketConnection,
    inbox: MemoryObjectSendStream[Any],
    waiting: set[Any],
    calls: SocketCalls,
    tasks: asyncio.TaskGroup,
) -> None:
    from mcp.shared.message import ServerMessageMetadata, SessionMessage
    from mcp.types import jsonrpc_message_adapter

    metadata = ServerMessageMetadata(request_context=McpCaller(connection.who, connection.node))
    async with inbox:
        async for text in connection.messages():
            endpoint_of(connection.node).charge(connection.who, size_of(text))
            try:
                if len(text) > BODY_BYTES:
                    raise ValueError(f"the message is larger than {BODY_BYTES} bytes")
                await check_values(text, MOST_VALUES)
                if (plain := calls.plain(text)) is not None and len(waiting) + len(calls) < MOST_WAITING:
                    calls.start(plain, tasks)
                    continue
                message: Any = jsonrpc_message_adapter.validate_json(text, by_name=False)
            except (ValueError, Malformed):
                await _refuse(connection, None, PARSE_ERROR, "not a JSON-RPC message of at most 3 MiB")
                connection.count_fault()
                continue
            except TooManyValues as error:
                await _refuse(connection, None, error.rpc, error.detail)
                connection.count_fault()
                continue
            calls.heard(message)
            if not _note(message, waiting, len(calls)):
                full = TooManyAtOnce("requests", MOST_WAITING)
                await _refuse(connection, message.id, full.rpc, full.detail, _said(full))
                continue
            await inbox.send(SessionMessage(message, metadata=metadata))


def _note(message: Any, waiting: set[Any], others: int) -> bool:
    """Note a request that waits for its answer, or the end of one. Return False if too many are waiting,
    with the `others`."""
    method, id = getattr(message, "method", None), getattr(message, "id", None)
    if method == "notifications/cancelled":  # a cancelled request is not answered
        waiting.discard((message.params or {}).get("requestId"))
    elif method is not None and id is not None:
        if len(waiting) + others >= MOST_WAITING:
            return False
        waiting.add(id)
    return True


async def _speak(
    connection: SocketConnection,
    outbox: MemoryObjectReceiveStream[Any],
    waiting: set[Any],
    calls: SocketCalls,
) -> None:
    async for said in outbox:
        calls.said(said.message)
        if not hasattr(said.message, "method"):
            waiting.discard(said.message.id)
        await connection.say(said.message.model_dump_json(by_alias=True, exclude_unset=True).encode())


def _said(error: RhetorError) -> dict[str, Any]:
    return {**error.data, "code": error.code, "detail": error.detail, "retryable": error.retryable}


async def _refuse(
    connection: SocketConnection, id: Any, code: int, why: str, data: dict[str, Any] | None = None
) -> None:
    error = {"code": code, "message": why} | ({"data": data} if data else {})
    await connection.say(msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": error}))
