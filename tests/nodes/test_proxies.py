"""The configurations on docs/how-to/several-nodes.md, with the real nginx before real hubs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from rhetor.settings import read_settings
from tests.certificates import Issued
from tests.needs import lacking
from tests.nodes.hubs import BEARER, Nodes, running
from tests.provider.process import ProviderProcess

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
PAGE = Path(__file__).parents[2] / "docs/how-to/several-nodes.md"
NAME, SECONDS, TAKE_OVER = "hub.example.org", 60.0, 15.0


def block(language: str) -> str:
    """Return the one block of code in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


def installed(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or lacking(f"{name} is not installed")


def nginx(folder: Path, issued: Issued, text: str, port: int) -> Sequence[str]:
    """Return the command of nginx with the configuration of the page, without its defaults for root."""
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/certs/hub.crt": str(issued.files.certificate),
        "/etc/ssl/private/hub.key": str(issued.files.key),
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder}/pid; error_log stderr; daemon off; master_process off; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{text}}}\n"
    )
    return [installed("nginx"), "-p", str(folder), "-c", str(config), "-e", "stderr"]


@asynccontextmanager
async def behind(folder: Path, nodes: Nodes) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Run the proxy before the nodes; yield its URL."""
    issued = Issued.into(folder / "tls", NAME)
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as nobody:
        port, unused = free.getsockname()[1], nobody.getsockname()[1]
    text = block("nginx")
    for old, new in zip((8301, 8302, 8303), (*(node.port for node in nodes.nodes), unused), strict=True):
        assert text.count(f"127.0.0.1:{old}") == 1
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *nginx(folder, issued, text, port), env=environment, stdout=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(SECONDS):
            while not await listens(port):
                assert process.returncode is None, "the proxy has ended; its output says why"
                await asyncio.sleep(0.02)
        yield f"https://127.0.0.1:{port}", issued.trusting()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


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
    text = block("yaml").replace("/etc/rhetor", str(tmp_path))
    (tmp_path / "config.yaml").write_text(text)
    found = read_settings(tmp_path / "config.yaml")
    assert found.hub.node_address == "node1.example.org:8300"
    assert found.store == yaml.safe_load(text)["store"]
