"""Programs under a real hub call it with what they find in their environment: by `aish`, curl and MCP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Machine

pytestmark = pytest.mark.long
# runs the command in each line of JSON, with these additional variables; prints its exit status and output
RUNS = """
import json, os, subprocess, sys
for line in sys.stdin:
    argv, given = json.loads(line)
    done = subprocess.run(argv, input=given, capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
"""
CURL = ("sh", "-c", 'exec curl -sS -H "Authorization: Bearer $RHETOR_TOKEN" "$@"', "curl")
MODERN = "2026-07-28"
MCP = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "list_peers"}
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


@pytest.fixture
def machine(machine: Machine) -> Iterator[Machine]:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "RHETOR_HUB__PORT": "0"}
    runner = {"executable": sys.executable, "args": ["-I", "-S", "-c", RUNS], "driver": "stdio"}
    machine.folder.mkdir(parents=True, exist_ok=True)
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": {"runner": runner}}))
    yield machine
    machine.end_programs()


def ran(machine: Machine, *argv: str, stdin: str = "") -> str:
    """Let the program run a command, which must succeed; return its output."""
    said = machine.run("runner", json.dumps([argv, stdin]), "-x")
    assert said.returncode == 0, said.stderr
    status, out, err = json.loads(said.stdout)
    assert status == 0, err
    return str(out)


def curled(machine: Machine, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Let the program send a request with curl; return the JSON of the response."""
    url = ran(machine, "sh", "-c", "echo $RHETOR_URL").strip()
    words = [word for pair in (headers or {}).items() for word in ("-H", ": ".join(pair))]
    if body is not None:
        words += ["-H", "content-type: application/json", "-d", json.dumps(body)]
    return json.loads(ran(machine, *CURL, *words, f"{url}{path}"))


def key_of(machine: Machine, file: Path) -> str:
    """Return the key of the program, which cannot be read from its output."""
    ran(machine, "sh", "-c", f'printf %s "$RHETOR_TOKEN" > {file}')
    return file.read_text()


def test_a_program_uses_aish_curl_and_mcp_with_its_environment(machine: Machine, tmp_path: Path) -> None:
    assert "hello" in ran(machine, str(machine.bin / "aish"), "apollo", "hello from the runner")
    answer = curled(machine, "/api/v2/ai/apollo/message", {"content": "hello by curl", "context_window": 5})
    assert "hello by curl" in answer["response"]
    history = json.dumps(curled(machine, "/api/v2/history"))
    assert "hello from the runner" in history
    assert "hello by curl" in history
    call = {"name": "list_peers", "arguments": {}, "_meta": META}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    found = curled(machine, "/mcp", asked, {**MCP, "accept": "application/json, text/event-stream"})
    assert "apollo" in json.dumps(found["result"])
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    bridged = json.loads(ran(machine, str(machine.bin / "rhetor"), "mcp", stdin=line + "\n"))
    assert bridged["result"]["serverInfo"]["name"] == "rhetor"
    refused = curled(machine, "/api/auth/code", {})
    assert (refused["status"], refused["subject"]) == (403, "agent:runner")


def test_a_program_in_a_network_namespace_reaches_the_hub(machine: Machine) -> None:
    isolated = ("unshare", "-rn")
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not allowed here")
    assert "hello" in ran(machine, *isolated, str(machine.bin / "aish"), "apollo", "hello")


def test_a_wrapped_shell_uses_aish_with_its_key(machine: Machine) -> None:
    made = machine.run("ci-terminal", "-n", "box", "--detach", "--", "bash", "--norc")
    assert made.returncode == 0, made.stderr
    said = machine.run("box", f"{machine.bin / 'aish'} apollo 'hello from the box'", "-x")
    assert "hello from the box" in said.stdout, said.stderr
    length = machine.run("box", "echo ${#RHETOR_TOKEN} ${RHETOR_TOKEN:0:3} $RHETOR_HOME", "-x")
    assert length.stdout.split() == ["46", "rk_", str(machine.folder)]


def test_the_key_survives_a_killed_hub_and_ends_with_the_program(machine: Machine, tmp_path: Path) -> None:
    key = key_of(machine, tmp_path / "key")
    assert curled(machine, "/api/v2/history") == {"history": []}
    machine.kill_hub()
    machine.run("status")
    assert key_of(machine, tmp_path / "again") == key  # the program has survived
    url = machine.status()["url"]

    def status() -> int:
        head = ["-H", f"Authorization: Bearer {key}", "-o", "/dev/null", "-w", "%{http_code}"]
        done = subprocess.run(["curl", "-sS", *head, f"{url}/api/v2/ai"], capture_output=True, check=True)
        return int(done.stdout)

    assert status() == 200
    assert machine.run("tools", "terminate", "runner").returncode == 0
    assert status() == 401
    assert key_of(machine, tmp_path / "new") != key


def test_the_key_is_in_no_file_of_the_hub(machine: Machine, tmp_path: Path) -> None:
    key = key_of(machine, tmp_path / "key")
    aish = machine.bin / "aish"
    for _ in range(2):
        shown = ran(machine, "sh", "-c", f'echo "key $RHETOR_TOKEN"; {aish} apollo "it is $RHETOR_TOKEN"')
        assert "key " in shown
        assert key not in shown
        machine.kill_hub()  # the next hub knows only its hash
    machine.run("shutdown")
    files = [file for file in machine.folder.rglob("*") if file.is_file()]
    found = [file for file in files if key.encode() in file.read_bytes()]
    assert found == []
