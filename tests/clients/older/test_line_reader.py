"""A client that reads a streamed answer line by line, and knows only lines that begin with `data: `."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest
from tests.served import TOKEN, Served, served

from rhetor.domain.output import Done, Text

pytestmark = pytest.mark.anyio


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
