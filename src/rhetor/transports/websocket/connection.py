"""One client's WebSocket: reading with limits, and writing the streams that the client follows.

This module knows no dialect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket

from rhetor.codec.websocket_frames import binary_frame, text_frame
from rhetor.domain.command import Command, SendMessage
from rhetor.domain.event import Position
from rhetor.domain.principal import Principal
from rhetor.errors import Forbidden, RhetorError, TooManyAtOnce, TooManyInvalid
from rhetor.hub.fanout.subscriber import DirectWriter, View
from rhetor.store.base import Record
from rhetor.transports.server.flow import EXTENSION, STALL_SECONDS
from rhetor.transports.server.following import follow
from rhetor.transports.server.node import Node
from rhetor.transports.server.rates import size_of

if TYPE_CHECKING:  # the library behind it is loaded for the first WebSocket
    from rhetor.transports.server.websocket_protocol import SocketProtocol

MOST_FAULTS = 10
MOST_TASKS = 200  # followed sessions and waiting calls of one connection
log = logging.getLogger(__name__)


class Hold:
    """Holds back the frames of a follower until the reply that is being written has been sent."""

    def __init__(self) -> None:
        self._count = 0
        self._free = asyncio.Event()
        self._free.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        self._count += 1
        self._free.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._free.set()

    @property
    def is_free(self) -> bool:
        return not self._count

    async def passed(self) -> None:
        await self._free.wait()


class SocketConnection:
    """An accepted WebSocket, created by `talk`."""

    def __init__(self, socket: WebSocket, tasks: asyncio.TaskGroup) -> None:
        state = socket.scope["state"]
        self.node: Node = state["node"]
        self.hub = self.node.hub
        self.who: Principal = state["principal"]
        self._socket = socket
        self.api: str = state["api"]
        self._tasks = tasks
        self._protocol: SocketProtocol = socket.scope["extensions"][EXTENSION]
        self.writer = self._protocol.writer
        self._writing = asyncio.Lock()
        self._running = 0
        self._faults = 0

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield the messages of the client, until it closes the connection.

        Raises:
            TooLarge, TooManyValues: a text message is too large.
        """
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            yield message["bytes"] if text is None else text

    async def execute(self, command: Command) -> Any:
        """Do the same as `Hub.execute`, for the client."""
        if isinstance(command, SendMessage) and command.model:
            await self.node.providers.require_model(command.model)
        return await self.hub.execute(self.who, command, self.api)

    def charge(self, content: str | bytes, messages: float = 1) -> None:
        """Count what the client has sent as one message. `messages`: how many it counts as.

        Raises:
            RateExceeded, BytesExceeded: the client has sent too many messages, or bytes.
        """
        self.node.charge_bytes(self.who, size_of(content))
        self.node.charge(self.who, self.api, messages)

    def count(self, size: int) -> None:
        """Count bytes that direct writers of this API have written."""
        self._protocol.traffic.sent += size

    def fault(self, code: str) -> None:
        """Count an error that the client received."""
        self.node.tally.fault(self.api, code)

    def count_fault(self) -> None:
        """Count an invalid message.

        Raises:
            TooManyInvalid: it was the tenth.
        """
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            raise TooManyInvalid(MOST_FAULTS)

    async def say(self, *texts: bytes) -> None:
        """Write each text as a message, without other messages in between."""
        await self.write(b"".join(map(text_frame, texts)))

    async def show(self, data: bytes) -> None:
        """Write one binary message."""
        await self.write(binary_frame(data))

    def require_room(self) -> None:
        """Check that another task may be started. Call this before work that ends with `start`.

        Raises:
            TooManyAtOnce: the connection has as many tasks as it may have.
        """
        if self._running >= MOST_TASKS:
            raise TooManyAtOnce("sessions and calls", MOST_TASKS)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a task in the background. It is cancelled when the connection ends."""
        self._running += 1
        task = self._tasks.create_task(work, name=name)
        task.add_done_callback(self._done)
        return task

    async def follow(
        self,
        stream: str,
        after: Position,
        view: View,
        hold: Hold | None = None,
        batches: AsyncIterator[Sequence[Record]] | None = None,
    ) -> None:
        """Write the events after `after` to the client, and then new ones, until the view is over. While
        `hold` is held, nothing is written.

        `batches` yields the same records, if the caller has to process them first. The next batch is
        requested when the previous one has been written.

        Raises:
            PositionLost: the position is not, or is no longer, part of the log.
            TooSlow: the client does not read.
            NotFound: the session is no longer shared with the caller.
            ShuttingDown: the hub is stopping.
        """
        subscriber, subject = _Subscriber(self, hold), self.who.subject
        await follow(self.hub.state, stream, after, view, subscriber, batches, subject=subject)

    def close(self) -> None:
        """Close the connection with the code 1000."""
        self._protocol.end(1000, "")

    def end(self, error: RhetorError) -> None:
        """Close the connection with the code of this error."""
        self.node.tally.end(self.api, error.code)
        if isinstance(error, Forbidden) and not error.is_noted:
            self.node.note_refusal(self._socket.scope, error)
        lost = f": {error.data['outcome']}" if "outcome" in error.data else ""
        self._protocol.end(error.close or 1011, error.code + lost)

    async def write(self, frames: bytes) -> None:
        """Write whole frames, and wait until more may be written.

        Raises:
            TooSlow: the client does not read.
        """
        async with self._writing:  # one at a time, so that at most one piece waits in memory
            self._protocol.write_frames(frames)
            await self._protocol.drained(STALL_SECONDS)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running -= 1


class _Subscriber:
    """Writes the frames of a followed stream to the connection, unless they are held back."""

    __slots__ = ("_connection", "_hold", "api", "writer")

    def __init__(self, connection: SocketConnection, hold: Hold | None) -> None:
        self._connection = connection
        self._hold = hold
        self.api = connection.api
        self.writer = connection.writer if hold is None else DirectWriter(self._put_if_free)

    def enclose(self, frames: bytes) -> bytes:
        return frames

    def count(self, size: int) -> None:
        self._connection.count(size)

    async def write(self, frames: bytes) -> None:
        if self._hold is not None:
            await self._hold.passed()
        await self._connection.write(frames)

    def _put_if_free(self, enclosed: bytes) -> bool:
        assert self._hold is not None
        return self._hold.is_free and self._connection.writer.put(enclosed) is not False


class _Gone(Exception):
    """The client closed the connection: its tasks end."""


async def talk(socket: WebSocket, answer: Callable[[SocketConnection], Awaitable[None]]) -> None:
    """Accept the socket, run `answer`, and close the socket with the code of the error that ended it."""
    await socket.accept()
    protocol: SocketProtocol = socket.scope["extensions"][EXTENSION]
    try:
        async with asyncio.TaskGroup() as tasks:
            connection = SocketConnection(socket, tasks)
            await answer(connection)
            raise _Gone  # a task group cancels its tasks only after an error
    except ExceptionGroup as group:
        _close(protocol, connection, group)
        group.__traceback__ = None  # has the frame that holds the group, and so all that the client sent


def _close(protocol: SocketProtocol, connection: SocketConnection, group: ExceptionGroup) -> None:
    typed = group.subgroup(RhetorError)
    bugs = group.subgroup(lambda error: not isinstance(error, RhetorError | _Gone | ExceptionGroup))
    if bugs is not None:  # an unexpected error is a bug of the hub, and must end no other connection
        log.error("connection failed", exc_info=bugs, extra={"api": connection.api})
    if group.subgroup(_Gone) is not None:
        protocol.end(1000, "")
    if typed is not None:
        connection.end(_first(typed))
    protocol.end(1011, "internal")  # no effect if it has been ended


def _first(group: ExceptionGroup[RhetorError]) -> RhetorError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, RhetorError)
    return found
