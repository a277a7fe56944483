"""`rhetor mcp` on a user's machine: it starts the hub, prints nothing but messages, and outlives a hub."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine

pytestmark = pytest.mark.anyio
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "e2e", "version": "1"}}


def message(method: str, id: int | None = None, **params: Any) -> str:
    named = {} if id is None else {"id": id}
    return json.dumps({"jsonrpc": "2.0", **named, "method": method, "params": params}) + "\n"


def begun(machine: Machine) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [machine.bin / "rhetor", "mcp"],
        env={**machine.environment, "RHETOR_HUB__PORT": "0", "RHETOR_MODELS__DEFAULT": "offline"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def said(process: subprocess.Popen[str], text: str) -> Any:
    """Send a message, and return the next one that the process prints."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(text)
    return json.loads(process.stdout.readline())


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def test_it_starts_the_hub_and_prints_only_messages(machine: Machine) -> None:
    process = begun(machine)
    opened = said(process, message("initialize", 1, **HELLO))
    assert opened["result"]["serverInfo"]["name"] == "rhetor"
    assert machine.hub_pid() > 0
    invalid = said(process, "this is no message\n")
    assert (invalid["id"], invalid["error"]["code"]) == (None, -32700)
    assert process.stdin is not None
    process.stdin.write(message("notifications/initialized"))
    # the answers to what was sent before the end of its input come all the same
    process.stdin.write(
        message("tools/call", 2, name="ask_peer", arguments={"peer": "apollo", "message": "hi"})
    )
    code, out, err = ended(process)
    (answer,) = map(json.loads, out.splitlines())
    assert (code, answer["id"], answer["result"]["isError"]) == (0, 2, False)
    assert all(line.startswith("rhetor: ") for line in err.splitlines())


@pytest.mark.long
def test_it_continues_at_a_new_hub_when_the_hub_was_killed(machine: Machine) -> None:
    process = begun(machine)
    said(process, message("initialize", 1, **HELLO))
    assert process.stdin is not None
    process.stdin.write(message("notifications/initialized"))
    first = said(process, message("tools/call", 2, name="list_sessions", arguments={}))
    assert not first["result"]["isError"]
    machine.kill_hub()
    second = said(process, message("tools/call", 3, name="list_sessions", arguments={}))
    if "error" in second:  # it was sent before the end of the hub was noticed
        assert second["error"]["code"] == -32000
        second = said(process, message("tools/call", 4, name="list_sessions", arguments={}))
    assert not second["result"]["isError"]
    assert ended(process)[0] == 0


def test_without_a_hub_it_ends_with_a_sentence(machine: Machine) -> None:
    machine.folder.mkdir(parents=True)
    (machine.folder / "config.yaml").write_text("nonsense: 1\n")
    code, out, err = ended(begun(machine))
    assert (code, out) == (1, "")
    assert "Traceback" not in err and "nonsense" in err


@pytest.mark.long
async def test_the_configuration_is_a_resource_without_secrets(machine: Machine, tmp_path: Path) -> None:
    from mcp import Client, StdioServerParameters
    from mcp_types import TextResourceContents

    machine.folder.mkdir(parents=True)
    machine.folder.chmod(0o700)
    (machine.folder / "config.yaml").write_text(
        "mcp_servers: {files: {command: [files], env: {FILES_KEY: sesame-open-1234}}}\n"
    )
    environment = {**machine.environment, "RHETOR_HUB__PORT": "0", "RHETOR_MODELS__DEFAULT": "offline"}
    server = StdioServerParameters(command=str(machine.bin / "rhetor"), args=["mcp"], env=environment)
    async with Client(server, cache=None) as client:
        (content,) = (await client.read_resource("rhetor://config")).contents
    assert isinstance(content, TextResourceContents)
    shown = content.text
    listed = {each["key"]: each for each in json.loads(shown)["config"]}
    assert listed["mcp_servers.files.command"]["origin"].endswith("config.yaml:1")
    assert listed["mcp_servers.files.env.FILES_KEY"]["value"] == "(masked)"
    assert "sesame" not in shown
