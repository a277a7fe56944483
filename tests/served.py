"""A hub with its real sockets, gate and routes, scripted peers, and a store that the test chooses."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from rhetor.app import TRANSCRIPTS
from rhetor.auth.addresses import Addresses
from rhetor.auth.issuers import Issuers
from rhetor.auth.logins import Logins
from rhetor.auth.tokens import TokenFile
from rhetor.domain.budget import Budget
from rhetor.domain.event import Payload, Position
from rhetor.domain.given import GivenConversation
from rhetor.domain.peer import Peer
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.base import Driver, ProgramDriver, Sender
from rhetor.drivers.models.documents import document
from rhetor.drivers.models.given.tokens import TokenCount, estimated
from rhetor.drivers.programs.driver import Programs, on_pipes
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.drivers.programs.terminal.program import TerminalProgram
from rhetor.drivers.programs.terminal.shells import MarkedShells
from rhetor.errors import UnknownModel
from rhetor.hub.core.limits import Limits
from rhetor.hub.core.nodes import Nodes
from rhetor.hub.hub import Hub
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.routes import gated
from rhetor.sealing.ring import Ring
from rhetor.settings import Settings, ToolSettings, peers_of
from rhetor.store.base import SharedRows, Store, follow
from rhetor.store.blobs import FileBlobs
from rhetor.store.files.on_demand import FilesOnDemand
from rhetor.store.memory import MemoryStore
from rhetor.tool_catalog import ConfiguredPrograms
from rhetor.transports.server.certificate import Certificate
from rhetor.transports.server.connections import Connections
from rhetor.transports.server.node import Node
from rhetor.transports.server.server import HubServer, tcp_listener, unix_listener
from rhetor.transports.server.silent import AcceptedConnections
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.scripted import PEERS, ScriptedDriver

TOKEN = "f" * 64
CONSOLE = "c0ffee.localhost"
SECONDS = 60.0  # a limit for hanging tests, which a busy machine does not reach
MANY = (1_000_000, 1_000_000)  # connections per minute and at once, for tests that do not test these limits
# the complete environment of a test program
PROGRAM_ENVIRONMENT = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "HOME": "/"}


class KnownProviders:
    """A node with a provider, so that there is no notice about a missing one."""

    fingerprint = "none"

    def __init__(self) -> None:
        self.taken: list[Mapping[str, str]] = []

    def take_over(self, variables: Mapping[str, str]) -> None:
        self.taken.append(variables)
        self.fingerprint = "theirs"

    async def require_model(self, ref: str) -> None:
        """Accept every model except those of `nobody`."""
        if ref.startswith("nobody/"):
            raise UnknownModel("there is no provider named 'nobody'", model=ref, hint="providers: openai")

    model = ""
    findings: Sequence[dict[str, Any]] = ()
    is_checking = False

    async def models(self, used: Mapping[str, str | None]) -> dict[str, Any]:
        return {"models": [], "silent": []}

    async def count_tokens(
        self, peer: Peer, given: GivenConversation, contents: Mapping[str, bytes], hops: int = 0
    ) -> TokenCount:
        return estimated(peer.prompt, given, contents)

    async def price_list(self) -> dict[str, Any]:
        return {"source": "genai-prices", "version": "1", "date": "2026-09-28"}

    async def check_models(self) -> Sequence[object]:
        return ()

    async def candidates(self) -> list[dict[str, Any]]:
        return []

    async def try_model(self, ref: str) -> dict[str, Any]:
        return {"model": ref, "ok": True, "seconds": 0.1, "answer": "ready", "error": "", "hint": ""}

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
    server: HubServer

    async def ask(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        """Send a request over the owner's Unix socket."""
        async with self.local.request(method, f"http://localhost{path}", json=json, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def ask_tcp(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Send a request over TCP, with only the credentials in `headers`."""
        url = f"{self.node.url}{path}"
        async with self.remote.request(
            method, url, headers=headers, allow_redirects=False, **options
        ) as response:
            return Answer(response.status, response.headers, await response.text())

    async def frames(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the data of each frame of an event stream."""
        headers = {"accept": "text/event-stream", **(headers or {})}
        async with self.local.get(f"http://localhost{path}", headers=headers) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    async def announce(self, name: str, *argv: str, kind: str = "stdio", **more: Any) -> dict[str, Any]:
        """Announce a program as a peer; it must start."""
        body = {"name": name, "kind": kind, "argv": argv, "cwd": "/", "env": PROGRAM_ENVIRONMENT, **more}
        answer = await self.ask("POST", "/api/v2/programs", body)
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    async def say(self, peer: str, content: str, **more: Any) -> Answer:
        """Send the program a message to run; return the response."""
        body = {"content": content, "execute": True, **more}
        return await self.ask("POST", f"/api/v2/ai/{peer}/message", body)

    async def status(self, peer: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ask("GET", f"/api/v2/ai/{peer}/status")).json
        return found

    async def standing(self, peer: str) -> str:
        """Return the default session of the owner's program, which has unsolicited output."""
        row = await self.hub.state.store.get("standing", f"{self.node.owner}/{peer}")
        assert row is not None
        return row.parent

    async def log(self, stream: str) -> list[Payload]:
        head = await self.hub.state.store.head(stream)
        if head is None:
            return []
        records = await self.hub.state.store.page(stream, Position(head.epoch, 0), 100_000)
        return [record.event.payload for record in records]

    async def seen(
        self, stream: str, wanted: Callable[[Payload], bool], seconds: float = SECONDS
    ) -> list[Payload]:
        """Wait for the first payload that matches; return the stream's payloads up to it."""
        head = await self.hub.state.store.head(stream)
        assert head is not None
        payloads: list[Payload] = []
        try:
            async with asyncio.timeout(seconds):
                async for records in follow(self.hub.state.store, stream, Position(head.epoch, 0)):
                    for record in records:
                        payloads.append(record.event.payload)
                        if wanted(payloads[-1]):
                            return payloads
        except TimeoutError:
            raise AssertionError(f"no matching payload; there were {payloads[-20:]}") from None
        raise AssertionError("following does not end")


@asynccontextmanager
async def served(
    folder: Path,
    *scripts: Any,
    store: Store | None = None,
    limits: Limits | None = None,
    by_itself: bool = False,
    drivers: Mapping[str, Driver] | None = None,
    also: Sequence[Peer] = (),
    hosts: Hosts | None = None,
    tools: Mapping[str, ToolSettings] | None = None,
    environment: Mapping[str, str] = PROGRAM_ENVIRONMENT,
    connections: Connections | None = None,
    accepted: AcceptedConnections | None = None,
    budgets: Sequence[Budget] = (),
    certificate: Certificate | None = None,
    seconds: float = 120.0,
    senders: Sequence[Sender] = (),
    nodes: Nodes | None = None,
    shared: SharedRows | None = None,
) -> AsyncIterator[Served]:
    """Run a hub. `hosts`: the hosts of programs, if there are any; `tools`: configured programs;
    `connections`: the limits for callers over TCP, `MANY` by default; `accepted`: the limits per client;
    `certificate`: with which TCP has TLS; `senders`: of notifications;
    `nodes`, `shared`: of a store that is shared with other hubs."""
    driver = ScriptedDriver(*scripts)
    store = store or MemoryStore(clock=lambda: 1_700_000_000_000)
    configured = ConfiguredPrograms(tools or {}, environment)
    peers = Peers([*PEERS, *_tools(tools or {}), *also], {"reviewers": ("apollo", "athena")})
    async with open_hub(
        store,
        peers,
        {"scripted": driver, **(drivers or {})},
        limits=limits,
        program_drivers=program_drivers(folder, hosts) if hosts else {},
        launches=configured.launch,
        kept=FileBlobs(folder / "blobs"),
        transcripts=TRANSCRIPTS,
        files=FilesOnDemand(folder / "checkpoints", max_file_bytes=1 << 20, without=[folder]),
        budgets=budgets,
        senders=senders,
        owner="me",
        nodes=nodes,
        shared=shared,
    ) as hub:
        node = Node(hub, KnownProviders(), Logins(), "0", str(folder), "me", 0, by_itself, lambda: None)
        node.programs, node.seal = configured, Ring(folder)
        node.issuers = Issuers(document)
        node.connections = connections or Connections(*MANY)
        token_file = folder / "token"
        token_file.touch(0o600)
        token_file.write_text(TOKEN)
        tokens = TokenFile(token_file, changed=node.logins.codes.forget_all)
        with (
            unix_listener(folder / "hub.sock") as unix,
            tcp_listener("127.0.0.1", 0, or_any=False) as tcp,
        ):
            port = tcp.getsockname()[1]
            node.addresses = Addresses(port, CONSOLE, tls=certificate is not None)
            scheme = "https" if certificate else "http"
            node.url, node.console = f"{scheme}://127.0.0.1:{port}", f"{scheme}://{CONSOLE}:{port}"
            listening = asyncio.Event()
            server = HubServer(gated(node, tokens), listening.set, hub.aclose, accepted, certificate)
            async with asyncio.TaskGroup() as tasks:
                checking = tasks.create_task(node.connections.keep_checking(), name="connections")
                node.shut_down = lambda: setattr(server, "should_exit", True)
                serving = tasks.create_task(server.serve([unix, tcp]))
                await listening.wait()
                connector = aiohttp.UnixConnector(str(folder / "hub.sock"), limit=0)
                async with (
                    aiohttp.ClientSession(connector=connector) as local,
                    aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as remote,
                    asyncio.timeout(seconds),
                ):
                    try:
                        yield Served(hub, node, driver, folder / "hub.sock", port, local, remote, server)
                    finally:  # in this order, even if the test has failed
                        server.should_exit = True
                        await asyncio.wait((serving,))
                        checking.cancel()


@asynccontextmanager
async def with_programs(
    *scripts: Any, spools: Mapping[str, int] | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Run a hub with programs in a new folder, and end them all. `spools`: settings of the hosts."""
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        async with (
            hosting(folder, **(spools or {})) as hosts,
            served(folder, *scripts, hosts=hosts, **options) as home,
        ):
            yield home


def program_drivers(folder: Path, hosts: Hosts) -> dict[str, ProgramDriver]:
    return {
        "stdio": Programs(hosts, on_pipes, "pipes"),
        "terminal": Programs(hosts, TerminalProgram, "pty", MarkedShells(folder / "startup")),
        "claude": Agents(hosts, ClaudeCode),
        "codex": Agents(hosts, Codex),
    }


def _tools(tools: Mapping[str, ToolSettings]) -> list[Peer]:
    if not tools:
        return []
    names = {peer.name for peer in peers_of(Settings())}
    return [peer for peer in peers_of(Settings(tools=dict(tools))) if peer.name not in names]
