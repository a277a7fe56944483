"""One connection to a host: that it is the right one, and frames both ways."""

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
    frames.WRONG_NONCE: "the nonce is not its own",
    frames.AHEAD: "the offset is beyond what the program wrote",
    frames.BAD_REQUEST: "the request makes no sense",
    frames.NO_TERMINAL: "the program runs on pipes",
    frames.TURN_LOST: "the rest of the write came too late",
}


class AlreadyEnded(Exception):
    """The host says that the program has ended."""


class HostConnection:
    """Frames to and from a host. Answers come in the order of the requests.

    Every method raises ConnectionError or EOFError if the host is gone, and FrameBroken if it sends something
    else than frames.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: HostIdentity
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._identity = identity

    @classmethod
    async def open(cls, identity: HostIdentity, *, hub: bool = False) -> HostConnection:
        """Connect and be let in. `hub`: the host counts this connection as its hub's.

        Raises:
            ConnectionError: nobody listens, or another process than this host.
            HostRefused: it does not know the nonce.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(identity.socket, limit=1 << 17)
        except OSError as error:
            raise ConnectionError(str(error)) from error
        connection = cls(reader, writer, identity)
        try:
            # before the nonce is told: a foreign process may listen there now
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
            raise ConnectionError(f"another process listens at {ours.socket}")

    async def ask(self, kind: int, body: bytes = b"") -> bytes:
        """Send a request and wait for its answer.

        Raises:
            AlreadyEnded, StdinClosed, HostRefused: what the host answered.
        """
        await self.send(kind, body)
        return (await self.receive())[1]

    async def send(self, kind: int, body: bytes = b"") -> None:
        self._writer.write(frames.frame(kind, body))
        await self._writer.drain()

    async def receive(self) -> Frame:
        """The next frame.

        Raises:
            AlreadyEnded, StdinClosed, HostRefused: it is a refusal.
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
        return HostRefused(self._identity.host_id, _REASONS.get(reason, "for no known reason"))

    def close(self) -> None:
        self._writer.close()

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
