"""One client of Engine.IO: over long polling, over a WebSocket, or first the one and then the other.

The client's requests deliver packets; one task reads its messages. What the server sends waits for a poll, or
is written to the WebSocket at once. This module knows nothing of Socket.IO or of the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.auth.credentials import Credential
from rhetor.codec import engineio
from rhetor.codec.engineio import Packet, PacketType, Timing
from rhetor.codec.engineio_session import EngineSession, Phase
from rhetor.domain.principal import Principal
from rhetor.errors import Malformed, RhetorError, TooSlow
from rhetor.hub.fanout.subscriber import DirectWriter
from rhetor.transports.server.counters import Tally
from rhetor.transports.server.flow import STALL_SECONDS

from .inbox import Inbox

if TYPE_CHECKING:  # the library behind it is loaded for the first WebSocket
    from rhetor.transports.server.websocket_protocol import SocketProtocol

API, POLLING = "socketio", "socketio.polling"
PROTOCOL_ERROR, NO_PONG, INTERNAL = 1002, 1011, 1011


class Origin(Struct, frozen=True):
    """Who has opened a session. Each later request for it must come from the same place.

    `agent`: the peer whose program it was, None for a person. `principal` and `credential`: those of the
    first request, if it had any. `admit` returns those of a token that the client sends later.
    """

    is_local: bool = False
    agent: str | None = None
    principal: Principal | None = None
    credential: Credential | None = None
    admit: Callable[[str], Awaitable[tuple[Principal, Credential]]] | None = None

    def is_same(self, other: Origin) -> bool:
        return (self.is_local, self.agent) == (other.is_local, other.agent)


class EngineConnection:
    """The server's end of one session, until it is closed: by the client, after a ping without an answer, or
    by `end`. `forget` is called then.

    `is_established`: the client has been admitted to what is served here. `ended_by`: the error that ended
    the session, if one did. `charge` counts bytes that the caller has sent, once it is known.
    """

    def __init__(
        self, sid: str, timing: Timing, origin: Origin, tally: Tally, forget: Callable[[], None]
    ) -> None:
        self.sid = sid
        self.origin = origin
        self.max_payload = timing.max_payload
        self.is_established = False
        self.ended_by: RhetorError | None = None
        self.charge: Callable[[int], None] = _uncounted
        self._tally = tally
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._session = EngineSession(timing, self._loop.time())
        self._inbox = Inbox()
        self._protocol: SocketProtocol | None = None
        self._poll: asyncio.Future[bytes] | None = None
        self._room: asyncio.Future[None] | None = None
        self._writing = asyncio.Lock()
        self._timer = self._loop.call_at(self._session.deadline, self._beat)
        self.writer = DirectWriter(self._put)

    @property
    def is_closed(self) -> bool:
        return self._session.phase is Phase.CLOSED

    @property
    def is_on_websocket(self) -> bool:
        return self._protocol is not None

    @property
    def api(self) -> str:
        """The API for the broadcaster: clients on a WebSocket do not share frames with those that poll."""
        return POLLING if self._protocol is None else API

    def messages(self) -> AsyncIterator[str | bytes]:
        """Yield the client's messages until the session is closed."""
        return self._inbox.messages()

    async def send(self, *packets: bytes) -> None:
        """Send encoded packets, without others in between. Wait while the client has too much to read.

        Raises:
            TooSlow: the client does not read.
        """
        async with self._writing:
            await self._until_room()
            self._session.put(packets)
            self._flush()
            if self._protocol is not None:
                await self._protocol.drained(STALL_SECONDS)

    def count(self, size: int) -> None:
        """Count bytes that the direct writer has written. Those of polls are counted with their responses."""
        if self._protocol is not None:
            self._protocol.traffic.sent += size

    async def receive(self, packet: Packet) -> None:
        """Process a packet of the client. Wait while too many messages have not been read.

        Raises:
            Malformed: a client must not send such a packet now.
        """
        match packet.type:
            case PacketType.MESSAGE:
                await self._inbox.put(packet.data)
            case PacketType.PONG:
                self._session.pong(self._loop.time())
                self._set_timer()
            case PacketType.CLOSE:
                self.close(engineio.NOOP)
                self._close_websocket(1000, "")
            case PacketType.NOOP:
                pass
            case _:
                raise Malformed(f"a client must not send a packet of the type {packet.type}")

    async def poll(self) -> bytes:
        """Return the next payload for a poll, and wait until there is one.

        Raises:
            Malformed: the session was upgraded, or another poll is in progress, which closes the session.
        """
        if self._protocol is not None:
            raise Malformed("the session was upgraded to a WebSocket, and must not be polled")
        if self._poll is not None:
            self.close()
            raise Malformed("another poll of this session is in progress; the session is closed")
        if not self._session.is_empty:
            return self._taken()
        if self._session.phase is Phase.PROBING:
            return engineio.NOOP
        self._poll = self._loop.create_future()
        try:
            return await self._poll
        finally:
            self._poll = None

    @property
    def may_probe(self) -> bool:
        """Whether a WebSocket may be opened for the session."""
        return self._session.phase is Phase.POLLING

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Note that the client tests a WebSocket, while the context is open."""
        self._session.phase = Phase.PROBING
        try:
            yield
        finally:
            if self._session.phase is Phase.PROBING:
                self._session.phase = Phase.POLLING

    def end_poll(self) -> None:
        """End the poll that is in progress without a packet, so that the client can stop polling."""
        self._answer_poll(engineio.NOOP)

    def attach(self, protocol: SocketProtocol) -> None:
        """Use this WebSocket from now on. What waits for a poll is written to it."""
        if self.is_closed:
            return
        self._session.phase = Phase.WEBSOCKET
        self._protocol = protocol
        former, self.writer = self.writer, protocol.writer
        former.put = _refuse  # so that followers notice
        self.end_poll()
        self._flush()
        self._make_room()

    def close_if_overdue(self) -> None:
        """Close the session if the client has not answered a ping in time."""
        if self._session.is_overdue(self._loop.time()):
            self._lose()

    def end(self, error: RhetorError) -> None:
        """Close the session because of this error."""
        if self.is_closed:
            return
        self.ended_by = error
        self._tally.end(API, error.code)
        lost = f": {error.data['outcome']}" if "outcome" in error.data else ""
        invalid = PROTOCOL_ERROR if isinstance(error, Malformed) else INTERNAL
        self._close_websocket(error.close or invalid, error.code + lost)
        self.close()

    def close(self, last: bytes = engineio.CLOSE) -> None:
        """Close the session. A poll that is in progress is answered with `last`."""
        if self.is_closed:
            return
        self._session.close()
        self._timer.cancel()
        self._inbox.close()
        self._answer_poll(last)
        self._make_room()
        if self._protocol is None:
            self.writer.put = _ignore
        self._forget()

    def _close_websocket(self, code: int, reason: str) -> None:
        if self._protocol is not None:
            self._protocol.end(code, reason)

    def _put(self, payload: bytes) -> bool:
        """Queue packets for a poll, each of which ends with a separator, if there is room."""
        if self._session.is_full:
            return False
        self._session.put(payload.split(engineio.SEPARATOR)[:-1])
        self._flush()
        return True

    def _flush(self) -> None:
        if self._session.is_empty:
            return
        if self._protocol is not None:
            self._protocol.write_frames(engineio.frames(self._session.take()))
        elif self._poll is not None and not self._poll.done():
            self._poll.set_result(self._taken())

    def _taken(self) -> bytes:
        payload = self._session.take_payload()
        self._make_room()
        return payload

    def _answer_poll(self, payload: bytes) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(payload)

    async def _until_room(self) -> None:
        while self._session.is_full:  # never on a WebSocket, or if the session is closed
            self._room = self._loop.create_future()
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._room
            except TimeoutError:
                raise TooSlow(f"the client did not poll for {STALL_SECONDS:g} s") from None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _beat(self) -> None:
        if not self._session.beat(self._loop.time()):
            self._lose()
            return
        self._flush()
        self._set_timer()

    def _set_timer(self) -> None:
        self._timer.cancel()
        if not self.is_closed:
            self._timer = self._loop.call_at(self._session.deadline, self._beat)

    def _lose(self) -> None:
        self._close_websocket(NO_PONG, "no pong")
        self.close()


def _uncounted(size: int) -> None: ...


def _refuse(payload: bytes) -> bool:
    return False


def _ignore(payload: bytes) -> bool:
    return True


class ConnectionSubscriber:
    """A client that follows a stream, for the broadcaster. A view encodes packets, each of which ends with a
    separator."""

    __slots__ = ("_connection",)

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection

    @property
    def api(self) -> str:
        return self._connection.api

    @property
    def writer(self) -> DirectWriter:
        return self._connection.writer

    def enclose(self, frames: bytes) -> bytes:
        return _packets(frames) if self._connection.is_on_websocket else frames

    def count(self, size: int) -> None:
        self._connection.count(size)

    async def write(self, frames: bytes) -> None:
        await self._connection.send(*frames.split(engineio.SEPARATOR)[:-1])


def _packets(payload: bytes) -> bytes:
    return engineio.frames(payload.split(engineio.SEPARATOR)[:-1])
