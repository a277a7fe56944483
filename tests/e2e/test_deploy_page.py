"""The configurations on docs/how-to/deploy.md, with the real programs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests import deployed
from tests.certificates import Issued
from tests.deployed import replaced, until_it_listens
from tests.needs import needs
from tests.rhetor.transports.socket_client import created
from tests.served import TOKEN, Served, served
from websockets.asyncio.client import connect

pytestmark = [pytest.mark.anyio, pytest.mark.long]
NAME, SECONDS = "hub.example.org", 60.0
BEARER = {"authorization": f"Bearer {TOKEN}"}


def block(language: str) -> str:
    return deployed.block("deploy.md", language)


def nginx(folder: Path, issued: Issued, hub: int, port: int) -> list[str]:
    """Return the command of nginx with the configuration of the page."""
    text = replaced(block("nginx"), {"127.0.0.1:8300": f"127.0.0.1:{hub}"})
    return deployed.nginx(folder, issued, text, port)


def caddy(folder: Path, issued: Issued, hub: int, port: int) -> list[str]:
    """Return the command of Caddy with the configuration of the page, without a public certificate."""
    site = replaced(
        block("caddy"),
        {
            f"{NAME} {{\n": f"https://{NAME}:{port} {{\n\ttls {issued.files.certificate} {issued.files.key}\n"
            "\tbind 127.0.0.1\n",
            "127.0.0.1:8300": f"127.0.0.1:{hub}",
        },
    )
    config = folder / "Caddyfile"
    config.write_text(f"{{\n\tadmin off\n\tauto_https off\n\tgrace_period 100ms\n}}\n{site}")
    return [needs("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]


@asynccontextmanager
async def behind(proxy: Any, folder: Path) -> AsyncIterator[tuple[Served, str, aiohttp.TCPConnector, Any]]:
    """Run a hub behind the proxy; the proxy's address is found for NAME."""
    issued = Issued.into(folder / "tls", NAME)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hub_folder = folder / "hub"
    hub_folder.mkdir()
    async with served(hub_folder) as home:
        assert home.node.addresses is not None
        # the browser's port is 443, which the page assumes; here, it is another one
        configured = yaml.safe_load(block("yaml"))["hub"]
        origins = [f"{origin}:{port}" for origin in configured["allowed_origins"]]
        hosts = [*configured["allowed_hosts"], *(f"{host}:{port}" for host in configured["allowed_hosts"])]
        home.node.addresses = home.node.addresses.allowing(hosts, origins)
        process = await asyncio.create_subprocess_exec(
            *proxy(folder, issued, home.port, port),
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=subprocess.DEVNULL,
        )
        try:
            await until_it_listens(process, port)
            connector = aiohttp.TCPConnector(ssl=issued.trusting(), resolver=_Here())
            async with connector:
                yield home, f"https://{NAME}:{port}", connector, issued.trusting()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


class _Here(aiohttp.abc.AbstractResolver):
    """Finds every name on this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            {"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}
        ]

    async def close(self) -> None: ...


@pytest.mark.parametrize("proxy", [nginx, caddy])
async def test_every_api_works_behind_the_proxy(tmp_path: Path, proxy: Any) -> None:
    import socketio

    async with behind(proxy, tmp_path) as (home, url, connector, trust):
        async with aiohttp.ClientSession(url, connector=connector, connector_owner=False) as http:
            await _rest(http, url)
            await _event_stream(home, http)
            client = socketio.AsyncClient(http_session=http, reconnection=False)
            for transport in ("polling", "websocket"):
                await client.connect(url, transports=[transport], auth={"token": TOKEN})
                assert client.transport() == transport
                await client.disconnect()
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as plain:
            uri = url.replace("https", "wss") + "/ws/ai/apollo"
            async with connect(
                uri, sock=plain, ssl=trust, server_hostname=NAME, additional_headers=BEARER, proxy=None
            ) as websocket:
                await websocket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
                assert json.loads(await websocket.recv())["id"] == 1


async def _rest(http: aiohttp.ClientSession, url: str) -> None:
    path, message = "/api/v2/ai/apollo/message", {"content": "x" * 1_000_000}
    async with http.post(path, json=message, headers={**BEARER, "origin": url}) as answer:
        assert (answer.status, len((await answer.json())["response"])) == (200, 1_000_014)
        assert answer.headers["strict-transport-security"] == "max-age=15552000"
    for headers, status in (
        ({}, 401),
        ({**BEARER, "origin": "https://evil.example"}, 403),
        ({**BEARER, "host": "evil.example"}, 421),
    ):
        async with http.get("/api/v2/status", headers=headers) as answer:
            # Caddy itself does not serve other hosts
            assert (answer.status == status) or (status == 421 and not await answer.read()), headers
    async with http.post(path, data=io.BytesIO(b"x" * 9_000_000), headers=BEARER) as answer:
        assert answer.status == 413


async def _event_stream(home: Served, http: aiohttp.ClientSession) -> None:
    """Follow a session: an event arrives while the response is not complete."""
    session = (await created(home))["session_id"]
    head = await home.hub.state.store.head(session)
    assert head is not None
    headers = {**BEARER, "accept": "text/event-stream", "last-event-id": f"{head.epoch}:0"}
    async with http.get(f"/api/v2/sessions/{session}/events", headers=headers) as stream:
        path, body = f"/api/v2/sessions/{session}/message", {"message": "hi"}
        async with http.post(path, json=body, headers=BEARER) as answer:
            assert answer.status == 200
        async with asyncio.timeout(SECONDS):
            while b"turn.completed" not in await stream.content.readline():
                pass


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = needs("systemd-analyze")
    program = tmp_path / "rhetor"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "rhetor.service"
    unit.write_text(block("ini").replace("%h/.local/bin/rhetor", str(program)))
    ran = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
