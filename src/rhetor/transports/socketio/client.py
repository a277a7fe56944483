"""Socket.IO over one Engine.IO session: its packets, and the namespaces that the client is connected to."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rhetor.codec import socketio
from rhetor.codec.socketio import Decoder, Packet, PacketType
from rhetor.codec.typed_json import LARGE_BYTES
from rhetor.errors import Malformed

from .connection import EngineConnection


class SocketIoClient:
    """The packets of one client. A packet that the client must not send now ends the session."""

    def __init__(self, connection: EngineConnection) -> None:
        self.connection = connection
        self._decoder = Decoder(connection.max_payload)
        self._namespaces: set[str] = set()

    async def packets(self) -> AsyncIterator[Packet]:
        """Yield CONNECT, DISCONNECT and EVENT packets until the session is closed. Acknowledgements are
        ignored, because the server does not request any.

        Raises:
            Malformed: the client sent an invalid packet.
            TooLarge: the client sent a packet that is too large.
        """
        async for message in self.connection.messages():
            if isinstance(message, bytes) and not self._namespaces:  # nothing large is kept for strangers
                raise Malformed("a client that is not connected to a namespace must not send binary messages")
            packet = self._decoder.feed(message)
            if len(message) > LARGE_BYTES:
                await asyncio.sleep(0)  # other tasks run before the arguments are decoded
            if packet is None:
                continue
            is_connected = packet.namespace in self._namespaces
            if is_connected == (packet.type is PacketType.CONNECT):
                raise Malformed("the client is not connected to the namespace, or connects to it twice")
            if packet.type is PacketType.DISCONNECT:
                self._namespaces.discard(packet.namespace)
            if packet.type is not PacketType.ACK:
                yield packet

    async def accept(self, namespace: str, answer: dict[str, Any]) -> None:
        """Answer a CONNECT: the client is connected to the namespace."""
        self._namespaces.add(namespace)
        self.connection.is_established = True
        await self.connection.send(
            socketio.connected(namespace, {"sid": secrets.token_urlsafe(15), **answer})
        )

    async def refuse(self, namespace: str, reason: str, data: Any = None) -> None:
        """Answer a CONNECT: the client is not connected."""
        await self.connection.send(socketio.refused(namespace, reason, data))

    async def emit(self, namespace: str, name: str, *values: Any) -> None:
        """Send an event. `bytes` in the values are sent as attachments."""
        await self.connection.send(*socketio.packets(PacketType.EVENT, namespace, [name, *values]))

    async def acknowledge(self, packet: Packet, values: Sequence[Any]) -> None:
        """Answer an event, if the client requested it."""
        if packet.id is not None:
            await self.connection.send(*socketio.packets(PacketType.ACK, packet.namespace, values, packet.id))
