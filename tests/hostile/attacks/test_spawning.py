"""Programs are started from argument lists, with their own environment, and what looks like an option or a
command of a shell is text."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.e2e.home import Machine
from tests.hostile.running import RunningHub, at_a_port

from rhetor.domain.program_keys import HOME, KEY, URL

pytestmark = pytest.mark.long

SHOWS = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]), flush=True)
for line in sys.stdin:
    print(json.dumps([sys.argv[1:], dict(os.environ)]), flush=True)
"""
EVIL = (";id", "$(id)", "`id`", "&& id", "-rf", "--help", "\n id", "'; id; '", "*", "~", "$HOME", "%s", "-")


def script(path: Path, text: str) -> Path:
    path.write_text(text.replace("{python}", sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_arguments_reach_a_wrapped_program_unchanged(hub: RunningHub, tmp_path: Path) -> None:
    shows = script(tmp_path / "shows", SHOWS)
    body: Any = {
        "name": "shown",
        "kind": "stdio",
        "argv": [str(shows), *EVIL],
        "cwd": "/",
        "env": {"A": "$(id)"},
    }
    with at_a_port(hub.socket) as url:
        headers = {"host": "localhost"}
        made = requests.post(f"{url}/api/v2/programs", json=body, headers=headers, timeout=60)
    assert made.status_code == 200, made.text
    answer = hub.ask("POST", "/api/v2/ai/shown/message", json={"content": "show", "execute": True})
    arguments, environment = json.loads(answer.json()["response"].splitlines()[-1])
    assert arguments == list(EVIL)
    assert environment["A"] == "$(id)"
    assert set(environment) - {"LC_CTYPE"} == {"A", KEY, HOME, URL}
    assert "rk_" not in environment[KEY]  # its own key is masked in what it prints
    assert hub.ask("DELETE", "/api/v2/programs/shown").status_code == 200


def test_a_configured_program_sees_no_secret_and_no_loader_variable_of_the_hub(
    machine: Machine, tmp_path: Path
) -> None:
    shows = script(tmp_path / "shows", SHOWS)
    tools = {"shown": {"driver": "stdio", "executable": str(shows), "args": list(EVIL), "cwd": "/"}}
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": tools}))
    hidden = {
        "OPENAI_API_KEY": "sk-sesame-12345",
        "MY_PASSWORD": "sesame-12345",
        "LD_LIBRARY_PATH": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "BASH_ENV": str(shows),
        "NODE_OPTIONS": "--require x",
    }
    ran = machine.run("shown", "-x", "show", variables=hidden)
    assert ran.returncode == 0, ran.stderr
    arguments, environment = json.loads(ran.stdout.splitlines()[-1])
    assert arguments == list(EVIL)
    assert not set(environment) & set(hidden)
    assert "sesame" not in json.dumps(environment)
    token = (machine.folder / "token").read_text().strip()
    assert token not in ran.stdout


def test_a_program_in_the_callers_folder_does_not_shadow_one_on_the_path(
    machine: Machine, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    for name in ("git", "claude", "sh", "python3", "cat"):
        script(tmp_path / name, f"#!/bin/sh\ntouch {proof}\n")
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    tools = {"cat": {"driver": "stdio", "executable": "cat", "cwd": "caller"}}
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": tools}))
    ran = machine.run("cat", "-x", "hello", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "hello\n")
    assert machine.run("doctor", cwd=tmp_path).returncode in (0, 1)
    assert not proof.exists()
