from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from rhetor.domain.snapshot import LeftOut
from rhetor.store.files import index
from rhetor.store.files import store as files
from rhetor.store.files.base import DamagedObject
from rhetor.store.files.on_demand import FilesOnDemand
from rhetor.store.files.store import FileStore

from .folders import age, read, write


def contents(store: FileStore, folder: Path) -> list[str]:
    return sorted(os.fsdecode(path) for path in store.paths(store.take(folder).root))


def test_an_exported_snapshot_has_every_byte_mode_link_and_empty_folder(
    store: FileStore, folder: Path, tmp_path: Path
) -> None:
    write(folder, {"a/b/c.txt": "text", "empty": b"", "binary": bytes(range(256)), "void": None})
    (folder / "a/b/c.txt").chmod(0o755)
    (folder / "a/link").symlink_to("b/c.txt")
    (folder / "broken").symlink_to("/nowhere/at all")
    write(folder, {os.fsdecode(b"not utf-8 \xff"): "x"})
    (folder / "a/b").chmod(0o500)
    store.export(store.take(folder).root, tmp_path / "copy")
    assert read(tmp_path / "copy") == read(folder)


def test_the_same_content_is_stored_once(store: FileStore, folder: Path) -> None:
    write(folder, {"a": "text", "b/c": "text"})
    first = store.take(folder)
    again = store.take(folder)
    assert (first.files, first.bytes, first.stored > 0) == (2, 8, True)
    assert (again.root, again.stored) == (first.root, 0)


def test_several_folders_share_their_content(store: FileStore, folder: Path, tmp_path: Path) -> None:
    write(folder, {"a": "text"})
    write(tmp_path / "other", {"a": "text"})
    first = store.take(folder)
    assert (store.take(tmp_path / "other").root, store.take(tmp_path / "other").stored) == (first.root, 0)


def test_a_change_that_keeps_size_and_time_is_noticed_if_it_follows_at_once(
    store: FileStore, folder: Path
) -> None:
    for number in range(20):
        write(folder, {"a": f"{number:03}"})
        root = store.take(folder).root
        [entry] = [change.new for change in store.diff(store.take(folder).root, root)] or [None]
        assert entry is None
        assert store.objects.read(_digest(store, root, b"a")) == b"%03d" % number


def _digest(store: FileStore, root: bytes, path: bytes) -> bytes:
    from rhetor.store.files.trees import paths

    return paths(store.objects, root)[path].digest


def test_what_gitignore_excludes_is_not_in_a_snapshot(store: FileStore, folder: Path) -> None:
    write(
        folder,
        {
            ".gitignore": "*.log\n/build/\n!keep.log\n",
            "a.log": "x",
            "keep.log": "x",
            "build/out": "x",
            "src/build/out": "x",
            "src/.gitignore": "!special.log\n*.tmp\n",
            "src/special.log": "x",
            "src/x.tmp": "x",
            "x.tmp": "x",
            ".git/config": "x",
            "sub/.git": "gitdir: elsewhere",
        },
    )
    expected = [
        ".gitignore", "keep.log", "src", "src/.gitignore", "src/build", "src/build/out", "src/special.log",
        "sub", "x.tmp",
    ]  # fmt: skip
    assert contents(store, folder) == expected
    assert contents(store, folder) == expected  # known from the last one


def test_a_changed_rule_holds_at_once(store: FileStore, folder: Path) -> None:
    write(folder, {".gitignore": "a\n", "a": "x", "b": "x", "c/a": "x"})
    assert contents(store, folder) == [".gitignore", "b", "c"]
    write(folder, {".gitignore": "b\n"})
    assert contents(store, folder) == [".gitignore", "a", "c", "c/a"]


def test_a_path_that_is_included_is_read_although_a_rule_excludes_it(store: FileStore, folder: Path) -> None:
    write(folder, {".gitignore": "build/\n", "build/a": "x", "build/b": "x"})
    found = store.paths(store.take(folder, include=[b"build/a"]).root)
    assert found == {b".gitignore", b"build", b"build/a"}


def test_what_is_left_out_is_reported_with_its_reason(store: FileStore, folder: Path) -> None:
    write(folder, {"large": b"x" * 1001, "just": b"x" * 1000})
    os.mkfifo(folder / "pipe")
    taken = store.take(folder)
    assert store.paths(taken.root) == {b"just"}
    assert taken.left_out == (
        LeftOut("large", 1001, "larger than 1000 bytes"),
        LeftOut("pipe", 0, "not a file"),
    )


def test_another_limit_on_the_size_of_files_holds_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "TICK", 0)  # the file is known from the first snapshot
    on_demand = FilesOnDemand(tmp_path / "store", max_file_bytes=1000)
    assert not on_demand.exists
    write(folder, {"a": b"x" * 500})
    age(folder)
    assert on_demand().take(folder).left_out == ()
    on_demand.max_file_bytes = 100
    [left] = on_demand().take(folder).left_out
    assert (left.path, left.reason, on_demand.exists) == ("a", "larger than 100 bytes", True)
    on_demand.close()


def test_the_folder_of_the_store_is_left_out(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store", max_file_bytes=1000)
    write(tmp_path, {"a": "x"})
    taken = store.take(tmp_path)
    store.close()
    assert [(left.path, left.reason) for left in taken.left_out] == [("store", "the hub's own folder")]


def test_a_diff_has_the_paths_that_differ(store: FileStore, folder: Path) -> None:
    write(folder, {"same": "x", "changed": "x", "gone/a": "x", "mode": "x", "kind": "x"})
    old = store.take(folder).root
    write(folder, {"changed": "y", "new/b": "x"})
    (folder / "gone/a").unlink()
    (folder / "gone").rmdir()
    (folder / "mode").chmod(0o700)
    (folder / "kind").unlink()
    (folder / "kind").mkdir()
    found = [(change.path, change.how) for change in store.diff(old, store.take(folder).root)]
    assert found == [
        (b"changed", "changed"), (b"gone", "removed"), (b"gone/a", "removed"), (b"kind", "changed"),
        (b"mode", "changed"), (b"new", "added"), (b"new/b", "added"),
    ]  # fmt: skip


def test_what_no_snapshot_contains_is_forgotten_and_stored_again_if_it_comes_back(
    store: FileStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"a": os.urandom(900), "b": os.urandom(900)})
    first = store.take(folder).root
    content = (folder / "a").read_bytes()
    (folder / "a").unlink()
    second = store.take(folder).root
    before = store.objects.size
    assert store.keep([second]) == 0  # no checkpoint may name the other one yet
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    assert store.keep([second]) > 800
    assert store.objects.size < before - 800
    with pytest.raises(DamagedObject):
        store.paths(first)
    write(folder, {"a": content})
    store.export(store.take(folder).root, tmp_path / "copy")
    assert (tmp_path / "copy/a").read_bytes() == content


def test_what_is_read_while_garbage_is_removed_is_found(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    write(folder, {"a": "kept", "b": os.urandom(900)})
    store.take(folder)
    (folder / "b").unlink()
    root = store.take(folder).root
    digest = _digest(store, root, b"a")
    real = store.objects._place

    def moved(names: Sequence[bytes]) -> tuple[bytes, int, int, int] | None:
        place = real(names)
        monkeypatch.setattr(store.objects, "_place", real)
        store.keep([root])
        assert real(names) != place
        return place

    monkeypatch.setattr(store.objects, "_place", moved)
    assert store.objects.read(digest) == b"kept"


def test_a_pack_of_an_interrupted_process_is_removed(tmp_path: Path, folder: Path) -> None:
    store = FileStore(tmp_path / "store", max_file_bytes=1000)
    write(folder, {"a": "x"})
    root = store.take(folder).root
    store.close()
    write(tmp_path / "store", {"2.pack": "half"})
    store = FileStore(tmp_path / "store", max_file_bytes=1000)
    assert [path.name for path in (tmp_path / "store").glob("*.pack")] == ["1.pack"]
    write(folder, {"b": "y"})
    assert store.diff(root, store.take(folder).root) != []
    store.close()


def test_a_snapshot_that_the_index_cannot_store_fails_and_the_next_one_is_taken(
    store: FileStore, folder: Path, tmp_path: Path
) -> None:
    store.objects._index.execute("pragma max_page_count = 1")  # as if the disk was full
    write(folder, {f"f{number}": os.urandom(100) for number in range(300)})
    with pytest.raises(OSError, match="the index of files cannot be written: database or disk is full"):
        store.take(folder)
    assert (store.size, list((tmp_path / "store").glob("*.pack"))) == (0, [])
    store.objects._index.execute("pragma max_page_count = 100000")
    taken = store.take(folder)
    store.export(taken.root, tmp_path / "copy")
    assert read(tmp_path / "copy") == read(folder)


def test_a_damaged_object_is_found(store: FileStore, folder: Path, tmp_path: Path) -> None:
    write(folder, {"a": os.urandom(500)})
    root = store.take(folder).root
    pack = tmp_path / "store/1.pack"
    content = bytearray(pack.read_bytes())
    content[100] ^= 1
    pack.write_bytes(content)
    with pytest.raises(DamagedObject):
        store.export(root, tmp_path / "copy")
