"""Other people's clients of MCP: the Inspector's command line, and the conformance suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.clients.having import CONFORMANCE, INSPECTOR, NODE, folder_with
from tests.e2e.home import Machine

ROOT = Path(__file__).parents[2]
KNOWN = Path(__file__).with_name("mcp_conformance.yaml")
SECONDS = 300
TOOL_ERROR = 5  # exit status of the Inspector


@dataclass
class Inspector:
    """The Inspector, connected to the server that `target` names."""

    folder: Path
    target: list[str]
    era: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ("--protocol-era", self.era, *arguments)
        words = [*self.target, *options] if self.is_url else [*options, "--", *self.target]
        return npm_program(INSPECTOR, "mcp-inspector", "--cli", *words, folder=self.folder)

    @property
    def is_url(self) -> bool:
        return self.target[0].startswith("http")

    def asked(self, *arguments: str) -> Any:
        ran = self.run("--method", *arguments)
        assert ran.returncode == 0, (ran.stdout, ran.stderr)
        return json.loads(ran.stdout)


def npm_program(
    package: str, program: str, *arguments: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of an npm package to its end, on npm's own Node."""
    modules = folder_with(package, NODE) / "node_modules"
    return subprocess.run(
        [modules / "node" / "bin" / "node", modules / ".bin" / program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(params=["http-legacy", "http-modern", "stdio-legacy", "stdio-modern"])
def inspector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inspector]:
    way, _, era = request.param.partition("-")
    machine = Machine(tmp_path / "home")
    machine.environment |= {"RHETOR_HUB__PORT": "0", "RHETOR_MODELS__DEFAULT": "offline"}
    try:
        started = machine.run("list")
        assert started.returncode == 0, started.stderr
        target = [str(machine.bin / "rhetor"), "mcp", "--home", str(machine.folder)]
        if way == "http":
            token = machine.rhetor("token").stdout.strip()
            options = ["--transport", "http", "--header", f"Authorization: Bearer {token}"]
            target = [f"{machine.status()['url']}/mcp", *options]
        yield Inspector(tmp_path, target, era)
    finally:
        machine.leave()


def test_the_inspector_lists_the_tools_and_asks_a_peer(inspector: Inspector) -> None:
    tools = {tool["name"] for tool in inspector.asked("tools/list", "--strict")["tools"]}
    assert {"list_peers", "ask_peer", "run_line"} <= tools
    asking = ("tools/call", "--tool-name", "ask_peer", "--tool-arg")
    answer = inspector.asked(*asking, "peer=apollo", "message=What is a cache?")
    assert "What is a cache?" in answer["content"][0]["text"]
    assert answer["structuredContent"]["ai"] == "apollo"
    (peers,) = inspector.asked("resources/read", "--uri", "rhetor://peers")["contents"]
    assert "apollo" in [peer["id"] for peer in json.loads(peers["text"])["peers"]]
    assert inspector.asked("prompts/get", "--prompt-name", "apollo")["messages"]
    refused = inspector.run("--method", *asking, "peer=nobody", "message=hi")
    assert refused.returncode == TOOL_ERROR
    assert json.loads(refused.stdout)["structuredContent"]["code"] == "unknown_peer"


@contextmanager
def fixtures_served() -> Iterator[str]:
    """Run the server with the fixtures of the conformance suite; yield its URL."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.mcp_everything"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_the_conformance_suite_fails_only_known_cases(revision: str, tmp_path: Path) -> None:
    known = yaml.safe_load(KNOWN.read_text())
    with fixtures_served() as url:
        ran = npm_program(
            CONFORMANCE,
            "conformance",
            *("server", "--url", url, "--requirements", revision, "-o", str(tmp_path / "out")),
            folder=tmp_path,
        )
    failed = {line.split()[1].rstrip(":") for line in ran.stdout.splitlines() if line.startswith("✗ ")}
    expected = known["server"] if revision == "2026-07-28" else []
    assert failed == set(expected), (ran.stdout[-4000:], ran.stderr[-2000:])
    assert "Total: " in ran.stdout
