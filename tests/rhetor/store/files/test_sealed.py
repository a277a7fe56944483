"""Snapshots that are sealed: nothing of the files is in the store, not even the digest of a file."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rhetor.errors import SealBroken
from rhetor.store.files import journal as journals
from rhetor.store.files.base import DamagedObject, Journal
from rhetor.store.files.on_demand import FilesOnDemand
from rhetor.store.files.sealing import FileSeal, sealed_with
from rhetor.store.files.store import FileStore
from rhetor.store.files.stored_objects import StoredObjects
from tests.sealing import ring_in

from .folders import read, write

CANARY = b"canary-of-a-file"
FILES: dict[str, str | bytes | None] = {
    "canary-of-a-file.txt": CANARY * 20,
    "a/b": os.urandom(500),
    "void": None,
}

Opening = Callable[..., FileStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opening]:
    """Opens the store, in place of the one before."""
    stores: list[FileStore] = []

    def open_store(seal: FileSeal | None) -> FileStore:
        for store in stores:
            store.close()
        stores[:] = [FileStore(tmp_path / "store", max_file_bytes=1 << 20, seal=seal)]
        return stores[0]

    yield open_store
    for store in stores:
        store.close()


def stored(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() + path.name.encode() for path in sorted((tmp_path / "store").iterdir()))


def test_neither_content_nor_names_nor_digests_are_in_the_store(
    opened: Opening, folder: Path, tmp_path: Path
) -> None:
    write(folder, FILES)
    ring = ring_in(tmp_path)
    store = opened(FileSeal(ring))
    snapshot = store.take(folder)
    assert store.take(folder).stored == 0
    journals.write(tmp_path / "store", Journal(CANARY, b"", b"", b"", CANARY), FileSeal(ring))
    found = stored(tmp_path)
    digests = [hashlib.sha256(content).digest() for content in FILES.values() if isinstance(content, bytes)]
    for secret in (
        CANARY,
        snapshot.root,
        hashlib.sha256(os.fsencode(folder)).hexdigest()[:32].encode(),
        *digests,
    ):
        assert secret not in found
    store.export(snapshot.root, tmp_path / "copy")
    assert read(tmp_path / "copy") == read(folder)
    assert [one.note for one in store.unfinished()] == [CANARY]
    ring.rotate()
    again = opened(FileSeal(ring_in(tmp_path)))
    assert again.take(folder).root == snapshot.root
    assert again.paths(snapshot.root) >= {b"canary-of-a-file.txt", b"a/b"}


def test_what_was_stored_plain_is_read_and_then_sealed(opened: Opening, folder: Path, tmp_path: Path) -> None:
    write(folder, FILES)
    first = opened(None).take(folder)
    ring = ring_in(tmp_path)
    store = opened(FileSeal(ring))
    assert store.take(folder).stored == 0
    write(folder, {"new": CANARY + b" new"})
    second = store.take(folder)
    assert [change.path for change in store.diff(first.root, second.root)] == [b"new"]
    size = store.size
    assert not store.seal_stored(lambda: False)
    assert store.seal_stored()
    found = stored(tmp_path)
    assert CANARY not in found and hashlib.sha256(CANARY * 20).digest() not in found
    assert store.size > size
    assert store.fitting([first.root, second.root], store.size) == 2
    store.export(first.root, tmp_path / "first")
    store.export(second.root, tmp_path / "second")
    assert read(tmp_path / "second") == read(folder)
    store = opened(FileSeal(ring))  # which has not just taken a snapshot that it must keep
    assert store.keep([second.root], most=0) > 0
    assert store.paths(second.root) and not store.objects.has(first.root)


def test_a_rotation_seals_the_store_with_the_new_key(opened: Opening, folder: Path, tmp_path: Path) -> None:
    write(folder, FILES)
    ring = ring_in(tmp_path)
    store = opened(FileSeal(ring))
    root = store.take(folder).root
    ring.rotate()
    write(folder, {"new": "x"})
    store.take(folder)
    assert store.seal_stored()
    with closing(sqlite3.connect(tmp_path / "store" / "objects.db")) as index:
        places = index.execute("select pack, offset from objects").fetchall()
    for pack, offset in places:
        assert (
            sealed_with((tmp_path / "store" / f"{pack}.pack").read_bytes()[offset : offset + 20])
            == ring.current
        )
    store.export(root, tmp_path / "copy")
    assert (tmp_path / "copy" / "a/b").read_bytes() == FILES["a/b"]
    write(folder, FILES)


def test_a_sealed_store_is_read_after_sealing_was_switched_off(
    opened: Opening, folder: Path, tmp_path: Path
) -> None:
    write(folder, FILES)
    root = opened(FileSeal(ring_in(tmp_path))).take(folder).root
    store = opened(FileSeal(ring_in(tmp_path), active=False))
    assert store.take(folder).root == root
    write(folder, {"new": CANARY})
    store.take(folder)
    assert store.seal_stored()
    store.export(root, tmp_path / "copy")
    with closing(StoredObjects(tmp_path / "store", FileSeal(ring_in(tmp_path), active=False))) as objects:
        for name, _, _ in objects.all():
            objects.check(name)
    with pytest.raises(DamagedObject):
        opened(None).paths(root)


def test_an_object_in_the_place_of_another_is_an_error(opened: Opening, folder: Path, tmp_path: Path) -> None:
    write(folder, {"a": "1" * 50, "b": "2" * 50})
    seal = FileSeal(ring_in(tmp_path))
    store = opened(seal)
    store.take(folder)
    names = [seal.name(hashlib.sha256(digit * 50).digest()) for digit in (b"1", b"2")]
    with closing(sqlite3.connect(tmp_path / "store" / "objects.db")) as index, index:
        offsets = [
            index.execute("select offset from objects where digest = ?", (n,)).fetchone()[0] for n in names
        ]
        for name, offset in zip(names, reversed(offsets), strict=True):
            index.execute("update objects set offset = ? where digest = ?", (offset, name))
    with pytest.raises(DamagedObject, match="sealed value"):
        store.objects.read(hashlib.sha256(b"1" * 50).digest())


def test_journals_of_an_earlier_hub_are_sealed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    journals.write(tmp_path / "store", Journal(CANARY, b"", b"", b"", CANARY))
    files = FilesOnDemand(tmp_path / "store", max_file_bytes=1, seal=FileSeal(ring_in(tmp_path)))
    before = files.unfinished()
    files.seal_journals()
    assert CANARY not in stored(tmp_path)
    assert files.unfinished() == before
    [path] = (tmp_path / "store").iterdir()
    path.rename(path.with_name("0123456789abcdef.restore"))
    with pytest.raises(SealBroken):
        files.unfinished()
