"""The programs of docs/how-to/other-clients.md, run unchanged."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "other-clients.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.long
async def test_each_program_of_the_page_runs(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        environment = {
            "OPENAI_BASE_URL": f"{home.node.url}/v1",
            "OPENAI_API_KEY": TOKEN,
            "ANTHROPIC_BASE_URL": home.node.url,
            "ANTHROPIC_API_KEY": TOKEN,
        }
        printed = []
        for program in PROGRAMS:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program), env=environment, stdout=-1, stderr=-1
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            printed.append(out.decode())
    first, second = printed
    assert "apollo heard: What is a cache?" in first and "athena heard" in first
    assert second == "apollo heard: What is a cache?\n"
