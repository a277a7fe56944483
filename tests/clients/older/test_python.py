"""A Python program that uses `aish.connect()` for the best peer, many messages, and a socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.served import served

import aish

pytestmark = pytest.mark.anyio


async def test_a_program_uses_the_best_peer_many_messages_and_a_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home, aish.connect(str(home.socket.parent), start=False) as hub:
        best = await hub.best("code_analysis")
        assert best is not None and best.id == "apollo"
        assert await hub.best("cooking") is None
        results = await hub.bulk(
            [
                {"id": "a", "ai": best.id, "message": "one"},
                {"id": "b", "ai": "athena", "message": "{{a}}", "depends_on": ["a"]},
            ]
        )
        assert [result.status for result in results.values()] == ["success", "success"]
        socket = await hub.socket("apollo")
        await socket.write("hello")
        assert (await socket.read()).content == "apollo heard: hello"
        await socket.close()
