"""The ten tasks of the tutorial, each in at most two commands, as its reader types them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine

pytestmark = pytest.mark.long
TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
GIT = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
HEADING = "## Ten everyday tasks\n"
# what each task prints, in order
SHOWN = (
    "review this",
    "what is missing",
    "From Apollo",
    "No pending permission requests",
    "M main.py",
    "idea",
    "Athena, strategist",
    "Look at the cache first.",
    "apollo",
    "the error handling",
)


def tasks() -> list[list[str]]:
    """Return the commands of each task."""
    section = TUTORIAL.read_text().partition(HEADING)[2].partition("\n## ")[0]
    blocks = re.findall(r"^\d+\. .*?```console\n(.*?)```", section, re.MULTILINE | re.DOTALL)
    return [re.findall(r"^\s*\$ (.*)$", block, re.MULTILINE) for block in blocks]


def test_each_daily_task_takes_at_most_two_commands_that_work(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "main.py").write_text("print(1)\n")
    variables = {
        **machine.environment,
        "PATH": f"{machine.bin}{os.pathsep}{os.environ['PATH']}",
        "TERM": "xterm-256color",
        **dict.fromkeys(GIT, "ada@example.org"),
    }

    def run(command: str) -> str:
        ended = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        return ended.stdout

    run("git init -q && git add . && git commit -qm first")
    (folder / "main.py").write_text("print(2)\n")
    found = tasks()
    assert [1 <= len(commands) <= 2 for commands in found] == [True] * 10
    for commands, shown in zip(found, SHOWN, strict=True):
        printed = "".join(map(run, commands))
        assert shown in printed, (commands, printed)
