"""The command-line client `llm`, unchanged, with peers of the hub as its models."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.interop.install import LLM
from tests.served import TOKEN, Served, served

from rhetor.domain.event import MessageAccepted, ToolReturned
from rhetor.domain.output import Done, Text, ToolUse

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "other-clients.md"
pytestmark = pytest.mark.anyio


def configure(folder: Path, home: Served, *models: str) -> None:
    """Name the peers as models, in the form that the page shows."""
    [text] = re.findall(r"^```yaml\n(- model_id.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [shown] = yaml.safe_load(text.replace("http://127.0.0.1:8300", home.node.url))
    listed = [{**shown, "model_id": name, "model_name": name} for name in models]
    (folder / "extra-openai-models.yaml").write_text(yaml.safe_dump(listed))
    (folder / "keys.json").write_text(json.dumps({"rhetor": TOKEN}))


async def llm(folder: Path, *words: str) -> str:
    """Run `llm`, which must succeed; return what it prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LLM_USER_PATH": str(folder)}
    process = await asyncio.create_subprocess_exec(
        LLM, *words, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


async def test_llm_asks_peers_and_lines_continues_and_runs_its_tools(tmp_path: Path) -> None:
    called = [ToolUse("c1", "llm_version", {}, "caller"), Done("tool_calls")]
    answers: list[Any] = [
        [Text("Hel"), Text("lo"), Done()],
        [Text("again"), Done()],
        called,
        [Text("0.36"), Done()],
    ]
    folder = tmp_path / "llm"
    folder.mkdir()
    async with served(tmp_path, *answers) as home:
        configure(folder, home, "apollo", "athena | apollo")
        assert await llm(folder, "-m", "apollo", "-s", "be brief", "hi") == "Hello"
        assert await llm(folder, "-c", "and now?") == "again"
        with_tool = await llm(folder, "-m", "apollo", "-T", "llm_version", "--no-stream", "which version?")
        assert with_tool.endswith("0.36")
        assert "athena heard: hi" in await llm(folder, "-m", "athena | apollo", "hi")
        rows = await home.hub.state.store.find("session")
        logs = [await home.log(row.id) for row in rows]
    asked = [[e for e in log if isinstance(e, MessageAccepted) and e.api == "chat"] for log in logs]
    # the second question and the result of the tool continued a session
    assert sorted(len(messages) for messages in asked if messages) == [1, 2, 2]
    assert any(isinstance(event, ToolReturned) and event.result == "0.36" for log in logs for event in log)
