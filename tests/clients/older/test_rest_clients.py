"""Clients that were written to the older texts of the API, as they are: standard library, netrc, v1 paths."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.served import TOKEN, Served, served

from rhetor.domain.output import Done, Text

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


async def test_a_netrc_file_with_the_token_as_password_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as home:
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {TOKEN}\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        url = f"http://127.0.0.1:{home.port}/api/v2/ai/apollo"
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as response:
            assert response.status == 200
        wrong = await home.ask_tcp("GET", "/api/v2/ai", {"authorization": "Basic bm90OnRoaXM="})
        assert wrong.status == 401


async def test_a_stream_can_be_read_line_by_line(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("one "), Text("two"), Done()]) as home:
        text, specialists = await asyncio.to_thread(_read_lines, home)
        assert text == "one two"
        assert specialists == {"apollo-ai"}


def _read_lines(home: Served) -> tuple[str, set[str]]:
    """As such clients do it: only lines that begin with `data: ` count."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{home.port}/api/v2/ai/apollo-ai/stream",
        json.dumps({"content": "count"}).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    text, specialists = "", set()
    with urllib.request.urlopen(request, timeout=60) as response:
        for raw in response:
            line = raw.decode().strip()
            if not line.startswith("data: "):
                continue
            event = json.loads(line[6:])
            specialists.add(event["specialist_id"])
            if event["type"] == "content":
                text += event["data"]
            if event["type"] == "done":
                break
    return text, specialists


async def test_a_session_names_its_peer_as_the_client_did(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "Apollo-CI"})
        assert made.json["specialist_id"] == "Apollo-CI"
        routed = await home.ask("POST", "/api/v2/ai/@code-analysis/message", {"content": "x"})
        assert routed.json["ai"] == "apollo"


async def test_bulk_results_have_a_status_by_id(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        operations = [
            {"id": "a", "ai": "apollo", "message": "x"},
            {"id": "b", "ai": "athena", "message": "y"},
        ]
        results = (await home.ask("POST", "/api/v2/bulk", {"operations": operations})).json["results"]
        assert {id: result["status"] for id, result in results.items()} == {"a": "success", "b": "success"}
