"""A database that is restored to an earlier state, as docs/how-to/several-nodes.md says."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.nodes.hubs import BEARER, running
from tests.postgres.cluster import Cluster
from tests.provider.process import ProviderProcess

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


async def test_clients_read_again_after_a_restore(
    tmp_path: Path, postgres: Cluster, postgres_url: str, provider: ProviderProcess
) -> None:
    variables = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "test-model"}
    async with running(tmp_path, postgres_url, 2, **variables) as nodes:
        first, second = nodes.nodes
        session = await nodes.session()
        path = f"/api/v2/sessions/{session}"
        await nodes.ask("POST", f"{path}/message", {"message": "before"})
        file = await asyncio.to_thread(postgres.dump, postgres_url, f"{tmp_path.name}.dump")
        await nodes.ask("POST", f"{path}/message", {"message": "after"})
        seen = await nodes.log(session)
        for node in nodes.nodes:
            node.signal(signal.SIGTERM)
            assert await node.ended() == 0
        await asyncio.to_thread(postgres.restore, postgres_url, file)
        for node in nodes.nodes:
            await node.start()
        said = "rhetor: the database was restored to an earlier state"
        assert [said in (node.folder / "stderr").read_text() for node in (first, second)] == [True, False]
        cursor = f"{seen[-1]['epoch']}:{seen[-1]['seq']}"
        url = f"{second.url}{path}/events?after={cursor}"
        async with nodes.client.get(url, headers=BEARER) as answer:
            assert (answer.status, (await answer.json())["outcome"]) == (410, "epoch_changed")
        left = await nodes.log(session)
        assert len(left) < len(seen)
        assert [event["type"] for event in left] == [event["type"] for event in seen[: len(left)]]
        assert (await nodes.ask("POST", f"{path}/message", {"message": "again"}, at=second))["response"]
