"""A process with the hub's APIs and log, which reads from stdin how many events to commit to its one session.

    python -m bench.fanout_hub HOME [tls]

With `tls`, it serves TLS with a certificate that it makes. It first prints `PORT TOKEN SESSION`. For a line
`COUNT`, it commits that many events at once; for a line `COUNT RATE`, it commits RATE events per second. Each
event is a commit of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from rhetor.auth.addresses import Addresses
from rhetor.auth.logins import Logins
from rhetor.auth.tokens import TokenFile
from rhetor.domain.command import StartSession
from rhetor.domain.event import OutputDelta
from rhetor.domain.principal import Principal
from rhetor.home import Home
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.hub import Hub
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.routes import gated
from rhetor.serving import collect_seldom
from rhetor.settings import peers_of, read_settings
from rhetor.store.base import Draft
from rhetor.store.sqlite.store import SqliteStore
from rhetor.transports.server.certificate import Certificate, TlsFiles
from rhetor.transports.server.connections import Connections
from rhetor.transports.server.node import Node
from rhetor.transports.server.rates import Rates
from rhetor.transports.server.server import HubServer, tcp_listener
from rhetor.transports.server.websocket_protocol import SocketProtocol
from rhetor.transports.socketio import hub_endpoint
from rhetor.wiring import model_access

OWNER = "bench"
PROFILE = (1_000_000, 1_000_000)  # new connections per minute, and open ones: the benchmark reaches neither
TEXT = "x" * 20
STDIN = 0


async def _serve(home: Home, certificate: Certificate | None) -> None:
    with tcp_listener("127.0.0.1", 0, or_any=True) as tcp:
        async with _open(home) as hub:
            port, tokens = tcp.getsockname()[1], TokenFile(home.folder / "token")
            token = (home.folder / "token").read_text().strip()
            session = await hub.execute(Principal.person(OWNER), StartSession("apollo"))
            app = gated(_node(home, hub, port), tokens)
            listening = lambda: _say(f"{port} {token} {session.id}")  # noqa: E731
            server = HubServer(app, listening, hub.aclose, certificate=certificate)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(sockets=[tcp]), name="server")
                await _obey(hub, session.id)
                server.should_exit = True


def _certificate(home: Home) -> Certificate:
    from rhetor.certificates import Files, create

    files = Files(home.folder / "tls")
    create(files, [])
    return Certificate(TlsFiles(files.certificate, files.key))


@asynccontextmanager
async def _open(home: Home) -> AsyncIterator[Hub]:
    settings = read_settings(None)
    store = await SqliteStore.open(home.folder / "hub.db", clock=wall_clock)
    try:
        async with open_hub(store, Peers(peers_of(settings), settings.teams), {}) as hub:
            yield hub
    finally:
        await store.aclose()


def _node(home: Home, hub: Hub, port: int) -> Node:
    access = model_access(read_settings(None), {})
    node = Node(hub, access, Logins(), "", str(home.folder), OWNER, wall_clock(), False, lambda: None)
    node.connections = Connections(*PROFILE)
    node.rates = Rates(per_second=1e9, burst=1_000_000)
    node.byte_rates.per_second = 1_000_000_000_000
    node.addresses = Addresses(port, "bench.localhost", [], [])
    return node


async def _obey(hub: Hub, stream: str) -> None:
    """Commit events for each line on stdin, until stdin is closed.

    Lines are read directly, because there is one for each event, and reading them is not part of the hub's
    work. Each is written at once, so a read returns whole lines.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:

        def told() -> None:
            lines = os.read(STDIN, 4096).splitlines()
            if not lines:
                loop.remove_reader(STDIN)
                ended.set()
            for line in lines:
                tasks.create_task(_many(hub, stream, *map(int, line.split())), name="commits")

        loop.add_reader(STDIN, told)
        await ended.wait()


async def _many(hub: Hub, stream: str, count: int, rate: int = 0) -> None:
    if count == 1:
        await _commit(hub, stream)
        return
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        began = loop.time()
        for n in range(count):
            if rate and (early := began + n / rate - loop.time()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(_commit(hub, stream), name="commit")


async def _commit(hub: Hub, stream: str) -> None:
    await hub.state.store.commit(stream, [_draft()])


def _draft() -> Draft:
    """Return an event with a timestamp. In its frame, it is about as long as the events of Node's server."""
    return Draft(OutputDelta(f"|{time.perf_counter_ns():020d}|{TEXT}"), "t_bench")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    SocketProtocol.ping_seconds = 3600.0  # the followers do not answer pings
    hub_endpoint.TIMING = hub_endpoint.TIMING._replace(ping_interval=3600.0)
    found = Home(Path(sys.argv[1]), {})
    found.prepare()
    served = _certificate(found) if sys.argv[2:] == ["tls"] else None
    collect_seldom()
    uvloop.run(_serve(found, served))
