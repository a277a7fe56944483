"""Hubs that share a database, each with a state folder, port and process, and clients that change nodes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from rhetor.home import Home
from tests.e2e.home import BIN

TOKEN = "e" * 64
SECONDS = 90.0
PAUSE = 0.1  # between attempts of a client
KEYS = ("keys.json", "master.key")
BEARER = {"authorization": f"Bearer {TOKEN}"}


class Node:
    """A hub of the tests. `said`: the first line that it printed."""

    def __init__(self, folder: Path, port: int, variables: dict[str, str]) -> None:
        self.folder, self.port = folder, port
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self.said = ""
        self._variables = variables
        self.process: asyncio.subprocess.Process | None = None
        folder.mkdir(mode=0o700)
        (folder / "token").touch(0o600)
        (folder / "token").write_text(TOKEN)

    async def start(self) -> str:
        """Start it, and return what it says when it accepts clients."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR") if name in os.environ}
        environment = {
            **kept,
            "RHETOR_MODELS__AGENTS": "[]",
            **self._variables,
            "RHETOR_HOME": str(self.folder),
        }
        with (self.folder / "stderr").open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                BIN / "rhetor",
                "serve",
                "--port",
                str(self.port),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            self.said = (await self.process.stdout.readline()).decode()
        assert self.said, (self.folder / "stderr").read_text()
        return self.said

    @property
    def socket(self) -> str:
        """The path of its Unix socket."""
        return str(Home(self.folder, os.environ).socket)

    async def aish(self, *words: str) -> str:
        """Run `aish` in this node's home, and return what it prints."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "RHETOR_HOME": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            BIN / "aish", *words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        async with asyncio.timeout(SECONDS):
            printed, _ = await process.communicate()
        assert process.returncode == 0, printed
        return printed.decode()

    def signal(self, signum: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(signum)

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit status."""
        assert self.process is not None
        async with asyncio.timeout(SECONDS):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            for signum in (signal.SIGCONT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    self.signal(signum)
            await self.ended()


class Nodes:
    """The nodes, and a client that tries one after the other."""

    def __init__(self, nodes: Sequence[Node], client: aiohttp.ClientSession) -> None:
        self.nodes, self.client = nodes, client

    async def ask(self, method: str, path: str, body: Any = None, *, at: Node | None = None) -> Any:
        """Send a request to the node, or to the first one that answers it; repeat it until one does."""
        async with asyncio.timeout(SECONDS):
            while True:
                for node in [at] if at else self.nodes:
                    with suppress(
                        aiohttp.ClientConnectionError, ConnectionError, asyncio.IncompleteReadError
                    ):
                        async with self.client.request(
                            method, f"{node.url}{path}", json=body, headers=BEARER
                        ) as answer:
                            if answer.status != 503:
                                assert answer.status < 300, await answer.text()
                                return await answer.json(content_type=None)
                await asyncio.sleep(PAUSE)

    async def known(self, at: Node) -> dict[str, dict[str, Any]]:
        """Return what a node says of all nodes, by their addresses."""
        return {each["address"]: each for each in (await self.ask("GET", "/api/v2/health", at=at))["nodes"]}

    async def takes_over(self, at: Node, lost: Node) -> Node:
        """Wait until a live node owns what the lost one had, as a node says, and return the lead."""
        async with asyncio.timeout(SECONDS):
            while True:
                known = await self.known(at)
                leads = [node for node in self.nodes if known[node.address]["leads"]]
                if leads and not known[lost.address]["sessions"]:
                    return leads[0]
                await asyncio.sleep(PAUSE)

    async def send(self, session: str, text: str, key: str) -> str:
        """Send a message once, however many attempts that takes. Return the turn's id without its answer."""
        path, body = f"/api/v2/sessions/{session}/stream", {"message": text, "command_id": key}
        options: Any = {"json": body, "headers": BEARER, "timeout": _quiet()}
        async with asyncio.timeout(SECONDS):
            while True:
                for node in self.nodes:
                    with suppress(aiohttp.ClientError, ConnectionError):
                        async with self.client.post(f"{node.url}{path}", **options) as stream:
                            if stream.status == 200:
                                return stream.headers["x-turn-id"]
                            assert stream.status == 503, await stream.text()
                await asyncio.sleep(PAUSE)

    async def session(self, at: Node | None = None) -> str:
        """Begin a session, at a node that owns it then."""
        body = {"specialist_id": "apollo"}
        return str((await self.ask("POST", "/api/v2/sessions", body, at=at or self.nodes[0]))["id"])

    async def announce(self, node: Node, program: dict[str, Any]) -> None:
        """Start a program at a node."""
        connector = aiohttp.UnixConnector(node.socket)
        async with (
            aiohttp.ClientSession(connector=connector) as owner,
            owner.post("http://localhost/api/v2/programs", json=program) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def log(self, session: str) -> list[dict[str, Any]]:
        """Return all events of a session."""
        return [event async for event in self.follow(session, until_head=True)]

    async def follow(
        self, session: str, *, first: int = 0, until_head: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a session in order. When a node is lost, continue at the next one."""
        cursor, number = "", first
        head = (await self.ask("GET", f"/api/v2/sessions/{session}"))["head"] if until_head else None
        while True:
            node = self.nodes[number % len(self.nodes)]
            number += 1
            headers = {**BEARER, "accept": "text/event-stream"}
            if cursor:
                headers["last-event-id"] = cursor
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                url = f"{node.url}/api/v2/sessions/{session}/events"
                async with self.client.get(url, headers=headers, timeout=_quiet()) as stream:
                    if stream.status == 200:
                        async for line in stream.content:
                            if not line.startswith(b"data: "):
                                continue
                            event = json.loads(line[6:])
                            if "seq" in event:
                                cursor = f"{event['epoch']}:{event['seq']}"
                                yield event
                                if head is not None and event["seq"] >= head:
                                    return
            await asyncio.sleep(PAUSE)


def _quiet() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_read=40.0)


@asynccontextmanager
async def running(
    folder: Path, url: str | Sequence[str], count: int, *, host: str = "localhost", **variables: str
) -> AsyncIterator[Nodes]:
    """Start hubs on a database. The first one is the lead. `url`: of the database, or one for each node.
    `host`: of a proxy before them."""
    ports = _free_ports(count)
    hosts = json.dumps([host, *(f"127.0.0.1:{port}" for port in ports)])
    keys = [{"OPENAI_API_KEY": f"key of node{number}"} for number in range(count)]
    urls = [url] * count if isinstance(url, str) else url
    shared = {"RHETOR_HUB__ALLOWED_HOSTS": hosts, **variables}
    nodes = [
        Node(folder / f"node{number}", port, {**keys[number], **shared, "RHETOR_STORE": each})
        for number, (port, each) in enumerate(zip(ports, urls, strict=True))
    ]
    timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=5.0)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
        try:
            for node in nodes:
                if node is not nodes[0]:
                    await asyncio.to_thread(_share_keys, nodes[0].folder, node.folder)
                assert "listening on" in await node.start()
            yield Nodes(nodes, client)
        finally:
            for node in nodes:
                await node.end()


def _share_keys(first: Path, other: Path) -> None:
    """Copy the keys that the first node makes when it has started."""
    until = time.monotonic() + SECONDS
    while not all((first / name).exists() for name in KEYS):
        assert time.monotonic() < until
        time.sleep(0.02)
    for name in KEYS:
        shutil.copy(first / name, other / name)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
