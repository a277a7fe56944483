"""A client of `/api/v1`: it knows the list of peers, one peer and a message, and sends no streams."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio


class V1Client:
    """It has a base URL with the token in it, and knows `/api/v1/ai` only."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        pair = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        found = json.loads(response.read())
        connection.close()
        assert response.status == 200, found
        return found


async def test_a_client_of_v1_lists_peers_and_sends_a_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        client = V1Client(home.port)
        peers = (await asyncio.to_thread(client.ask, "GET", "/api/v1/ai"))["peers"]
        assert "apollo" in [peer["id"] for peer in peers]
        one = await asyncio.to_thread(client.ask, "GET", "/api/v1/ai/apollo-ci")
        assert (one["host"], one["port"]) == ("127.0.0.1", home.port)
        capabilities = one["capabilities"]
        for name in ("context_window", "max_tokens", "avg_response_time", "success_rate"):
            assert name in capabilities
        assert capabilities["cost_per_1k_tokens"] is None or isinstance(
            capabilities["cost_per_1k_tokens"], float
        )
        assert capabilities["code_analysis"] == 0.95
        said = await asyncio.to_thread(client.ask, "POST", "/api/v1/ai/apollo-ci/message", {"content": "hi"})
        assert (said["ai"], said["response"]) == ("apollo-ci", "apollo heard: hi")
