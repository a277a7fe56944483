from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhetor.store.files.base import DamagedObject, Obstructed, RestoreUndone
from rhetor.store.files.restore import Restore
from rhetor.store.files.store import FileStore
from tests.scale import scaled

from .folders import read, write

NAMES = st.sampled_from(["a", "b", "c", "a/a", "a/b", "b/a", "b/a/a", "c/a/b"])
CONTENTS = st.one_of(st.none(), st.sampled_from([b"", b"x", b"text"]))
TREES = st.dictionaries(NAMES, st.tuples(CONTENTS, st.sampled_from([0o644, 0o755, 0o600]), st.booleans()))


def restore(store: FileStore, folder: Path, target: bytes) -> bytes | None:
    """Restore the folder. Return the snapshot of what changed meanwhile."""
    before = store.take(folder, include=store.paths(target))
    journal = store.restore(folder, target, before.root)
    store.settle(journal)
    return journal.saved


def grow(folder: Path, tree: dict[str, tuple[bytes | None, int, bool]]) -> None:
    """Make the folder contain the tree. A name below one that is a file is left out."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for name, (content, mode, is_link) in sorted(tree.items()):
        path = folder / name
        if any(above.is_symlink() or above.is_file() for above in (path, *path.parents)):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_link:
            if not path.exists():
                path.symlink_to((content or b"nowhere").decode() or "empty")
        elif content is None:
            path.mkdir(exist_ok=True)
        elif not path.exists():
            path.write_bytes(content)
            path.chmod(mode)


@pytest.mark.long
@settings(max_examples=scaled(500, 25), deadline=None)
@given(TREES, TREES)
def test_a_restored_folder_is_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    old: dict[str, tuple[bytes | None, int, bool]],
    new: dict[str, tuple[bytes | None, int, bool]],
) -> None:
    base = tmp_path_factory.mktemp("any")
    store, folder = FileStore(base / "store", max_file_bytes=1000), base / "project"
    folder.mkdir()
    grow(folder, old)
    expected, target = read(folder), store.take(folder).root
    grow(folder, new)
    assert restore(store, folder, target) is None
    assert read(folder) == expected
    assert store.take(folder).root == target
    store.close()


def test_what_gitignore_excludes_and_git_itself_are_not_touched(store: FileStore, folder: Path) -> None:
    write(folder, {".gitignore": "out/\n*.log\n", "a": "1", "src/x": "1"})
    target = store.take(folder).root
    others: dict[str, str | bytes | None] = {".git/HEAD": "ref", "out/big": "x", "src/run.log": "x"}
    write(folder, {"a": "2", "new/b": "2", "new/b.log": "x", **others})
    assert restore(store, folder, target) is None
    kept = {name: content for name, (_, content) in read(folder).items() if content is not None}
    assert kept == {
        ".gitignore": b"out/\n*.log\n", "a": b"1", "src/x": b"1", "new/b.log": b"x", ".git/HEAD": b"ref",
        "out/big": b"x", "src/run.log": b"x",
    }  # fmt: skip


def test_a_file_that_became_ignored_is_in_the_snapshot_that_is_taken_before(
    store: FileStore, folder: Path
) -> None:
    write(folder, {"a": "old"})
    target = store.take(folder).root
    write(folder, {".gitignore": "a\n", "a": "new"})
    before = store.take(folder, include=store.paths(target)).root
    store.settle(store.restore(folder, target, before))
    assert (folder / "a").read_text() == "old"
    restore(store, folder, before)
    assert (folder / "a").read_text() == "new"


def test_a_file_that_changed_after_the_snapshot_is_saved(
    store: FileStore, folder: Path, tmp_path: Path
) -> None:
    write(folder, {"a": "1", "b/c": "1", "gone": "1"})
    target = store.take(folder).root
    write(folder, {"a": "2", "b/c": "2"})
    before = store.take(folder, include=store.paths(target)).root
    write(folder, {"a": "3", "b/c": "33"})
    (folder / "gone").chmod(0o700)
    journal = store.restore(folder, target, before)
    assert (folder / "a").read_text() == "1"
    assert journal.saved is not None
    store.export(journal.saved, tmp_path / "saved")
    assert (tmp_path / "saved/a").read_text() == "3"
    assert (tmp_path / "saved/b/c").read_text() == "33"


def test_a_file_that_was_created_after_the_snapshot_is_in_the_way(store: FileStore, folder: Path) -> None:
    write(folder, {"a": "1", "b": "1"})
    target = store.take(folder).root
    (folder / "a").unlink()
    write(folder, {"b": "2"})
    before = store.take(folder, include=store.paths(target)).root
    write(folder, {"a": "3"})
    changed = read(folder)
    with pytest.raises(Obstructed, match="a is in the way"):
        store.restore(folder, target, before)
    assert (read(folder), store.unfinished()) == (changed, [])


def test_a_folder_with_ignored_files_is_not_replaced_by_a_file(store: FileStore, folder: Path) -> None:
    write(folder, {".gitignore": "*.log\n", "a": "1", "b": "1"})
    target = store.take(folder).root
    (folder / "a").unlink()
    write(folder, {"a/x": "2", "a/y/run.log": "2", "b": "2"})
    changed = read(folder)
    with pytest.raises(Obstructed, match=r"a/y/run\.log is in the way"):
        restore(store, folder, target)
    assert read(folder) == changed


def test_a_file_that_is_too_large_to_be_saved_is_not_overwritten(store: FileStore, folder: Path) -> None:
    write(folder, {"a": "1"})
    target = store.take(folder).root
    write(folder, {"a": b"x" * 1001})
    with pytest.raises(Obstructed, match="a is in the way"):
        restore(store, folder, target)
    assert (folder / "a").stat().st_size == 1001


def test_a_link_in_place_of_a_folder_is_not_followed(store: FileStore, folder: Path, tmp_path: Path) -> None:
    write(folder, {"a/b": "1"})
    target = store.take(folder).root
    write(tmp_path / "elsewhere", {"b": "mine"})
    (folder / "a/b").unlink()
    (folder / "a").rmdir()
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    assert restore(store, folder, target) is None
    assert (folder / "a/b").read_text() == "1"
    assert (tmp_path / "elsewhere/b").read_text() == "mine"


def test_nothing_changes_if_an_object_is_damaged(store: FileStore, folder: Path, tmp_path: Path) -> None:
    write(folder, {"a": os.urandom(500), "b": "1"})
    target = store.take(folder).root
    pack = tmp_path / "store/1.pack"
    write(folder, {"a": "2", "b": "2"})
    pack.write_bytes(bytes(100) + pack.read_bytes()[100:])
    changed = read(folder)
    with pytest.raises(DamagedObject):
        restore(store, folder, target)
    assert read(folder) == changed


def test_a_restore_that_fails_is_undone(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"a": "1", "b": "1", "c": "1"})
    target = store.take(folder).root
    write(folder, {"a": "2", "b": "2", "c": "2"})
    changed = read(folder)
    fail_at_second_file(monkeypatch)
    with pytest.raises(RestoreUndone, match="No space left") as undone:
        restore(store, folder, target)
    assert (read(folder), undone.value.journal.saved) == (changed, None)
    store.settle(undone.value.journal)
    assert store.unfinished() == []


def test_a_file_that_changes_while_a_restore_fails_is_saved(
    store: FileStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"a": "1", "b": "1", "c": "1"})
    target = store.take(folder).root
    write(folder, {"a": "2", "b": "2", "c": "2"})
    fail_at_second_file(monkeypatch, lambda: write(folder, {"a": "mine", "c": "mine too"}))
    with pytest.raises(RestoreUndone) as undone:
        restore(store, folder, target)
    journal = undone.value.journal
    assert store.unfinished() == [journal]
    assert journal.undone and journal.saved is not None
    store.export(journal.saved, tmp_path / "saved")
    assert (tmp_path / "saved/a").read_text() == "mine"
    assert (tmp_path / "saved/c").read_text() == "mine too"


def fail_at_second_file(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> None:
    """Let the disk be full when the second file is replaced, once. `then` is called at that moment."""
    real, calls = Restore._move_away, []

    def fails_once(self: Restore, *more: int | bytes) -> None:
        calls.append(more)
        if len(calls) == 2:
            then()
            raise OSError(28, "No space left on device")
        real(self, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Restore, "_move_away", fails_once)
