"""The configurations on docs/how-to/several-nodes.md, with the real nginx before real hubs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from rhetor.settings import read_settings
from tests.certificates import Issued
from tests.deployed import block, nginx, replaced, until_it_listens
from tests.nodes.hubs import BEARER, Nodes, running
from tests.provider.process import ProviderProcess

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
PAGE = "several-nodes.md"
NAME, SECONDS, TAKE_OVER = "hub.example.org", 60.0, 15.0


@asynccontextmanager
async def behind(folder: Path, nodes: Nodes) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Run the proxy before the nodes; yield its URL."""
    issued = Issued.into(folder / "tls", NAME)
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as nobody:
        port, unused = free.getsockname()[1], nobody.getsockname()[1]
    ports = zip((8301, 8302, 8303), (*(node.port for node in nodes.nodes), unused), strict=True)
    text = replaced(block(PAGE, "nginx"), {f"127.0.0.1:{old}": f"127.0.0.1:{new}" for old, new in ports})
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *nginx(folder, issued, text, port), env=environment, stdout=subprocess.DEVNULL
    )
    try:
        await until_it_listens(process, port)
        yield f"https://127.0.0.1:{port}", issued.trusting()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_clients_of_a_proxy_continue_when_a_node_is_lost(
    tmp_path: Path, postgres_url: str, provider: ProviderProcess
) -> None:
    variables = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "test-model"}
    async with (
        running(tmp_path, postgres_url, 2, host=NAME, **variables) as nodes,
        behind(tmp_path, nodes) as (url, trust),
    ):
        options: dict[str, Any] = {
            "headers": {**BEARER, "host": NAME},
            "ssl": trust,
            "server_hostname": NAME,
        }

        async def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            request = nodes.client.request(method, f"{url}{path}", json=body, **options)
            async with request as answer:
                return answer.status, await answer.json(content_type=None) if answer.status < 300 else None

        status, session = await ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
        assert status == 200
        path = f"/api/v2/sessions/{session['id']}"
        assert (await ask("POST", f"{path}/message", {"message": "x" * 100_000}))[0] == 200
        nodes.nodes[0].signal(signal.SIGKILL)
        began = time.monotonic()
        while True:
            try:
                status, found = await ask("GET", path)
                if status == 200:
                    break
                assert status in (502, 503, 504), status
            except aiohttp.ClientConnectionError:
                pass
            assert time.monotonic() - began < TAKE_OVER + 5
            await asyncio.sleep(0.2)
        assert found["id"] == session["id"]
        assert (await ask("POST", f"{path}/message", {"message": "again"}))[0] == 200
        for _ in range(20):  # whichever node the proxy chooses
            assert (await ask("GET", path))[0] == 200


def test_the_settings_of_the_page_are_valid(tmp_path: Path) -> None:
    for name in ("hub.crt", "hub.key"):
        (tmp_path / name).touch(0o600)
    text = block(PAGE, "yaml").replace("/etc/rhetor", str(tmp_path))
    (tmp_path / "config.yaml").write_text(text)
    found = read_settings(tmp_path / "config.yaml")
    assert found.hub.node_address == "node1.example.org:8300"
    assert found.store == yaml.safe_load(text)["store"]
