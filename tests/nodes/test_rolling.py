"""Nodes that are stopped and started one after the other, as for a new version."""

from __future__ import annotations

import asyncio
import signal
from itertools import count
from pathlib import Path

import pytest

from tests.nodes.hubs import BEARER, Node, Nodes, running

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


async def rename(nodes: Nodes, at: Node, session: str, name: str) -> None:
    """Change a session with one request, which is not repeated."""
    url = f"{at.url}/api/v2/sessions/{session}/save"
    async with nodes.client.post(url, json={"name": name}, headers=BEARER) as answer:
        assert answer.status == 200, (answer.status, await answer.text())
        assert (await answer.json())["name"] == name


async def test_no_command_fails_at_one_node_while_the_other_one_is_stopped_and_started(
    tmp_path: Path, postgres_url: str
) -> None:
    async with running(tmp_path, postgres_url, 2) as nodes:
        first, second = nodes.nodes
        session = await nodes.session(at=first)
        changed = asyncio.Semaphore(0)

        async def keep_changing() -> None:
            for number in count():
                await rename(nodes, second, session, f"number-{number}")
                changed.release()

        async def ten_more() -> None:
            while not changed.locked():
                await changed.acquire()
            for _ in range(10):
                await changed.acquire()

        async with asyncio.TaskGroup() as tasks:
            changing = tasks.create_task(keep_changing())
            for _ in range(2):
                await ten_more()
                first.signal(signal.SIGTERM)
                assert await first.ended() == 0
                await first.start()
            await ten_more()
            changing.cancel()
