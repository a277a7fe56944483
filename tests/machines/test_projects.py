"""Projects of a machine, and the checkpoints of their files, which stay on the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import Machine
from tests.machines.joined import CONFIG, BuildHost, node_token, until_status, url_of


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a project on the build host."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "page.txt").write_text("first")
    return folder


@pytest.fixture
def host(machine: Machine, tmp_path: Path, site: Path) -> Iterator[BuildHost]:
    """A build host with a project that has joined."""
    url = url_of(machine)
    join = {**CONFIG["join"], "projects": {"site": str(site)}}
    made = BuildHost(tmp_path / "host", node_token(machine, "build1"), {**CONFIG, "join": join})
    try:
        made.join(url)
        yield made
    finally:
        made.leave()


def test_an_agent_works_in_a_project_of_its_machine(machine: Machine, host: BuildHost, site: Path) -> None:
    found = {each["name"]: each for each in json.loads(machine.run("project", "list", "json").stdout)}
    assert found["site@build1"]["path"] == str(site)
    listed = json.loads(machine.run("list", "type", "project", "json").stdout)
    assert [each["name"] for each in listed] == ["project:site@build1"]
    made = machine.run("session", "create", "w", "--tool", "worker@build1", "--project", "site@build1")
    assert made.returncode == 0, made.stderr
    assert machine.run("worker@build1", "-s", "w", "where").stdout.strip() == str(site)


def test_a_checkpoint_keeps_and_restores_the_files_on_the_machine(
    machine: Machine, host: BuildHost, site: Path
) -> None:
    made = machine.run("session", "create", "w", "--tool", "worker@build1", "--project", "site@build1")
    assert made.returncode == 0, made.stderr
    assert machine.run("worker@build1", "-s", "w", "count 1").returncode == 0
    kept = machine.run("session", "checkpoint", "w", "before")
    assert kept.returncode == 0, kept.stderr
    (site / "page.txt").write_text("second")
    (site / "new.txt").write_text("new")
    shown = machine.run("session", "diff", "w", "before")
    assert "page.txt" in shown.stdout, shown.stdout + shown.stderr
    restored = machine.run("session", "restore", "w", "before", "--yes")
    assert restored.returncode == 0, restored.stderr
    assert (site / "page.txt").read_text() == "first"
    assert not (site / "new.txt").exists()
    assert not (machine.folder / "checkpoints" / "objects").exists()


def test_files_are_not_kept_while_the_machine_is_away(machine: Machine, host: BuildHost, site: Path) -> None:
    machine.run("session", "create", "w", "--tool", "worker@build1", "--project", "site@build1")
    assert machine.run("worker@build1", "-s", "w", "count 1").returncode == 0
    host.stop()
    until_status(machine, "worker@build1", "offline")
    kept = machine.run("session", "checkpoint", "w", "before")
    assert kept.returncode != 0
    assert "build1 is offline" in kept.stderr


def test_a_project_and_an_agent_of_different_machines_are_rejected(
    machine: Machine, host: BuildHost, tmp_path: Path
) -> None:
    machine.environment["RHETOR_PROJECTS__ROOTS"] = json.dumps([str(tmp_path)])
    (tmp_path / "own").mkdir()
    for project, tool in (("site@build1", "codex"), ("nowhere@build1", "worker@build1")):
        made = machine.run("session", "create", "w", "--tool", tool, "--project", project)
        assert made.returncode != 0
        assert "on build1" in made.stderr or "no project" in made.stderr, made.stderr


def test_what_needs_the_files_here_is_rejected_for_an_agent_of_a_machine(
    machine: Machine, host: BuildHost
) -> None:
    machine.run("session", "create", "w", "--tool", "worker@build1", "--project", "site@build1")
    assert machine.run("worker@build1", "-s", "w", "count 1").returncode == 0
    for command in (
        ("session", "fork", "w", "copy", "--worktree"),
        ("sessions", "import", "--tool", "worker@build1"),
    ):
        refused = machine.run(*command)
        assert refused.returncode != 0
        assert "build1" in refused.stderr, refused.stderr
