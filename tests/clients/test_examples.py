"""The programs of `examples/`, unchanged, against a hub, while their connections are cut."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.clients.having import node_with_socketio
from tests.clients.relay import relayed
from tests.scripted import Script
from tests.served import CONSOLE, TOKEN, served

from rhetor.auth.addresses import Addresses
from rhetor.domain.output import Done, Text, ToolResult, ToolUse
from rhetor.errors import ProviderFailed

pytestmark = pytest.mark.anyio
EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST = "".join(f"first {n} ✓ " for n in range(200))
SECOND = "".join(f"second {n} ✓ " for n in range(200))
CUTS = (2_000, 1_500)  # bytes


def _pieces(text: str) -> list[Text]:
    return [Text(text[at : at + 100]) for at in range(0, len(text), 100)]


def _python(name: str, folder: Path) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLES / name)]


def _node(name: str, folder: Path) -> list[str]:
    node, packages = node_with_socketio()
    shutil.copy(EXAMPLES / name, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return [node, str(folder / name)]


Command = Callable[[str, Path], list[str]]
CLIENTS = pytest.mark.parametrize(
    ("name", "command"),
    [("websocket_client.py", _python), ("socketio_client.py", _python), ("socketio_client.mjs", _node)],
)


async def _ran(command: list[str], port: int, *words: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(*command, *words),
        env={
            "PATH": os.environ["PATH"],
            "RHETOR_URL": f"http://127.0.0.1:{port}",
            "RHETOR_TOKEN": TOKEN,
            "PYTHONUTF8": "1",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.long
@CLIENTS
async def test_a_client_prints_the_whole_answer_once_while_it_is_cut(
    tmp_path: Path, name: str, command: Command
) -> None:
    call: Script = [ToolUse("c_1", "search", {"q": 1}, "agent"), ToolResult("c_1", "found")]
    script: Script = [*_pieces(FIRST), *call, *_pieces(SECOND), Done()]
    argv = command(name, tmp_path)
    async with served(tmp_path, script) as home, relayed(home.port) as relay:
        home.node.addresses = Addresses(relay.port, CONSOLE)
        relay.cuts.extend(CUTS)
        code, out, err = await _ran(argv, relay.port, "apollo", "Hello")
        assert (code, relay.made) == (0, len(CUTS)), err
        assert out.replace("\n", "") == FIRST + SECOND
        assert home.driver.heard == [("apollo", "Hello")]


@pytest.mark.long
@CLIENTS
async def test_a_client_fails_if_the_turn_fails(tmp_path: Path, name: str, command: Command) -> None:
    argv = command(name, tmp_path)
    async with served(tmp_path, [Text("A part"), ProviderFailed("the model is gone")]) as home:
        code, out, err = await _ran(argv, home.port, "apollo", "Hello")
        assert (code, out) == (1, "A part\n")
        assert "the model is gone" in err


def test_the_code_of_the_how_to_page_is_that_of_the_example() -> None:
    page = (EXAMPLES.parent / "docs" / "how-to" / "front-end.md").read_text()
    script = (EXAMPLES / "front-end.html").read_text()
    excerpts = re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(excerpts) == 5
    missing = [text for text in excerpts if all(textwrap.indent(text, " " * n) not in script for n in (0, 2))]
    assert missing == []
