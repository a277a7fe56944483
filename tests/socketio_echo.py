"""`python -m tests.socketio_echo --port N`: a plain application on the hub's codec and transport of Engine.IO
and Socket.IO, without authentication. The protocols' own test suites run against it.

`/engine.io/` returns each message as it came. `/socket.io/` has the namespaces `/` and `/custom`: it sends
`auth` with the client's payload, answers `message` with `message-back`, and acknowledges `message-with-ack`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import NamedTuple

import msgspec
import uvloop
from starlette.types import Receive, Scope, Send

from rhetor.codec import engineio
from rhetor.codec.engineio import Timing
from rhetor.codec.socketio import Packet, PacketType
from rhetor.errors import InvalidSettings, NotFound, RhetorError
from rhetor.hub.core.background import Background
from rhetor.transports.server import problems
from rhetor.transports.server.counters import Tally
from rhetor.transports.server.disconnect import CallerGone
from rhetor.transports.server.flow import EXTENSION
from rhetor.transports.server.server import HubServer, tcp_listener
from rhetor.transports.socketio.client import SocketIoClient
from rhetor.transports.socketio.connection import EngineConnection, Origin
from rhetor.transports.socketio.endpoint import EngineEndpoint, Serve

TIMING = Timing(ping_interval=0.3, ping_timeout=0.2, max_payload=1_000_000)
NAMESPACES = ("/", "/custom")
GAP_SECONDS = 0.06


async def echo_messages(connection: EngineConnection) -> None:
    connection.is_established = True
    async for message in connection.messages():
        await connection.send(engineio.message(message))


async def echo_events(connection: EngineConnection) -> None:
    client = SocketIoClient(connection)
    async for packet in client.packets():
        if packet.type is PacketType.CONNECT:
            await _connect(client, packet)
        elif packet.type is PacketType.EVENT:
            await _echo(client, packet)


async def _connect(client: SocketIoClient, packet: Packet) -> None:
    if packet.namespace not in NAMESPACES:
        await client.refuse(packet.namespace, "Invalid namespace")
        return
    await client.accept(packet.namespace, {})
    # the protocol's suite waits for one message after the other, and would miss one of two that its client
    # reads at once
    await asyncio.sleep(GAP_SECONDS)
    auth = {} if packet.auth is None else msgspec.json.decode(packet.auth)
    await client.emit(packet.namespace, "auth", auth)


async def _echo(client: SocketIoClient, packet: Packet) -> None:
    name, *values = packet.values()
    if name == "message":
        await client.emit(packet.namespace, "message-back", *values)
    elif name == "message-with-ack":
        await client.acknowledge(packet, values)


class EchoApp:
    """Both endpoints, as an ASGI app."""

    def __init__(self, background: Background, timing: Timing) -> None:
        def endpoint(serve: Serve) -> EngineEndpoint:
            return EngineEndpoint(serve, timing, start=background.start, identify=_anyone, tally=Tally())

        self._endpoints = {"/engine.io/": endpoint(echo_messages), "/socket.io/": endpoint(echo_events)}

    async def aclose(self) -> None:
        for endpoint in self._endpoints.values():
            endpoint.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in self._endpoints:
                raise NotFound("route", scope["path"])
            await self._endpoints[scope["path"]](scope, receive, send)
        except RhetorError as error:
            if scope["type"] == "http":
                scope["extensions"][EXTENSION].answering(scope)
            await problems.refuse(error, scope, receive, send)
        except CallerGone:
            pass
        finally:
            if scope["type"] == "http":
                del scope["extensions"][EXTENSION]


async def _anyone(scope: Scope) -> Origin:
    return Origin()


class Echoing(NamedTuple):
    """The running application. `serving` ends when it is stopped, for example by SIGTERM."""

    port: int
    serving: asyncio.Task[None]


@asynccontextmanager
async def echoing(port: int = 0, timing: Timing = TIMING) -> AsyncIterator[Echoing]:
    """Serve the application on loopback while the context is open."""
    listening = asyncio.Event()
    with ExitStack() as stack:
        listener = stack.enter_context(tcp_listener("127.0.0.1", port, or_any=False))
        listeners, found = [listener], int(listener.getsockname()[1])
        with suppress(OSError, InvalidSettings):  # on a machine without IPv6
            listeners.append(stack.enter_context(tcp_listener("::1", found, or_any=False)))
        async with Background() as background:
            app = EchoApp(background, timing)
            server = HubServer(app, listening.set, app.aclose)
            serving = asyncio.create_task(server.serve(listeners), name="server")
            await listening.wait()
            try:
                yield Echoing(found, serving)
            finally:
                server.should_exit = True
                await serving


async def _main(port: int) -> None:
    async with echoing(port) as echo:
        sys.stdout.write(f"listening on http://127.0.0.1:{echo.port}\n")
        sys.stdout.flush()
        await asyncio.wait([echo.serving])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_main(parser.parse_args().port))
