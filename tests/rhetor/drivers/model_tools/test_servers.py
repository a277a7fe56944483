"""How MCP servers are configured and reached; a hub loads nothing for them before a turn needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhetor.domain.program_keys import ProgramKeys
from rhetor.drivers.model_tools.mcp_reach import ServerEntry
from rhetor.drivers.model_tools.mcp_stdio import allowed
from rhetor.drivers.model_tools.servers import ToolServers
from rhetor.errors import InvalidSettings
from rhetor.settings import peers_of, read_settings

pytestmark = pytest.mark.anyio
COMMAND = (sys.executable, "-m", "tests.tool_server")
ROOT = str(Path(__file__).parents[4])


@pytest.fixture
def listening() -> Iterator[str]:
    """Run a server that speaks HTTP; yield its URL."""
    with subprocess.Popen(
        [*COMMAND, "http"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as program:
        assert program.stdout is not None
        yield program.stdout.readline().strip()
        program.terminate()


async def test_a_server_is_reached_by_its_url(listening: str) -> None:
    servers = ToolServers({"small": ServerEntry(url=listening, allow_private=True)}, {}, ROOT)
    try:
        assert "add" in [tool.name for tool in await servers.tools("small")]
        result = await servers.call("small", "c", "add", {"a": 1, "b": 2})
        assert (result.result, result.is_error) == ({"result": 3}, False)
    finally:
        await servers.aclose()


@pytest.mark.long
async def test_a_server_program_has_a_key_while_it_runs(tmp_path: Path) -> None:
    told = tmp_path / "told"
    tells = (
        f"import os; open({str(told)!r}, 'w').write(os.environ['RHETOR_TOKEN'] + os.environ['RHETOR_URL'])"
    )
    command = (sys.executable, "-c", f"{tells}; import tests.tool_server as s; s.main()")
    keys = ProgramKeys(place={"RHETOR_URL": "|http://127.0.0.1:1"})
    servers = ToolServers({"small": ServerEntry(command)}, dict(os.environ), ROOT, keys=keys)
    try:
        assert "add" in [tool.name for tool in await servers.tools("small")]
        key, url = told.read_text().split("|")
        assert url == "http://127.0.0.1:1"
        found = keys.find(key)
        assert found is not None
        assert found[0] == "mcp:small"
    finally:
        await servers.aclose()
    assert keys.find(key) is None


def test_a_server_program_sees_only_allowed_variables() -> None:
    own = {"PATH": "/bin", "HOME": "/home/me", "LANG": "C", "OPENAI_API_KEY": "sk-1", "LD_PRELOAD": "/x.so"}
    assert allowed(own, ("EDITOR",), {"X": "1"}) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LANG": "C",
        "X": "1",
    }
    assert allowed(own, ("OPENAI_API_KEY",), {"PATH": "/own"})["OPENAI_API_KEY"] == "sk-1"


@pytest.mark.long
def test_no_heavy_module_is_imported_before_a_turn_needs_it() -> None:
    heavy = "{'pydantic_ai', 'mcp', 'openai', 'anthropic'}"
    code = f"import sys, rhetor.serving; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def _file(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def test_servers_and_the_peers_that_use_them_are_read_from_the_file(tmp_path: Path) -> None:
    text = """
mcp_servers:
  files: {command: [uvx, mcp-server-files, /srv], approve: [write], pass_env: [EDITOR]}
  tickets: {url: "https://mcp.example.com/mcp", approve: all}
specialists:
  apollo: {mcp_servers: [files, tickets]}
"""
    settings = read_settings(_file(tmp_path, text))
    assert settings.mcp_servers["files"].command == ("uvx", "mcp-server-files", "/srv")
    assert settings.mcp_servers["tickets"].approve == "all"
    [apollo] = [peer for peer in peers_of(settings) if peer.name == "apollo"]
    assert apollo.mcp_servers == ("files", "tickets")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mcp_servers: {a: {}}", "set either command or url"),
        ("mcp_servers: {a: {command: [x], url: 'http://x'}}", "set either command or url"),
        ("mcp_servers: {a: {command: 'x; rm -rf /'}}", "mcp_servers.a.command"),
        ("mcp_servers: {a: {command: [x], approve: some}}", "mcp_servers.a.approve"),
    ],
)
def test_an_invalid_server_entry_is_rejected(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        peers_of(read_settings(_file(tmp_path, text)))
