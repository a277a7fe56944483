"""Checkpoints from the shell: a conversation and the files of its project go back together."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.home import Machine
from tests.e2e.test_sessions import run_ok


@pytest.fixture
def site(machine: Machine, tmp_path: Path) -> Path:
    """The folder of a project in which the session `work` is."""
    folder = tmp_path / "site"
    folder.mkdir()
    machine.environment |= {"RHETOR_PROJECTS__ROOTS": json.dumps([str(tmp_path)])}
    run_ok(machine, "project", "create", "site", str(folder))
    run_ok(machine, "session", "create", "work", "--tool", "apollo", "--project", "site")
    return folder


@pytest.mark.long
def test_a_session_goes_back_to_a_checkpoint_with_its_files(machine: Machine, site: Path) -> None:
    (site / "a").write_text("one")
    run_ok(machine, "apollo", "hello", "-s=work")
    assert run_ok(machine, "session", "checkpoint", "work", "first").startswith(
        "✓ Made the checkpoint first (c_"
    )
    (site / "a").write_text("two")
    (site / "b").write_text("new")
    assert run_ok(machine, "session", "diff", "work", "first") == "~ a\n+ b\n"
    run_ok(machine, "session", "checkpoint", "work", "second")
    assert run_ok(machine, "session", "diff", "work", "second", "first") == "~ a\n- b\n"
    assert run_ok(machine, "session", "diff", "work", "second") == "Nothing differs\n"
    assert run_ok(machine, "session", "restore", "work", "first", "--dry-run") == "~ a\n- b\n"
    answer = " ".join(run_ok(machine, "apollo", "again", "-s=work").split())
    said = f"You: again\n{{0}} apollo: {answer[:69]}…\n"
    assert run_ok(machine, "session", "diff", "work", "second") == "+ " + said.format("+")
    shown = run_ok(machine, "session", "restore", "work", "first", "--dry-run")
    assert shown == "~ a\n- b\n\n- " + said.format("-")

    unasked = machine.run("session", "restore", "work", "first")
    assert (unasked.returncode, "add --yes" in unasked.stderr) == (2, True)
    assert (site / "a").read_text() == "two"
    machine.kill_hub()
    done = run_ok(machine, "session", "restore", "work", "first", "--yes")
    assert done.startswith("✓ Restored work to first (2 changes to files)\n")
    assert ((site / "a").read_text(), (site / "b").exists()) == ("one", False)

    run_ok(machine, "session", "checkpoint", "work", "other")
    tree = run_ok(machine, "session", "timeline", "work").splitlines()
    shape = [(line.partition(" 20")[0], line.split("  ")[2]) for line in tree]
    assert shape == [("o", "first"), ("└ o", "second"), ("└ *", "other")]
    run_ok(machine, "apollo", "differently", "-s=work")
    run_ok(machine, "session", "checkpoint", "work", "third")
    run_ok(machine, "session", "restore", "work", "second", "--yes")
    run_ok(machine, "apollo", "elsewhere", "-s=work")
    run_ok(machine, "session", "checkpoint", "work", "fourth")
    between = run_ok(machine, "session", "diff", "work", "third", "fourth").splitlines()
    assert between[:2] == ["~ a", "+ b"]
    assert [line.split(":")[0] for line in between[3:]] == ["- You", "- apollo", "+ You", "+ apollo"]
    assert (between[3], between[5]) == ("- You: differently", "+ You: elsewhere")


def test_unknown_and_ambiguous_checkpoints_are_named_as_such(machine: Machine, site: Path) -> None:
    for _ in range(2):
        run_ok(machine, "session", "checkpoint", "work", "same")
    for words, code, said in (
        (("restore", "work", "none", "--yes"), 3, "no checkpoint has the name or id 'none'"),
        (("restore", "work", "same", "--yes"), 2, "several checkpoints have the name 'same'; use an id: c_"),
        (("diff", "work", "none"), 3, "no checkpoint has the name or id 'none'"),
        (("checkpoint", "nobody"), 3, "no session has the name or id 'nobody'"),
        (("restore", "work", "same", "--force"), 2, "usage: aish sessions restore"),
    ):
        ran = machine.run("session", *words)
        assert (ran.returncode, said in ran.stderr) == (code, True), ran


@pytest.mark.long
def test_what_a_checkpoint_leaves_out_is_said(machine: Machine, site: Path) -> None:
    os.mkfifo(site / "pipe")
    made = machine.run("session", "checkpoint", "work")
    assert (made.returncode, "not in the checkpoint: pipe (not a file)" in made.stderr) == (0, True)


@pytest.mark.long
@pytest.mark.parametrize(("typed", "code", "content"), [(b"y\n", 0, "one"), (b"\n", 2, "two")])
def test_a_person_is_shown_the_changes_and_asked(
    machine: Machine, site: Path, typed: bytes, code: int, content: str
) -> None:
    (site / "a").write_text("one")
    run_ok(machine, "session", "checkpoint", "work", "first")
    (site / "a").write_text("two")
    ours, theirs = os.openpty()
    command = [str(machine.bin / "aish"), "session", "restore", "work", "first"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=machine.environment
    ) as ran:
        os.close(theirs)
        shown = b""
        while b"[y/N] " not in shown:
            shown += os.read(ours, 4096)
        assert b"~ a\r\nRestore work?" in shown
        os.write(ours, typed)
        assert ran.wait() == code
    os.close(ours)
    assert (site / "a").read_text() == content


@pytest.mark.long
def test_a_turn_is_taken_back_with_its_files_and_limits_are_reported(machine: Machine, site: Path) -> None:
    limits = {"RHETOR_CHECKPOINTS__MODE": "per_turn", "RHETOR_CHECKPOINTS__KEEP": "2"}
    machine.environment |= limits
    machine.kill_hub()
    (site / "a").write_text("one")
    assert "checkpoint" not in machine.run("apollo", "first", "-s=work").stderr
    (site / "a").write_text("two")
    run_ok(machine, "apollo", "second", "-s=work")
    assert timeline(machine) == ["before: first", "before: second"]

    site.rename(site.with_name("moved"))
    ran = machine.run("apollo", "third", "-s=work")
    assert (ran.returncode, "aish: no checkpoint of this turn: the files in" in ran.stderr) == (0, True)
    site.with_name("moved").rename(site)

    ran = machine.run("apollo", "fourth", "-s=work")
    assert "aish: removed the checkpoint 'before: first', and from now on older ones" in ran.stderr
    assert timeline(machine) == ["before: second", "before: fourth"]
    made = machine.run("session", "checkpoint", "work")
    assert made.stderr.startswith("aish: removed the checkpoint c_")
    assert made.stderr.endswith(" before: second (checkpoints.keep)\n")
    run_ok(machine, "session", "checkpoint", "work", "mine")
    (site / "a").write_text("three")
    run_ok(machine, "session", "restore", "work", "before: fourth", "--yes")
    assert (site / "a").read_text() == "two"


def timeline(machine: Machine) -> list[str]:
    shown = run_ok(machine, "session", "timeline", "work", "--json")
    return [each["name"] for each in json.loads(shown)["checkpoints"]]


@pytest.mark.long
def test_a_session_is_forked_into_a_folder_and_into_a_worktree(machine: Machine, site: Path) -> None:
    (site / "a").write_text("one")
    run_ok(machine, "session", "checkpoint", "work", "first")
    (site / "a").write_text("two")
    (site / "b").write_text("new")
    copy = site.parent / "copy"
    said = run_ok(machine, "session", "fork", "work", "--at", "first", "--cwd", str(copy))
    assert said.splitlines()[1] == f"  1 file in {copy}"
    assert ((copy / "a").read_text(), (copy / "b").exists()) == ("one", False)

    git = ("git", "-C", str(site), "-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    said = run_ok(machine, "session", "fork", "work", "tree", "--worktree")
    made = site.parent / "site-tree"
    assert said.splitlines()[1] == f"  2 files in {made}, a worktree on the branch aish/tree"
    assert ((made / "a").read_text(), (made / "b").read_text()) == ("two", "new")

    for words, code, text in (
        (("--cwd", str(copy)), 1, "exists and is not empty"),
        (("--at", "none"), 3, "no checkpoint has the name or id 'none'"),
        (("--worktree", str(site / "in")), 2, "is inside of"),
        (("--cwd", "x", "--worktree", "y"), 2, "usage: aish sessions fork"),
    ):
        ran = machine.run("session", "fork", "work", *words)
        assert (ran.returncode, text in ran.stderr) == (code, True), ran
