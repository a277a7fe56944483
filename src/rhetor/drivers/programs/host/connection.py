"""One connection to a host: checks that it is the right host, and exchanges frames with it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from struct import Struct
from typing import Protocol

from rhetor.codec import host_frames as frames
from rhetor.codec.host_frames import Frame, FrameBroken

from .failures import HostRefused, HostSilent, StdinClosed
from .folder import start_time
from .spec import HostIdentity

_LENGTH = Struct(">I")
ANSWER_SECONDS = 5.0  # for a host to answer: it needs milliseconds, more on a busy machine
FULL_SECONDS = 0.5  # between two attempts to connect to a host that does not accept connections
_CREDENTIALS = Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_REASONS = {
    frames.WRONG_NONCE: "the nonce is wrong",
    frames.AHEAD: "the offset is beyond the end of the output",
    frames.BAD_REQUEST: "the request is invalid",
    frames.NO_TERMINAL: "the program runs on pipes, not in a terminal",
    frames.CANNOT_SEAL: "the package that seals the output cannot be loaded",
    frames.TURN_LOST: "the rest of the write came too late",
}


@asynccontextmanager
async def answering(host_id: str, seconds: float | None = ANSWER_SECONDS) -> AsyncIterator[None]:
    """Limit the time of requests to a host. None means without limit.

    Raises:
        HostSilent: the time is up.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise HostSilent(host_id) from None


class AlreadyEnded(Exception):
    """The host has rejected a request because the program has ended."""


class Stream(Protocol):
    """A byte stream in both directions. Methods raise ConnectionError or EOFError if the other side is
    gone."""

    @property
    def is_usable(self) -> bool:
        """False if the stream is known to be over."""
        ...

    async def readexactly(self, count: int) -> bytes: ...

    async def write(self, data: bytes) -> None:
        """Write the data, and wait until more may be written."""
        ...

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


class SocketStream:
    """The stream of a host's socket on this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def is_usable(self) -> bool:
        return not self.writer.is_closing()

    async def readexactly(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    async def aclose(self) -> None:
        if self.writer.transport.get_write_buffer_size():
            self.writer.transport.abort()  # the host does not read, so the rest would never be sent
        self.writer.close()
        with suppress(OSError):
            # shielded: if this call is cancelled, a later one must not find its future cancelled
            await asyncio.shield(self.writer.wait_closed())


class HostConnection:
    """Exchanges frames with a host. Answers come in the order of the requests.

    Every method raises ConnectionError or EOFError if the host is gone, and FrameBroken if it sends anything
    but valid frames.
    """

    def __init__(self, stream: Stream, host_id: str) -> None:
        self.stream = stream
        self._host_id = host_id

    @classmethod
    async def open(
        cls, identity: HostIdentity, *, hub: bool = False, seconds: float | None = ANSWER_SECONDS
    ) -> HostConnection:
        """Connect and authenticate. With `hub`, the host keeps running as long as the connection is open.
        `seconds`: how long to wait for the host; None means without limit.

        Raises:
            ConnectionError: no process listens on the socket, or a process that is not this host.
            HostRefused: the nonce is wrong.
            HostSilent: the host does not answer in time.
        """
        async with answering(identity.host_id, seconds):
            return await cls._open(identity, hub)

    @classmethod
    async def _open(cls, identity: HostIdentity, hub: bool) -> HostConnection:
        try:
            reader, writer = await _connected(identity.socket)
        except OSError as error:
            raise ConnectionError(str(error)) from error
        connection = cls(SocketStream(reader, writer), identity.host_id)
        try:
            # checked before the nonce is sent, because another process may listen there now
            _check_peer(writer, identity)
            await connection.ask(frames.HELLO, frames.pack_hello(identity.nonce, hub=hub))
        except BaseException:  # also if the caller is cancelled
            connection.close()
            raise
        return connection

    async def ask(self, kind: int, body: bytes = b"") -> bytes:
        """Send a request and wait for its answer.

        Raises:
            AlreadyEnded, StdinClosed, HostRefused: the host has rejected the request.
        """
        await self.send(kind, body)
        return (await self.receive())[1]

    async def send(self, kind: int, body: bytes = b"") -> None:
        await self.stream.write(frames.frame(kind, body))

    async def receive(self) -> Frame:
        """Return the next frame.

        Raises:
            AlreadyEnded, StdinClosed, HostRefused: the frame says that the request was rejected.
        """
        (length,) = _LENGTH.unpack(await self.stream.readexactly(_LENGTH.size))
        if not 0 < length <= frames.MAX_FRAME_BYTES:
            raise FrameBroken(f"a frame of {length} bytes")
        data = await self.stream.readexactly(length)
        if data[0] == frames.FAILED:
            raise self._refusal(frames.unpack_number(data[1:]))
        return data[0], data[1:]

    def _refusal(self, reason: int) -> Exception:
        if reason == frames.PROGRAM_OVER:
            return AlreadyEnded()
        if reason == frames.STDIN_CLOSED:
            return StdinClosed(self._host_id)
        return HostRefused(self._host_id, _REASONS.get(reason, "the reason is unknown"))

    def close(self) -> None:
        self.stream.close()

    async def aclose(self) -> None:
        await self.stream.aclose()


def _check_peer(writer: asyncio.StreamWriter, identity: HostIdentity) -> None:
    pid = _peer(writer)
    if pid != identity.host_pid or start_time(pid) != identity.host_start:
        raise ConnectionError(f"another process listens on {identity.socket}")


async def _connected(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a socket. If its queue is full, because the host does not accept connections, try again."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=1 << 17)
            if _peer(writer):
                return reader, writer
            writer.close()  # asyncio's own loop takes a full queue for a connection
        except BlockingIOError:  # uvloop
            pass
        await asyncio.sleep(FULL_SECONDS)


def _peer(writer: asyncio.StreamWriter) -> int:
    """Return the process id of the other side; 0 if there is none."""
    connected: socket.socket = writer.get_extra_info("socket")
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[0])
