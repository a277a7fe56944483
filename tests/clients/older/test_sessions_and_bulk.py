"""A client that names peers in its own way, opens sessions, and sends many messages in one request."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.served import served

pytestmark = pytest.mark.anyio


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
            {"id": "b", "ai": "Athena-CI", "message": "y"},
            {"id": "c", "ai": "@code-analysis", "message": "z"},
        ]
        results = (await home.ask("POST", "/api/v2/bulk", {"operations": operations})).json["results"]
        assert {id: (result["status"], result["ai"]) for id, result in results.items()} == {
            "a": ("success", "apollo"),
            "b": ("success", "Athena-CI"),
            "c": ("success", "apollo"),
        }
