"""JSON-RPC 2.0 over a WebSocket: each text is decoded, executed and answered, alone or as a batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from msgspec import Struct

from rhetor import errors
from rhetor.codec import jsonrpc
from rhetor.codec.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Call, Fault
from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.errors import RhetorError

from .connection import SocketConnection

log = logging.getLogger(__name__)


class Reply(Struct):
    """The reply to a call: `result`, or the result of `later`, which runs while further calls are read.
    `then` is called when the reply has been written."""

    result: Any = None
    later: Callable[[], Awaitable[Any]] | None = None
    then: Callable[[], None] | None = None


class ReplyScope(Struct):
    """The contexts to exit when the replies to one text have been written."""

    stack: AsyncExitStack = msgspec.field(default_factory=AsyncExitStack)


Answer = Callable[[Call, ReplyScope], Awaitable[Reply]]


async def serve(connection: SocketConnection, answer: Answer) -> None:
    """Answer calls until the client closes the connection. Texts are handled in order; long calls run in the
    background.

    Raises:
        TooManyInvalid, RateExceeded, TooLarge, TooSlow: the connection must be closed.
    """
    async for text in connection.messages():
        if isinstance(text, bytes):
            fault = Fault(jsonrpc.PARSE_ERROR, "calls must be text messages")
            incoming = jsonrpc.Incoming((fault,))
        elif len(text) <= LARGE_BYTES:
            incoming = jsonrpc.decode(text)
        else:
            async with connection.node.decoding:
                incoming = jsonrpc.decode(text)
                await asyncio.sleep(0)  # other tasks run before the params are decoded
        try:
            connection.charge(text, len(incoming.items))
        except RhetorError as error:  # the connection is closed; the client learns why, and when to return
            calls = [each for each in incoming.items if isinstance(each, Call) and not each.is_notice]
            await _say(connection, [_error(call, error) for call in calls], incoming.is_batch)
            raise
        await _take(connection, answer, incoming)
        if incoming.has_fault:
            connection.count_fault()


async def _take(connection: SocketConnection, answer: Answer, incoming: jsonrpc.Incoming) -> None:
    async with AsyncExitStack() as stack:
        scope = ReplyScope(stack)
        done = [await _done(connection, item, answer, scope) for item in incoming.items]
        if any(reply.later for _, reply in done if isinstance(reply, Reply)):
            connection.start(_finish(connection, done, incoming.is_batch, stack.pop_all()), "calls")
            return
        await _say(connection, [_written(item, reply) for item, reply in done], incoming.is_batch)
    _go_on(done)


Done = tuple[Call | Fault, Reply | bytes]


async def _done(connection: SocketConnection, item: Call | Fault, answer: Answer, scope: ReplyScope) -> Done:
    if isinstance(item, Fault):
        connection.fault(errors.Malformed.code)
        return item, jsonrpc.refusal(item)
    return item, await _tried(connection, item, answer(item, scope))


async def _finish(
    connection: SocketConnection, done: list[Done], is_batch: bool, entered: AsyncExitStack
) -> None:
    """Wait for all calls of a text, write the replies, and then call `then` of each reply."""

    async def settled(item: Call | Fault, reply: Reply | bytes) -> bytes:
        if isinstance(item, Call) and isinstance(reply, Reply) and reply.later:
            found = await _tried(connection, item, reply.later())
            reply = found if isinstance(found, bytes) else Reply(found)
        return _written(item, reply)

    async with entered:
        async with asyncio.TaskGroup() as tasks:
            replies = [tasks.create_task(settled(*each)) for each in done]
        await _say(connection, [reply.result() for reply in replies], is_batch)
    _go_on(done)


def _go_on(done: list[Done]) -> None:
    for _, reply in done:
        if isinstance(reply, Reply) and reply.then:
            reply.then()


async def _tried(connection: SocketConnection, call: Call, work: Awaitable[Any]) -> Any:
    """Return the result of the work, or the error reply if the work fails."""
    try:
        return await work
    except jsonrpc.Refused as refused:
        said = jsonrpc.said(refused.code, refused.why)
        connection.fault(said["code"])
        return jsonrpc.error(call.id, refused.code, data=said)
    except RhetorError as error:
        if isinstance(error, errors.ShuttingDown | errors.TooSlow):
            raise  # this ends the connection, not only the call
        connection.fault(error.code)
        return _error(call, error)
    except Exception:  # a bug in one call must not end the connection
        log.exception("call failed", extra={"method": call.method})
        connection.fault(RhetorError.code)
        said = jsonrpc.said(INTERNAL_ERROR, "internal error; the hub's log has the details")
        return jsonrpc.error(call.id, INTERNAL_ERROR, data=said)


def _error(call: Call, error: RhetorError) -> bytes:
    # a failed turn has the code of its cause, and therefore the number of its cause
    rpc = RPC_OF.get(error.code, error.rpc)
    # the request itself was checked before, so an error that the hub reports is in the params
    code = INVALID_PARAMS if rpc == INVALID_REQUEST else rpc
    said = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
    return jsonrpc.error(call.id, code, error.detail, {**error.data, **said})


def _known(kind: type[RhetorError]) -> dict[str, int]:
    found = {kind.code: kind.rpc}
    for inner in kind.__subclasses__():
        found |= _known(inner)
    return found


RPC_OF = _known(errors.TurnFailure)


def _written(item: Call | Fault, reply: Reply | bytes) -> bytes:
    """Return the reply as bytes; empty for a notification."""
    if isinstance(item, Call) and item.is_notice:
        return b""
    return reply if isinstance(reply, bytes) else jsonrpc.result(item.id, reply.result)


async def _say(connection: SocketConnection, replies: list[bytes], is_batch: bool) -> None:
    said = [reply for reply in replies if reply]
    if said:
        await connection.say(jsonrpc.batch(said) if is_batch else said[0])
