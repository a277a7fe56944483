"""TLS on the connections of the TCP listener, between the socket's transport and the protocol that serves it.

Event loops have TLS of their own. This one is here because the hub counts a connection from the moment it is
accepted, sees how much a slow client has left unread, and can end its own side of a connection while the
client is still sending. It keeps no data: what is written is encrypted at once, so the limits of the socket's
transport apply.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from .silent import TCP, AcceptedConnections

HANDSHAKE_SECONDS = 10.0
READ_BYTES = 256 << 10

Data = bytes | bytearray | memoryview


class TlsConnection(asyncio.Protocol):
    """An accepted connection. It counts as silent until its handshake is done; `serve` then returns the
    protocol that serves it. `connections`: those that are closed when the server stops.

    A client whose handshake fails, or is not done after `handshake_seconds`, gets nothing but an alert."""

    handshake_seconds = HANDSHAKE_SECONDS

    def __init__(
        self,
        context: ssl.SSLContext,
        serve: Callable[[], Any],
        accepted: AcceptedConnections,
        connections: set[Any],
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._serve = serve
        self._accepted = accepted
        self._connections = connections
        self._raw: Any = None
        self._transport: TlsTransport | None = None
        self._is_full = False
        self.protocol: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = transport
        self._deadline = asyncio.get_running_loop().call_later(self.handshake_seconds, self.drop)
        self._connections.add(self)
        self._accepted.add(TCP, self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            self._stop_counting()
        else:
            self.protocol.connection_lost(exc)
            self._transport.forget()
        # what refers to each other would stay in memory until the next garbage collection
        self.protocol = self._transport = self._raw = None

    def drop(self) -> None:
        """End the connection now, before its handshake is done."""
        self._raw.abort()

    shutdown = drop

    def data_received(self, data: bytes) -> None:
        if self._transport is not None and self._transport.is_sealed:
            return
        self._incoming.write(data)
        if self._transport is None:
            self._shake_hands()
        if self._transport is not None:
            self._read(self._transport)

    def eof_received(self) -> None:
        """Let the transport close. The end without a `close_notify` may be an attacker's, but HTTP and
        WebSockets have ends of their own (RFC 9110, section 10.1; RFC 6455, section 7)."""

    def pause_writing(self) -> None:
        self._is_full = True
        if self.protocol is not None:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self._is_full = False
        if self.protocol is not None:
            self.protocol.resume_writing()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError:
            self._fail()
            return
        self._flush()
        self._stop_counting()
        self.protocol = self._serve()
        self._transport = TlsTransport(self, self._raw, self._tls, self._outgoing)
        self.protocol.connection_made(self._transport)

    def _stop_counting(self) -> None:
        self._deadline.cancel()
        self._connections.discard(self)
        self._accepted.remove(TCP, self)

    def _read(self, transport: TlsTransport) -> None:
        """Pass on all data that is complete. The size is limited by what the socket's transport reads."""
        pieces, has_ended = [], False
        try:
            while self._incoming.pending or self._tls.pending():
                pieces.append(self._tls.read(READ_BYTES))
                if has_ended := not pieces[-1]:  # the client's close_notify
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._fail()
            return
        self._flush()
        if data := pieces[0] if len(pieces) == 1 else b"".join(pieces):
            self.protocol.data_received(data)
        if has_ended and self.protocol is not None:
            self.protocol.eof_received()
            transport.close()

    def _flush(self) -> None:
        """Send what the protocol itself has to say. A client that does not read could demand more and more of
        that, such as new keys (RFC 8446, section 4.6.3), so it is dropped."""
        if self._outgoing.pending:
            if self._is_full:
                self._raw.abort()
            else:
                self._raw.write(self._outgoing.read())

    def _fail(self) -> None:
        self._flush()  # the alert
        if self._transport is not None:
            self._transport.is_sealed = True
        self._raw.close()


class TlsTransport(asyncio.Transport):
    """What the protocol of a connection writes to. It encrypts at once, and everything else is done by the
    socket's transport."""

    def __init__(
        self, connection: TlsConnection, raw: Any, tls: ssl.SSLObject, outgoing: ssl.MemoryBIO
    ) -> None:
        super().__init__()
        self._connection: TlsConnection | None = connection
        self._raw = raw
        self._tls = tls
        self._encrypt = tls.write
        self._encrypted = outgoing.read
        self.is_sealed = False  # the own close_notify was sent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._tls.context
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return bool(self._raw.is_closing())

    def abort(self) -> None:
        self._raw.abort()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def get_write_buffer_size(self) -> int:
        size: int = self._raw.get_write_buffer_size()
        return size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._connection is not None
        protocol: asyncio.BaseProtocol = self._connection.protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if self._connection is not None:
            self._connection.protocol = protocol

    def write(self, data: Data) -> None:
        if self.is_sealed or not data:
            return
        done = self._encrypt(data)
        while done < len(data):  # a call encrypts one record, of up to 16 KiB
            done += self._encrypt(memoryview(data)[done:])
        self._raw.write(self._encrypted())

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """End the own side of the connection, after what was written. What the client sends from now on is
        ignored."""
        self._seal()
        self._raw.write_eof()

    def close(self) -> None:
        if not self.is_closing():
            self._seal()
            self._raw.close()

    def forget(self) -> None:
        """Forget the connection, which is lost."""
        self.is_sealed = True
        self._connection = None

    def _seal(self) -> None:
        """Send the close_notify, unless it was sent."""
        if self.is_sealed:
            return
        self.is_sealed = True
        with suppress(ssl.SSLError):  # the client has not sent its own
            self._tls.unwrap()
        if data := self._encrypted():
            self._raw.write(data)
