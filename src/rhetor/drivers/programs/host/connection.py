"""One connection to a host: checks that it is the right host, and exchanges frames with it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from struct import Struct

from rhetor.codec import host_frames as frames
from rhetor.codec.host_frames import Frame, FrameBroken

from .failures import HostRefused, StdinClosed
from .folder import start_time
from .spec import HostIdentity

_LENGTH = Struct(">I")
_CREDENTIALS = Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_REASONS = {
    frames.WRONG_NONCE: "the nonce is wrong",
    frames.AHEAD: "the offset is beyond the end of the output",
    frames.BAD_REQUEST: "the request is invalid",
    frames.NO_TERMINAL: "the program runs on pipes, not in a terminal",
    frames.TURN_LOST: "the rest of the write came too late",
}


class AlreadyEnded(Exception):
    """The host has rejected a request because the program has ended."""


class HostConnection:
    """Exchanges frames with a host. Answers come in the order of the requests.

    Every method raises ConnectionError or EOFError if the host is gone, and FrameBroken if it sends anything
    but valid frames.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: HostIdentity
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._identity = identity

    @classmethod
    async def open(cls, identity: HostIdentity, *, hub: bool = False) -> HostConnection:
        """Connect and authenticate. With `hub`, the host keeps running as long as the connection is open.

        Raises:
            ConnectionError: no process listens on the socket, or a process that is not this host.
            HostRefused: the nonce is wrong.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(identity.socket, limit=1 << 17)
        except OSError as error:
            raise ConnectionError(str(error)) from error
        connection = cls(reader, writer, identity)
        try:
            # checked before the nonce is sent, because another process may listen there now
            connection._check_peer()
            await connection.ask(frames.HELLO, frames.pack_hello(identity.nonce, hub=hub))
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_peer(self) -> None:
        peer: socket.socket = self._writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid = _CREDENTIALS.unpack(credentials)[0]
        ours = self._identity
        if pid != ours.host_pid or start_time(pid) != ours.host_start:
            raise ConnectionError(f"another process listens on {ours.socket}")

    async def ask(self, kind: int, body: bytes = b"") -> bytes:
        """Send a request and wait for its answer.

        Raises:
            AlreadyEnded, StdinClosed, HostRefused: the host has rejected the request.
        """
        await self.send(kind, body)
        return (await self.receive())[1]

    async def send(self, kind: int, body: bytes = b"") -> None:
        self._writer.write(frames.frame(kind, body))
        await self._writer.drain()

    async def receive(self) -> Frame:
        """Return the next frame.

        Raises:
            AlreadyEnded, StdinClosed, HostRefused: the frame says that the request was rejected.
        """
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        if not 0 < length <= frames.MAX_FRAME_BYTES:
            raise FrameBroken(f"a frame of {length} bytes")
        data = await self._reader.readexactly(length)
        if data[0] == frames.FAILED:
            raise self._refusal(frames.unpack_number(data[1:]))
        return data[0], data[1:]

    def _refusal(self, reason: int) -> Exception:
        if reason == frames.PROGRAM_OVER:
            return AlreadyEnded()
        if reason == frames.STDIN_CLOSED:
            return StdinClosed(self._identity.host_id)
        return HostRefused(self._identity.host_id, _REASONS.get(reason, "the reason is unknown"))

    def close(self) -> None:
        self._writer.close()

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
