"""The configuration on docs/how-to/growing.md: a peer of one hub answers in another one."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from rhetor.domain.output import Done, Text
from tests.deployed import block, replaced
from tests.issued import issue
from tests.nodes.hubs import BEARER, Node
from tests.served import served

pytestmark = pytest.mark.anyio


async def test_peers_of_one_hub_answer_in_another(tmp_path: Path) -> None:
    (tmp_path / "research").mkdir()
    script = [Text("from research"), Done()]
    async with served(tmp_path / "research", script, script) as research:
        token = await issue(research, "support", "read", "send")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        support = Node(tmp_path / "support", port, {})
        changes = {"https://research.example.org/v1": f"{research.node.url}/v1"}
        (support.folder / "config.yaml").write_text(replaced(block("growing.md", "yaml"), changes))
        try:
            await support.start()
            async with aiohttp.ClientSession(support.url, headers=BEARER) as client:
                async with client.put("/api/v2/keys/research", json={"key": token}) as answer:
                    assert answer.status == 200, await answer.text()
                for peer in ("analyst", "reviewers"):
                    path = f"/api/v2/ai/{peer}/message"
                    async with client.post(path, json={"content": "hi"}) as answer:
                        assert answer.status == 200, await answer.text()
                        assert "from research" in (await answer.json())["response"]
        finally:
            await support.end()
        assert {name for name, _ in research.driver.heard} >= {"athena"}
