"""One end of the link between a hub and a machine: channels over connections that may be lost and replaced.

Both ends use it. It knows neither what a channel is for nor how a connection is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from rhetor import background
from rhetor.codec import machine_link as codec
from rhetor.codec.machine_link import LinkBroken, Message
from rhetor.drivers.base import LinkSocket

HEARTBEAT_SECONDS = 2.0
SILENT_SECONDS = 10.0  # without a message, after which a connection counts as lost
MOST_CHANNELS = 4096
MOST_REQUEST_BYTES = 1 << 22


class LinkReset(ConnectionError):
    """The process at the other end is another one than before. All channels are gone, and it is not known
    which of the last messages arrived."""


class ChannelRefused(Exception):
    """The other end has rejected a request. `error`: what it said."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("detail", "")))
        self.error = error


class LinkSilent(ConnectionError):
    """The other end has sent nothing for too long."""


class Channel:
    """A byte stream in both directions. What its reader leaves unread makes the writer wait."""

    def __init__(self, session: Session, number: int) -> None:
        self.number = number
        self._session = session
        self._data = bytearray()
        self._changed = asyncio.Event()
        self._credit = codec.WINDOW_BYTES
        self._unreported = 0
        self._is_over = False  # the other side sends no more
        self._is_closed = False
        self._fault: Exception | None = None
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    @property
    def is_usable(self) -> bool:
        return self._fault is None and not self._is_over and not self._is_closed

    async def read(self, most: int) -> bytes:
        """Return 1 to `most` bytes; none at the end.

        Raises:
            LinkReset: the channel is gone.
        """
        while not self._data:
            if self._fault is not None:
                raise self._fault
            if self._is_over or self._is_closed:
                return b""
            self._changed.clear()
            await self._changed.wait()
        return self._taken(min(most, len(self._data)))

    async def readexactly(self, count: int) -> bytes:
        """Return so many bytes.

        Raises:
            asyncio.IncompleteReadError: the stream has ended.
            LinkReset: the channel is gone.
        """
        parts: list[bytes] = []
        left = count
        while left:
            part = await self.read(left)
            if not part:
                raise asyncio.IncompleteReadError(b"".join(parts), count)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Send data, and wait until all of it is kept for the other side.

        Raises:
            LinkReset: the channel is gone.
            ConnectionError: the other side has closed it.
        """
        view = memoryview(data)
        while view:
            await self._room()
            piece = view[: min(self._credit, codec.MOST_DATA_BYTES)]
            self._credit -= len(piece)
            self._session.put(codec.DATA, self.number, bytes(piece))
            view = view[len(piece) :]

    async def _room(self) -> None:
        while True:
            if self._fault is not None:
                raise self._fault
            if self._is_closed or self._is_over:
                raise ConnectionError("the channel is closed")
            if self._credit and self._session.has_room:
                return
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """End the channel in both directions. What was written before is still sent."""
        if not self._is_closed:
            self._is_closed = True
            if self._fault is None:
                self._session.put(codec.END, self.number)
            self._session.forget(self, over=self._is_over)
            self._changed.set()

    async def aclose(self) -> None:
        self.close()

    def take(self, message: Message) -> None:
        """Take a message of the channel."""
        match message.kind:
            case codec.DATA:
                self._data += message.body
                if len(self._data) > codec.WINDOW_BYTES:
                    raise LinkBroken("a channel sent more than it may")
            case codec.CREDIT:
                self._credit += codec.unpack_credit(message.body)
            case codec.END:
                self._is_over = True
                if self._is_closed:
                    self._session.forget(self, over=True)
            case codec.OPENED if not self.answer.done():
                self.answer.set_result(_json(message.body))
            case codec.REFUSED if not self.answer.done():
                self._is_over = self._is_closed = True
                self._session.forget(self, over=True)
                self.answer.set_exception(ChannelRefused(_json(message.body)))
                self.answer.exception()  # the caller may have given up
        self._changed.set()

    def fail(self, fault: Exception) -> None:
        """End the channel with an error, which its users get."""
        self._fault = self._fault or fault
        if not self.answer.done():
            self.answer.set_exception(fault)
            self.answer.exception()
        self._changed.set()

    def wake(self) -> None:
        """Let a writer look again whether there is room."""
        self._changed.set()

    def _taken(self, count: int) -> bytes:
        data = bytes(self._data[:count])
        del self._data[:count]
        self._unreported += count
        if self._unreported >= codec.WINDOW_BYTES // 4 and not self._is_closed and self._fault is None:
            self._session.put(codec.CREDIT, self.number, codec.pack_credit(self._unreported))
            self._unreported = 0
        return data


class Session:
    """What both ends know of each other over several connections.

    `opened` is called with each channel that the other end opens, and its request; `noted` with each note.
    """

    def __init__(
        self,
        opened: Callable[[Channel, dict[str, Any]], None] | None = None,
        noted: Callable[[dict[str, Any]], None] = lambda note: None,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        silent: float = SILENT_SECONDS,
    ) -> None:
        self._opened = opened
        self._noted = noted
        self._heartbeat = heartbeat
        self._silent = silent
        self._outbox = codec.Outbox()
        self._inbox = codec.Inbox()
        self._channels: dict[int, Channel] = {}
        self._last_channel = 0
        self._waiting = asyncio.Event()  # something is to be sent
        self.heard_at = 0.0  # when the last message arrived, on the loop's clock
        self._fault: LinkReset | None = None

    @property
    def received(self) -> int:
        """The number of the last message that was received."""
        return self._inbox.last

    @property
    def has_room(self) -> bool:
        return self._outbox.size < codec.MOST_UNACKNOWLEDGED_BYTES

    def continues_after(self, number: int) -> bool:
        """Return whether all messages after this number can still be sent."""
        return self._fault is None and self._outbox.has_after(number)

    async def open(self, request: dict[str, Any]) -> tuple[Channel, dict[str, Any]]:
        """Open a channel, and return it with the other end's answer.

        Raises:
            ChannelRefused: the other end has rejected the request.
            LinkReset: the other end is another process by now.
        """
        if self._fault is not None:
            raise self._fault
        self._last_channel += 1
        channel = self._channels[self._last_channel] = Channel(self, self._last_channel)
        self.put(codec.OPEN, channel.number, msgspec.json.encode(request))
        try:
            return channel, await asyncio.shield(channel.answer)
        except BaseException:  # also if the caller is cancelled
            channel.close()
            raise

    def accept(self, channel: Channel, answer: dict[str, Any]) -> None:
        """Accept a channel that the other end has opened."""
        self.put(codec.OPENED, channel.number, msgspec.json.encode(answer))

    def refuse(self, channel: Channel, error: dict[str, Any]) -> None:
        """Reject a channel that the other end has opened."""
        self.put(codec.REFUSED, channel.number, msgspec.json.encode(error))
        self._channels.pop(channel.number, None)
        channel.fail(ConnectionError("rejected"))

    def note(self, note: dict[str, Any]) -> None:
        """Send a note, which has no answer."""
        self.put(codec.NOTE, 0, msgspec.json.encode(note))

    def put(self, kind: int, channel: int, body: bytes = b"") -> None:
        if self._fault is None:
            self._outbox.add(kind, channel, body)
            self._waiting.set()

    def forget(self, channel: Channel, *, over: bool) -> None:
        """Forget a channel that was closed, if the other end has closed it too."""
        if over and self._channels.get(channel.number) is channel:
            del self._channels[channel.number]

    def reset(self, reason: str) -> None:
        """End the session and all its channels."""
        self._fault = self._fault or LinkReset(reason)
        for channel in list(self._channels.values()):
            channel.fail(self._fault)
        self._channels.clear()

    async def run(self, socket: LinkSocket, received: int) -> None:
        """Exchange messages over a connection until it is closed. `received`: the number of the last message
        that the other end has received.

        Raises:
            LinkBroken: the other end does not follow the protocol.
            ConnectionError: the connection was lost.
        """
        self._outbox.acknowledge(received)
        self._wake_writers()
        writing = asyncio.create_task(self._write(socket, received + 1), name="write to the link")
        try:
            await self._read(socket, writing)
        finally:
            await background.stop(writing)

    async def _read(self, socket: LinkSocket, writing: asyncio.Task[None]) -> None:
        while not writing.done():
            try:
                async with asyncio.timeout(self._silent):
                    data = await socket.receive()
            except TimeoutError:
                raise LinkSilent(f"it has sent nothing for {self._silent:g} s") from None
            if data is None:
                return
            self.heard_at = asyncio.get_running_loop().time()
            self._take(codec.unpacked(data))
        raise ConnectionError("nothing can be sent")

    async def _write(self, socket: LinkSocket, at: int) -> None:
        try:
            while True:
                self._waiting.clear()
                while (data := self._outbox.get(at)) is not None:
                    await socket.send(data)
                    at += 1
                await socket.send(codec.packed(Message(codec.ACK, self._inbox.last, 0, b"")))
                try:
                    async with asyncio.timeout(self._heartbeat):
                        await self._waiting.wait()
                except TimeoutError:
                    pass  # the acknowledgement is the heartbeat, too
        except ConnectionError:
            pass  # the reader finds out why

    def _take(self, message: Message) -> None:
        if message.kind == codec.ACK:
            self._outbox.acknowledge(message.number)
            self._wake_writers()
            return
        if not self._inbox.take(message.number):
            return
        self._waiting.set()  # it is to be acknowledged
        if message.kind == codec.NOTE:
            self._noted(_json(message.body))
        elif message.kind == codec.OPEN:
            self._open(message)
        elif (channel := self._channels.get(message.channel)) is not None:
            channel.take(message)

    def _open(self, message: Message) -> None:
        if (
            self._opened is None
            or message.channel in self._channels
            or len(message.body) > MOST_REQUEST_BYTES
        ):
            raise LinkBroken("a channel that may not be opened")
        channel = Channel(self, message.channel)
        if len(self._channels) >= MOST_CHANNELS:
            self.refuse(channel, {"code": "too_many", "detail": "too many channels are open"})
            return
        self._channels[message.channel] = channel
        self._opened(channel, _json(message.body))

    def _wake_writers(self) -> None:
        if self.has_room:
            for channel in list(self._channels.values()):
                channel.wake()


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise LinkBroken("a message is not JSON") from error
    if not isinstance(found, dict):
        raise LinkBroken("a message is not a JSON object")
    return found
