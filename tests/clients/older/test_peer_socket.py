"""A client that finds the socket of a peer by its host and port, and streams an answer there."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.aish.scripted import Shell
from tests.served import TOKEN, served

from aish import connect
from rhetor.domain.output import Text
from rhetor.errors import ProviderFailed

pytestmark = pytest.mark.anyio
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_host_and_port_of_a_peer_make_the_url_of_its_socket(tmp_path: Path) -> None:
    failing = [Text("a"), ProviderFailed("down")]
    async with served(tmp_path, failing) as home:
        async with aiohttp.ClientSession(headers=BEARER) as session:
            async with session.get(f"http://127.0.0.1:{home.port}/api/v2/ai/apollo") as response:
                peer = await response.json()
            url = f"ws://{peer['host']}:{peer['port']}/ws/ai/apollo-ci"
            async with session.ws_connect(url) as socket:
                await socket.send_json(
                    {"jsonrpc": "2.0", "id": 1, "method": "stream", "params": {"message": "hi"}}
                )
                frames: list[Any] = []
                while not frames or frames[-1].get("method") != "stream.complete":
                    frames.append(json.loads((await socket.receive(timeout=60)).data))
        assert frames[0]["result"]["ai"] == "apollo-ci"
        told = [frame for frame in frames if "method" in frame]
        assert [frame["method"] for frame in told] == ["stream.chunk", "stream.error", "stream.complete"]
        assert {frame["params"]["specialist_id"] for frame in told} == {"apollo-ci"}


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ON_IPV6 = pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine"))


@pytest.mark.parametrize("host", ["127.0.0.1", ON_IPV6])
async def test_the_url_works_whatever_address_of_this_machine_the_hub_has(aish: Shell, host: str) -> None:
    aish.environment |= {"RHETOR_HUB__HOST": host, "RHETOR_HUB__PORT": "0"}
    assert (await asyncio.to_thread(aish, "apollo", "hi")).code == 0  # starts the hub
    async with connect(str(aish.home), start=False) as hub:
        peer = await hub.request("GET", "/api/v2/ai/apollo")
        [team, *_] = (await hub.request("GET", "/api/ai/socket"))["sockets"]
    token = (aish.home / "token").read_text().strip()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        async with session.ws_connect(f"ws://{peer['host']}:{peer['port']}/ws/ai/apollo") as peer_socket:
            call = {"jsonrpc": "2.0", "id": 1, "method": "chat", "params": {"message": "hi"}}
            await peer_socket.send_json(call)
            answer = await peer_socket.receive_json(timeout=60)
        assert answer["result"]["response"].startswith("Apollo, code analyst")
        async with session.ws_connect(team["websocket_url"]):
            pass
