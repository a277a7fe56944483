"""Snapshots in new folders and git worktrees: the repository's index and files stay as they were."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rhetor.store.files.base import DamagedObject, GitFailed
from rhetor.store.files.store import FileStore

from .folders import read, write


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    ran = subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True)
    return ran.stdout


@pytest.fixture
def repository(folder: Path) -> Path:
    """A repository with a commit, a staged change and an unstaged one. `kept.log` is in the commit, although
    it is ignored."""
    git(folder, "init", "--quiet", "-b", "main")
    write(folder, {"a": "one", "gone": "gone", "sub/b": "two", ".gitignore": "*.log", "kept.log": "kept"})
    git(folder, "add", "--force", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    write(folder, {"sub/b": "staged"})
    git(folder, "add", "sub/b")
    write(folder, {"a": "changed", "new": "new", "run.log": "ignored"})
    (folder / "gone").unlink()
    return folder


def test_a_worktree_has_the_files_of_the_snapshot_on_a_branch_of_its_own(
    store: FileStore, repository: Path, tmp_path: Path
) -> None:
    root = store.take(repository).root
    write(repository, {"a": "later"})
    before = git(repository, "status", "--porcelain"), read(repository), _git_files(repository)
    made = store.export_worktree(root, repository, tmp_path / "copy", "aish/copy")
    assert made == tmp_path / "copy"
    names = {name for name in read(made) if not name.startswith(".git/") and name != ".git"}
    assert names == {".gitignore", "a", "kept.log", "new", "sub", "sub/b"}
    assert ((made / "a").read_text(), (made / "sub/b").read_text()) == ("changed", "staged")
    assert git(made, "branch", "--show-current") == "aish/copy\n"
    assert git(made, "status", "--porcelain").splitlines() == [" M a", " D gone", " M sub/b", "?? new"]
    after = git(repository, "status", "--porcelain"), read(repository), _git_files(repository)
    assert after[0] == before[0]
    assert {name: what for name, what in after[1].items() if not name.startswith(".git")} == {
        name: what for name, what in before[1].items() if not name.startswith(".git")
    }
    assert after[2] == before[2]


def _git_files(repository: Path) -> dict[str, bytes]:
    return {name: (repository / ".git" / name).read_bytes() for name in ("index", "HEAD", "config")}


def test_a_worktree_of_a_folder_in_a_repository_has_it_at_the_same_place(
    store: FileStore, repository: Path, tmp_path: Path
) -> None:
    root = store.take(repository / "sub").root
    made = store.export_worktree(root, repository / "sub", tmp_path / "copy", "aish/copy")
    assert made == tmp_path / "copy" / "sub"
    assert ((made / "b").read_text(), (tmp_path / "copy/a").read_text()) == ("staged", "one")


def test_no_hook_of_the_repository_runs(store: FileStore, repository: Path, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o700)
    git(repository, "config", "core.fsmonitor", str(hook))
    store.export_worktree(store.take(repository).root, repository, tmp_path / "copy", "aish/copy")
    assert not (tmp_path / "ran").exists()


def test_what_git_rejects_leaves_nothing(store: FileStore, repository: Path, tmp_path: Path) -> None:
    root = store.take(repository).root
    with pytest.raises(GitFailed, match="already exists") as failed:
        store.export_worktree(root, repository, tmp_path / "copy", "main")
    assert failed.value.repository
    with pytest.raises(DamagedObject):
        store.export_worktree(bytes(32), repository, tmp_path / "copy", "aish/copy")
    assert not (tmp_path / "copy").exists()
    assert git(repository, "branch", "--list", "aish/*") == ""
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_folder_outside_a_repository_is_reported_as_such(
    store: FileStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(GitFailed, match="not a git repository") as failed:
        store.export_worktree(store.take(folder).root, folder, tmp_path / "copy", "aish/copy")
    assert not failed.value.repository


def test_a_worktree_can_be_removed(store: FileStore, repository: Path, tmp_path: Path) -> None:
    place = repository, tmp_path / "copy", "aish/copy"
    store.export_worktree(store.take(repository).root, *place)
    store.remove_worktree(*place)
    store.remove_worktree(*place)
    assert not (tmp_path / "copy").exists()
    assert git(repository, "branch", "--list", "aish/*") == ""


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_there_already_is_not_replaced(
    store: FileStore, folder: Path, tmp_path: Path, kind: str
) -> None:
    write(folder, {"a": "one"})
    root, target = store.take(folder).root, tmp_path / "copy"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        write(target, {"mine": "mine"})
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        store.export(root, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "project", "store"]


def test_an_empty_folder_is_filled(store: FileStore, folder: Path, tmp_path: Path) -> None:
    write(folder, {"a": "one"})
    (tmp_path / "copy").mkdir()
    store.export(store.take(folder).root, tmp_path / "copy")
    assert read(tmp_path / "copy") == read(folder)


def test_an_export_that_fails_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(DamagedObject):
        store.export(bytes(32), tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
