"""A hub behind its real doors: sockets, gate, routes; with scripted peers and a store of one's choice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from rhetor.app import locked, routes
from rhetor.auth.addresses import Addresses
from rhetor.auth.logins import Logins
from rhetor.domain.peer import Peer
from rhetor.drivers.base import Driver
from rhetor.hub.hub import Hub, open_hub
from rhetor.hub.peers import Peers
from rhetor.hub.state import Limits
from rhetor.store.base import Store
from rhetor.store.memory import MemoryStore
from rhetor.transports.node import Node
from rhetor.transports.server import HubServer, tcp_listener, unix_listener
from tests.scripted import PEERS, ScriptedDriver

TOKEN = "f" * 64
CONSOLE = "c0ffee.localhost"


class KnownProviders:
    """A node that has a provider, so that no notice is given."""

    fingerprint = "none"

    def __init__(self) -> None:
        self.taken: list[Mapping[str, str]] = []

    def take_over(self, variables: Mapping[str, str]) -> None:
        self.taken.append(variables)
        self.fingerprint = "theirs"

    async def describe(self) -> dict[str, Any]:
        return {"name": "scripted", "model": "scripted"}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Served:
    hub: Hub
    node: Node
    driver: ScriptedDriver
    socket: Path
    port: int
    local: aiohttp.ClientSession
    remote: aiohttp.ClientSession

    async def ask(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        """Over the owner's Unix socket."""
        async with self.local.request(method, f"http://localhost{path}", json=json, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def ask_tcp(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Over TCP, with no credentials but those in `headers`."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.remote.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response.status, response.headers, await response.text())

    async def frames(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """The data of each frame of an event stream, without end."""
        headers = {"accept": "text/event-stream", **(headers or {})}
        async with self.local.get(f"http://localhost{path}", headers=headers) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])


@asynccontextmanager
async def served(
    folder: Path,
    *scripts: Any,
    store: Store | None = None,
    limits: Limits | None = None,
    by_itself: bool = False,
    drivers: Mapping[str, Driver] | None = None,
    also: Sequence[Peer] = (),
) -> AsyncIterator[Served]:
    driver = ScriptedDriver(*scripts)
    store = store or MemoryStore(clock=lambda: 1_700_000_000_000)
    peers = Peers([*PEERS, *also], {"reviewers": ("apollo", "athena")})
    async with open_hub(store, peers, {"scripted": driver, **(drivers or {})}, limits=limits) as hub:
        node = Node(hub, KnownProviders(), Logins(), "0", str(folder), "me", 0, by_itself, lambda: None)
        with unix_listener(folder / "hub.sock") as unix, tcp_listener("127.0.0.1", 0, or_any=False) as tcp:
            port = tcp.getsockname()[1]
            node.addresses = Addresses(port, CONSOLE)
            node.url, node.console = f"http://127.0.0.1:{port}", f"http://{CONSOLE}:{port}"
            listening = asyncio.Event()
            server = HubServer(locked(routes(node), node, TOKEN), listening.set, hub.aclose)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve([unix, tcp]))
                await listening.wait()
                connector = aiohttp.UnixConnector(str(folder / "hub.sock"), limit=0)
                async with (
                    aiohttp.ClientSession(connector=connector) as local,
                    aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as remote,
                    asyncio.timeout(30),
                ):
                    yield Served(hub, node, driver, folder / "hub.sock", port, local, remote)
                server.should_exit = True
