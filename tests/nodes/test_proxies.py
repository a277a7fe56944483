"""The configurations on docs/how-to/several-nodes.md, with the real nginx, Caddy and PgBouncer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from websockets.asyncio.client import connect

from rhetor.settings import read_settings
from tests.certificates import Issued
from tests.deployed import block, installed, nginx, replaced, until_it_listens
from tests.needs import needs
from tests.nodes.hubs import BEARER, TOKEN, Nodes, running
from tests.postgres.cluster import Cluster
from tests.postgres.pooler import pooled
from tests.provider.process import ProviderProcess

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
PAGE = "several-nodes.md"
NAME, SECONDS, TAKE_OVER = "hub.example.org", 60.0, 15.0
ECHO = """
import sys
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""
Proxy = Callable[[Path, Issued, dict[str, str], int], list[str]]


def behind_nginx(folder: Path, issued: Issued, places: dict[str, str], port: int) -> list[str]:
    places = {**places, "/etc/ssl/certs/rhetor-ca.crt": str(issued.files.authority)}
    return nginx(folder, issued, replaced(block(PAGE, "nginx"), places), port)


def behind_caddy(folder: Path, issued: Issued, places: dict[str, str], port: int) -> list[str]:
    changes = {
        **places,
        f"{NAME} {{\n": f"https://{NAME}:{port} {{\n\ttls {issued.files.certificate} {issued.files.key}\n"
        "\tbind 127.0.0.1\n",
        "/etc/ssl/certs/rhetor-ca.crt": str(issued.files.authority),
    }
    config = folder / "Caddyfile"
    site = replaced(block(PAGE, "caddy"), changes)
    config.write_text(f"{{\n\tadmin off\n\tauto_https off\n\tgrace_period 100ms\n}}\n{site}")
    return [needs("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]


@dataclass
class Front:
    """A proxy before the nodes, which a client reaches at the name of the hub."""

    nodes: Nodes
    port: int
    trust: ssl.SSLContext

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str, Any]:
        headers = {**BEARER, "host": NAME, **options.pop("headers", {})}
        url = f"https://127.0.0.1:{self.port}{path}"
        request = self.nodes.client.request(
            method, url, ssl=self.trust, server_hostname=NAME, headers=headers, **options
        )
        async with request as answer:
            return answer.status, await answer.text(), answer.headers

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to a request. While a node is lost, it is repeated."""
        async with asyncio.timeout(TAKE_OVER + 5):
            while True:
                status, text, _ = await self.ask(method, path, json=body)
                if status == 200:
                    return json.loads(text)
                assert status in (502, 503, 504), text
                await asyncio.sleep(0.2)

    def socket(self, path: str) -> connect:
        return connect(
            f"wss://{NAME}{path}",
            host="127.0.0.1",
            port=self.port,
            ssl=self.trust,
            additional_headers=BEARER,
            proxy=None,
            open_timeout=SECONDS,
        )


@pytest.fixture(params=[behind_nginx, behind_caddy], ids=["nginx", "caddy"])
async def front(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str, provider: ProviderProcess
) -> AsyncIterator[Front]:
    proxy: Proxy = request.param
    issued = Issued.into(tmp_path / "tls", NAME)
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as nobody:
        port, unused = free.getsockname()[1], nobody.getsockname()[1]
    variables = {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "test-model",
        "RHETOR_HUB__TLS_CERT": str(issued.files.certificate),
        "RHETOR_HUB__TLS_KEY": str(issued.files.key),
    }
    async with running(tmp_path, postgres_url, 2, host=NAME, **variables) as nodes:
        ports = zip((1, 2, 3), (*(node.port for node in nodes.nodes), unused), strict=True)
        places = {f"node{number}.example.org:8300": f"127.0.0.1:{port}" for number, port in ports}
        process = await asyncio.create_subprocess_exec(
            *proxy(tmp_path, issued, places, port),
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL,
        )
        try:
            await until_it_listens(process, port)
            yield Front(nodes, port, issued.trusting())
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def test_clients_of_a_proxy_use_all_nodes_and_continue_when_one_is_lost(front: Front) -> None:
    session = (await front.json("POST", "/api/v2/sessions", {"specialist_id": "apollo"}))["id"]
    path = f"/api/v2/sessions/{session}"
    assert (await front.json("POST", f"{path}/message", {"message": "x" * 100_000}))["response"]
    for _ in range(6):  # whichever node the proxy chooses
        assert (await front.json("POST", f"{path}/message", {"message": "again"}))["response"]
        assert (await front.json("GET", path))["id"] == session
    await front.json("POST", f"{path}/checkpoint", {"name": "here"})
    head = (await front.json("GET", path))["head"]
    front.nodes.nodes[0].signal(signal.SIGKILL)
    assert (await front.json("POST", f"{path}/message", {"message": "and now"}))["response"]
    assert (await front.json("GET", path))["head"] > head


async def test_what_is_in_the_memory_of_one_node_is_reached_through_any(front: Front) -> None:
    async with asyncio.timeout(SECONDS):
        # a node that has just started is known to the others soon
        while not await socketio_polls(front):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await mcp_continues(front)
    await a_terminal_is_attached(front)


async def socketio_polls(front: Front) -> bool:
    """Open a session of Socket.IO by long polling, and use it with many requests. Return whether its node is
    known."""
    path = "/socket.io/?EIO=4&transport=polling"
    _, opened, _ = await front.ask("GET", path)
    path += f"&sid={json.loads(opened[1:])['sid']}"
    _, answer, _ = await front.ask("POST", path, data="40" + json.dumps({"token": TOKEN}))
    if answer != "ok":
        return False
    _, connected, _ = await front.ask("GET", path)
    assert connected.startswith("40{")
    for number in range(4):
        assert (await front.ask("POST", path, data=f'42{number}["nothing"]'))[1] == "ok"
        assert (await front.ask("GET", path))[0] == 200
    return True


async def mcp_continues(front: Front) -> None:
    """Open a session of MCP, and use it with many requests."""
    headers = {"accept": "application/json, text/event-stream"}
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    first = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    status, text, found = await front.ask("POST", "/mcp", json=first, headers=headers)
    assert status == 200, text
    headers["mcp-session-id"] = found["mcp-session-id"]
    for number in range(2, 6):
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/list"}
        status, text, _ = await front.ask("POST", "/mcp", json=message, headers=headers)
        assert (status, '"send"' in text or "tools" in text) == (200, True), text


async def a_terminal_is_attached(front: Front) -> None:
    """Attach to a program of the first node, as often as there are nodes."""
    body: dict[str, Any] = {"name": "echo", "kind": "terminal", "argv": ["python3", "-c", ECHO], "cwd": "/"}
    body["env"] = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    connector = aiohttp.UnixConnector(front.nodes.nodes[0].socket)
    async with (
        aiohttp.ClientSession(connector=connector) as owner,
        owner.post("http://localhost/api/v2/programs", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
    pids = {(await front.json("GET", "/api/v2/ai/echo/status"))["pid"] for _ in range(4)}
    assert len(pids) == 1
    try:
        for number in range(4):
            async with front.socket("/ws/attach/echo") as terminal, asyncio.timeout(SECONDS):
                await terminal.send(f"{number}\n".encode())
                shown = b""
                while b"heard %d" % number not in shown:
                    item = await terminal.recv()
                    shown += item if isinstance(item, bytes) else b""
        await the_owner_attaches(front)
    finally:
        await front.ask("DELETE", "/api/v2/programs/echo")


async def the_owner_attaches(front: Front) -> None:
    """Attach to the program of the first node by the Unix socket of the second one, as aish does."""
    connector = aiohttp.UnixConnector(front.nodes.nodes[1].socket)
    async with (
        aiohttp.ClientSession(connector=connector) as owner,
        owner.ws_connect("http://localhost/ws/attach/echo") as terminal,
        asyncio.timeout(SECONDS),
    ):
        await terminal.send_bytes(b"owner\n")
        shown = b""
        while b"heard owner" not in shown:
            item = await terminal.receive()
            assert item.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), item
            shown += item.data if isinstance(item.data, bytes) else b""


async def test_nodes_use_the_database_through_pgbouncer(
    tmp_path: Path, postgres: Cluster, postgres_url: str, provider: ProviderProcess
) -> None:
    variables = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "test-model"}
    with pooled(postgres, postgres_url, block(PAGE, "ini"), installed("pgbouncer")) as url:
        async with running(tmp_path, url, 2, **variables) as nodes:
            first, second = nodes.nodes
            session = await nodes.session()
            path = f"/api/v2/sessions/{session}"
            turn = await nodes.send(session, "hi", "k1")
            assert (await anext(_ends(nodes, session)))["turn_id"] == turn
            for node in (first, second):
                assert (await nodes.ask("GET", path, at=node))["messages"][-1]["role"] == "assistant"
            first.signal(signal.SIGKILL)
            later = await nodes.send(session, "again", "k2")
            async for event in _ends(nodes, session):
                if event["turn_id"] == later:
                    break


async def _ends(nodes: Nodes, session: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the ends of a session's turns, as the last node tells them."""
    async for event in nodes.follow(session, first=len(nodes.nodes) - 1):
        if event["type"] in ("turn.completed", "turn.interrupted", "turn.failed"):
            yield event


def test_the_settings_of_the_page_are_valid(tmp_path: Path) -> None:
    for name in ("hub.crt", "hub.key"):
        (tmp_path / name).touch(0o600)
    text = block(PAGE, "yaml").replace("/etc/rhetor", str(tmp_path))
    (tmp_path / "config.yaml").write_text(text)
    found = read_settings(tmp_path / "config.yaml")
    assert found.hub.node_address == "node1.example.org:8300"
    assert found.store == yaml.safe_load(text)["store"]
