"""Whatever texts of peers, sessions and errors contain, the terminal of `aish` gets only text and colours."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.e2e.home import Machine
from tests.hostile.attacks.poisoning import poisoning
from tests.hostile.running import at_a_port

pytestmark = pytest.mark.long

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# with which the shell itself draws an answer again while it arrives
DRAWING = re.compile(r"\x1b\[(\?7[lh]|\?25[lh]|0?[JK]|[0-9]{0,2}[ABCDG])|\r(?=\x1b\[|\n)")
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
COMMANDS = (
    "list", "list --json", "status", "status --json", "whoami", "doctor", "history", "history --json",
    "history search hello", "session list", "session list --json", "session show SESSION",
    "session timeline SESSION", "session export SESSION", "explain apollo", "explain box", "explain nobody",
    "tools list", "tools capabilities box", "mcp list", "mcp list --json", "project list", "project show p",
    "usage", "usage --by peer", "usage --budgets", "forward list", "routes", "route list", "purpose",
    "purpose list", "context show apollo", "context apollo", "sockets", "approve", "approve --json",
    "deny", "teams", "help", "wait apollo", "session diff SESSION", "session checkpoint SESSION again",
    "apollo hello", "apollo --json hello", "apollo -s SESSION hello", "nobody hello", "-c apollo|athena",
    "team-chat hello", "ask @code-analysis hello", "session end nobody", "stop nobody", "tools launch nobody",
    "inbox", "alias", "token list",
)  # fmt: skip


def shown(machine: Machine, home: Path, command: str) -> str:
    """Run a command at a terminal, and return what it wrote there."""
    master, terminal = pty.openpty()
    words = ["-c", "apollo hello | athena"] if command.startswith("-c") else command.split()
    environment = {**machine.environment, "RHETOR_HOME": str(home), "TERM": "xterm-256color", "PAGER": "cat"}
    process = subprocess.Popen(
        [machine.bin / "aish", *words],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env=environment,
    )
    os.close(terminal)
    found = b""
    try:
        while piece := os.read(master, 1 << 16):
            found += piece
    except OSError:
        pass  # the terminal is closed
    os.close(master)
    assert process.wait(60) is not None
    return found.decode("utf-8", "replace").replace("\r\n", "\n")


def test_no_command_writes_a_sequence_of_others_to_the_terminal(machine: Machine, tmp_path: Path) -> None:
    machine.environment["RHETOR_PROJECTS__ROOTS"] = json.dumps([str(tmp_path)])
    assert machine.run("apollo", "hello there").returncode == 0
    hub = machine.folder / "hub.sock"
    with at_a_port(hub) as url:
        host = {"host": "localhost"}
        made = requests.post(
            f"{url}/api/v2/sessions", json={"specialist_id": "apollo"}, headers=host, timeout=60
        )
        session = made.json()["id"]
        things: list[tuple[str, Any]] = [
            (f"/api/v2/sessions/{session}/message", {"message": "hello"}),
            (f"/api/v2/sessions/{session}/checkpoint", {"name": "first"}),
            ("/api/v2/routes", {"name": "r", "hops": [{"ai": "apollo", "purpose": "p"}]}),
            ("/api/mcp-servers", {"name": "small", "command": ["/bin/true"]}),
            ("/api/projects", {"name": "p", "path": str(tmp_path)}),
            ("/api/ai/socket/create", {"ai_name": "apollo"}),
            ("/api/v2/context/apollo/stage", {"text": "staged"}),
        ]
        for path, body in things:
            answer = requests.post(f"{url}{path}", json=body, headers=host, timeout=60)
            assert answer.status_code == 200, (path, answer.text)
    home = tmp_path / "poisoned"
    home.mkdir(0o700)
    found = {}
    with poisoning(hub, home / "hub.sock"):
        for command in COMMANDS:
            found[command] = shown(machine, home, command.replace("SESSION", session))
    wrong = [f"{command}: {text!r}" for command, text in found.items() if not _is_safe(text)]
    assert not wrong, "\n".join(wrong)
    assert sum("2;c;" not in text and len(text) > 40 for text in found.values()) > 20


def _is_safe(text: str) -> bool:
    left = DRAWING.sub("", COLOUR.sub("", text))
    hides = re.search("\x1b\\[[0-9;]*8m", text)
    return not (FORBIDDEN.search(left) or hides or "Traceback" in text)
