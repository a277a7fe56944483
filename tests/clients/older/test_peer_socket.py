"""A client that finds the socket of a peer by its host and port, and streams an answer there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.served import TOKEN, served

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
