"""The listening sockets of the hub, and its server."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from rhetor.auth.addresses import is_loopback
from rhetor.auth.peer_process import held
from rhetor.errors import InvalidSettings, Malformed, RhetorError

from .certificate import Certificate
from .gate import Client
from .headers import SECURITY_HEADERS
from .http_protocol import BoundedProtocol
from .silent import TCP, AcceptedConnections
from .tls import TlsConnection

GRACE_SECONDS = 3
LOOK_SECONDS = 0.005  # between checks for the ends of connections, which nothing announces
EACH_SECOND = 0  # the tick in which uvicorn updates the Date header
# If the network to a client is cut, its connection ends at most this long after something was written to it
# (an event stream's heartbeat, every 15 s), or after as long a silence (tcp(7)).
UNACKNOWLEDGED_SECONDS = 20.0
PROBE_AFTER_SECONDS, PROBE_EVERY_SECONDS = 15, 5
FRAME_BYTES = 16 << 20
STDERR = 2
BACKLOG = 2048
UNKNOWN = -1  # the process id of a client in another PID namespace
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class OwnersProtocol(BoundedProtocol):
    """On the Unix socket, accepts only processes of the hub's own user (SO_PEERCRED). The gate decides when
    a process connects whether it is a program of a peer. `accepted`: all connections of the hub, among which
    this one is counted."""

    def __init__(self, *args: Any, accepted: AcceptedConnections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._accepted = accepted
        self._client = TCP

    def connection_made(self, transport: Any) -> None:
        client = Client()
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            pid, uid, _ = _CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            if uid != os.getuid():
                transport.abort()
            gate: Any = self.config.app
            with held(connection) as is_same:
                client = gate.connected(pid, is_same)
            self._client = pid or UNKNOWN
        self.app_state = {**self.app_state, "client": client}
        super().connection_made(transport)
        self._accepted.add(self._client, self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._accepted.remove(self._client, self)

    def drop(self) -> None:
        self.transport.abort()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._accepted.speak(self._client, self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.is_idle:
            self._accepted.fall_silent(self._client, self)

    def _should_upgrade_to_ws(self) -> bool:
        return True

    def handle_websocket_upgrade(self) -> None:
        """Load the WebSocket library for the first WebSocket, because the hub starts faster without it."""
        if error := _handshake_fault(self.scope["method"], dict(self.headers)):
            self._refuse(error)
            return
        from .websocket_protocol import SocketProtocol

        self.ws_protocol_class = SocketProtocol
        super().handle_websocket_upgrade()
        upgraded: Any = self.transport.get_protocol()
        # without a reference to this protocol, which is no longer needed
        upgraded.on_lost = partial(self._accepted.ended, self._client)


def _handshake_fault(method: str, headers: dict[bytes, bytes]) -> RhetorError | None:
    """Return the error in a request for a WebSocket (RFC 6455, section 4.2.1); None if there is none."""
    if method != "GET":
        return Malformed("a WebSocket must be requested with GET")
    if headers.get(b"sec-websocket-version") != b"13":
        return Malformed("Sec-WebSocket-Version must be 13")
    if not _KEY.fullmatch(headers.get(b"sec-websocket-key", b"")):
        return Malformed("Sec-WebSocket-Key must be 16 bytes in base64")
    return None


class HubServer(uvicorn.Server):
    """The hub's HTTP server. `listening` is called when the sockets accept connections, `closing` before the
    connections are closed. `certificate`: with which TCP has TLS; None if it has none."""

    def __init__(
        self,
        app: Any,
        listening: Callable[[], None],
        closing: Callable[[], Awaitable[None]],
        accepted: AcceptedConnections | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._accepted, self._certificate = accepted or AcceptedConnections(), certificate
        protocol: Any = partial(OwnersProtocol, accepted=self._accepted)
        self._ending = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                ws_max_size=FRAME_BYTES,
                ws_per_message_deflate=False,
                loop="uvloop",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=[(name.decode(), value.decode()) for name, value in SECURITY_HEADERS],
                timeout_keep_alive=30,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._listening = listening
        self._closing = closing

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop the server gracefully on SIGTERM or SIGINT, and at once on a second signal. uvicorn would
        raise the signal again at the end, which would end the process before the store is closed."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._told_to_end)
        try:
            yield
        finally:
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(signum)

    def _told_to_end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    @property
    def should_exit(self) -> bool:
        return self._ending.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._ending.set()
        else:
            self._ending.clear()

    async def main_loop(self) -> None:
        """Serve until the server is told to end. uvicorn would check for that ten times per second, so an
        idle hub would never sleep for long and would end late."""
        while not await self.on_tick(EACH_SECOND):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ending.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        with_tls = [each for each in sockets or () if self._certificate and each.family != socket.AF_UNIX]
        await super().startup([each for each in sockets or () if each not in with_tls])
        loop = asyncio.get_running_loop()
        for listener in with_tls:
            server = await loop.create_server(self._tls_connection, sock=listener, backlog=BACKLOG)
            self.servers.append(server)
        self._listening()

    def _tls_connection(self) -> TlsConnection:
        assert self._certificate is not None
        protocol: Any = self.config.http_protocol_class
        serve = partial(protocol, self.config, self.server_state, self.lifespan.state)
        connections: Any = self.server_state.connections
        return TlsConnection(self._certificate.context, serve, self._accepted, connections)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections, and wait up to `GRACE_SECONDS` seconds for their ends. uvicorn would sleep
        for 0.1 s first, and between its checks."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._closing()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._until_disconnected()
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()

    async def _until_disconnected(self) -> None:
        state = self.server_state
        while (state.connections or state.tasks) and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)

    def idle(self) -> bool:
        """Return whether no client is connected."""
        return not self.server_state.connections


@contextmanager
def on_hang_up(reload: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """While the context is open, call `reload` on SIGHUP, or `end` if the hub's terminal was closed."""
    had_terminal = os.isatty(STDERR)
    loop = asyncio.get_running_loop()

    def hung_up() -> None:
        if had_terminal and not os.isatty(STDERR):
            end()
        else:
            reload()

    loop.add_signal_handler(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def unix_listener(path: Path) -> socket.socket:
    """Return a listening socket that only its owner may connect to. The caller must hold the lock of the
    hub's home, so that a socket at `path` belongs to no running process."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def remove_socket(path: Path, own: os.stat_result) -> None:
    """Remove the socket if it is the own one. If the hub's home was deleted, another hub may listen there."""
    with suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), own):
            path.unlink()


def tcp_listener(
    host: str, port: int, *, or_any: bool, last: int | None = None, tls: bool = False
) -> socket.socket:
    """Return a listening socket. `or_any`: use a free port if `port` is in use. `last`: the port to prefer if
    it need not be `port`. `tls`: its connections will have TLS.

    Raises:
        InvalidSettings: other machines can reach the address and there is no TLS, or the port is in use.
    """
    require_protected(host, tls=tls)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:  # otherwise IPv4 clients would have two kinds of addresses
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    expect_acknowledgements(listener)
    try:
        preferred = [last] if last and (or_any or port == 0) else []
        _bind(listener, host, [*preferred, port, *([0] if or_any else [])])
    except OSError as error:
        listener.close()
        raise InvalidSettings(f"hub.port: {host}:{port}: {error.strerror}") from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def require_protected(host: str, *, tls: bool) -> None:
    """Check that the hub may listen on a host. It always requires a token.

    Raises:
        InvalidSettings: other machines can reach the host, and there is no TLS.
    """
    if not tls and not is_loopback(host):
        raise InvalidSettings(
            f"hub.host: {host} can be reached by other machines; "
            "set hub.tls_cert and hub.tls_key, or use 127.0.0.1"
        )


def expect_acknowledgements(connection: socket.socket) -> None:
    """Set the options that end dead connections, if the system has them. Connections inherit them from their
    listener."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_USER_TIMEOUT": round(UNACKNOWLEDGED_SECONDS * 1000),
        "TCP_KEEPIDLE": PROBE_AFTER_SECONDS,
        "TCP_KEEPINTVL": PROBE_EVERY_SECONDS,
    }
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bind(listener: socket.socket, host: str, ports: Sequence[int]) -> None:
    """Bind to the first of the ports that is free."""
    *earlier, last = ports
    for port in earlier:
        with suppress(OSError):
            return listener.bind((host, port))
    return listener.bind((host, last))


async def stop_when_idle(server: HubServer, busy: Callable[[], bool], seconds: float) -> None:
    """Stop the server after `seconds` without a connection or a running turn."""
    loop = asyncio.get_running_loop()
    last_request, since = 0, loop.time()
    while loop.time() - since < seconds:
        await asyncio.sleep(min(seconds / 4, 30.0))
        total = server.server_state.total_requests
        if busy() or not server.idle() or total != last_request:
            last_request, since = total, loop.time()
    server.should_exit = True
