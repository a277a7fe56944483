"""Tokens and data keys of nodes that are processes of their own."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.nodes.hubs import SECONDS, Node, Nodes, running

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


async def as_owner(node: Node, method: str, path: str, body: Any = None) -> Any:
    """Send a request over the owner's Unix socket."""
    connector = aiohttp.UnixConnector(node.socket)
    async with (
        aiohttp.ClientSession(connector=connector) as owner,
        owner.request(method, f"http://localhost{path}", json=body) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def status(nodes: Nodes, node: Node, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    async with nodes.client.get(f"{node.url}/api/v2/ai", headers=headers) as answer:
        return answer.status


def current_key(node: Node) -> str:
    found: str = json.loads((node.folder / "keys.json").read_bytes())["current"]
    return found


async def test_a_token_and_the_data_key_are_those_of_all_nodes(postgres_url: str, tmp_path: Path) -> None:
    async with running(tmp_path, postgres_url, 3, RHETOR_ENCRYPTION__AT_REST="true") as nodes:
        first, second, third = nodes.nodes
        body = {"name": "robot", "scopes": ["read"]}
        token = (await as_owner(first, "POST", "/api/v2/tokens", body))["token"]
        assert [await status(nodes, node, token) for node in nodes.nodes] == [200, 200, 200]
        before = {current_key(node) for node in nodes.nodes}
        assert len(before) == 1
        new = (await as_owner(second, "POST", "/api/v2/data-keys/rotate"))["id"]
        assert {current_key(node) for node in nodes.nodes} == {new} != before
        sessions = {await nodes.session(at=node) for node in nodes.nodes}
        for node in nodes.nodes:
            listed = (await nodes.ask("GET", "/api/v2/sessions", at=node))["sessions"]
            assert sessions == {each["id"] for each in listed}
        async with asyncio.timeout(SECONDS):
            while (await as_owner(second, "GET", "/api/v2/data-keys"))["renewing"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        shown = (await as_owner(third, "GET", "/api/v2/data-keys"))["keys"]
        assert [(each["id"], each["in_use"]) for each in shown] == [(before.pop(), False), (new, True)]
        await as_owner(third, "DELETE", "/api/v2/tokens/robot")
        revoked = time.monotonic()
        while [await status(nodes, node, token) for node in nodes.nodes] != [401, 401, 401]:
            assert time.monotonic() - revoked < 5  # 1 s, if nothing else uses the machine
            await asyncio.sleep(0.05)
        actions = {
            (each["action"], each["node"]) for each in (await nodes.ask("GET", "/api/v2/audit"))["entries"]
        }
        assert len({node for action, node in actions if action == "hub.start"}) == 3
