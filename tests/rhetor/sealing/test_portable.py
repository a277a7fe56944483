"""Keys travel to another folder: what was sealed in the first one is opened there, and none is forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rhetor.errors import KeysUnavailable
from rhetor.sealing.keys_file import NAME, read_keys
from rhetor.sealing.portable import lend_master, put_into, taken_from
from rhetor.sealing.ring import Ring


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    made = (tmp_path / "first", tmp_path / "second", tmp_path / "second" / "new")
    for folder in made:
        folder.mkdir()
    return made


def moved(first: Path, second: Path, new: Path) -> Ring:
    keys = taken_from(first, "file")
    assert keys is not None
    put_into(new, keys, second, "file")
    lend_master(second, new)
    return Ring(new)


def test_a_folder_without_keys_has_none(tmp_path: Path) -> None:
    assert taken_from(tmp_path, "file") is None
    assert list(tmp_path.iterdir()) == []


def test_the_content_of_both_folders_can_be_opened(folders: tuple[Path, Path, Path]) -> None:
    first, second, new = folders
    one, other = Ring(first), Ring(second)
    sealed = one.seal(b"one", b"")
    one.rotate()
    later, before = one.seal(b"later", b""), other.seal(b"other", b"")
    ring = moved(*folders)
    assert [ring.open(value, b"") for value in (sealed, later, before)] == [b"one", b"later", b"other"]
    assert (ring.current, ring.digest("x")) == (one.current, one.digest("x"))
    assert read_keys(second / NAME) is not None and Ring(second).digest("x") == other.digest("x")
    assert (new / NAME).read_bytes().count(b'"wrapped"') == 3
    assert (first / "master.key").read_bytes() != (second / "master.key").read_bytes()


def test_an_older_backup_does_not_revive_a_retired_key(folders: tuple[Path, Path, Path]) -> None:
    first, _, new = folders
    ring = Ring(first)
    sealed = ring.seal(b"old", b"")
    keys = taken_from(first, "file")
    assert keys is not None
    for _ in range(40_000):
        ring.seal(b"", b"")
    ring.rotate()
    put_into(new, keys, first, "file")
    stored, made = read_keys(first / NAME), read_keys(new / NAME)
    assert stored is not None and made is not None
    assert made.current == stored.current
    by_id = {key.id: key for key in made.keys}
    assert all(
        (by_id[key.id].seals, by_id[key.id].retired) == (key.seals, key.retired) for key in stored.keys
    )
    lend_master(first, new)
    assert Ring(new).open(sealed, b"") == b"old"


def test_another_key_with_the_same_id_is_rejected(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, new = folders
    monkeypatch.setattr("secrets.token_bytes", lambda size: b"same" if size == 4 else os.urandom(size))
    Ring(first).seal(b"", b"")
    Ring(second).seal(b"", b"")
    keys = taken_from(first, "file")
    assert keys is not None
    with pytest.raises(KeysUnavailable, match="another folder"):
        put_into(new, keys, second, "file")
    assert list(new.iterdir()) == []
