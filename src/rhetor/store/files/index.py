"""What is known of the files of a folder since its last snapshot, so that only changed files are read."""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct, field

from rhetor.errors import SealBroken

from .sealing import PEEK_BYTES, FileSeal, sealed_with

KIND = "index"

TICK = 20_000_000  # nanoseconds: twice the coarsest clock by which kernels set the time of a change
COARSE = 2_000_000_000  # for file systems that keep whole seconds only


class Known(Struct, frozen=True, gc=False, array_like=True):
    """A file when it was read. `digest`: of its content. The times are nanoseconds since 1970."""

    digest: bytes
    size: int
    modified: int
    changed: int
    inode: int

    def is_current(self, stat: os.stat_result) -> bool:
        return (
            self.size == stat.st_size
            and self.modified == stat.st_mtime_ns
            and self.changed == stat.st_ctime_ns
            and self.inode == stat.st_ino
        )


class Index(Struct, array_like=True):
    """What one walk has found. All paths are relative.

    `paths`: the files. `rules`: the folders, with the key of the rules that hold in each. `ignored`: what a
    rule excludes; a folder ends with `/`.
    """

    paths: dict[bytes, Known] = field(default_factory=dict)
    rules: dict[bytes, bytes] = field(default_factory=dict)
    ignored: set[bytes] = field(default_factory=set)


def known(digest: bytes, stat: os.stat_result, read_at: int) -> Known | None:
    """Return what to remember of a file. None if a change at the time of reading could go unnoticed, because
    the times of the file would stay the same. `read_at`: when reading began, in nanoseconds."""
    latest = max(stat.st_mtime_ns, stat.st_ctime_ns)
    if latest > read_at - (TICK if stat.st_mtime_ns % 1_000_000_000 else COARSE):
        return None
    return Known(digest, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def load(folder: Path, of: bytes, seal: FileSeal | None = None) -> Index:
    """Return the index of the folder `of`; an empty one if there is none, or if it cannot be read."""
    for path in _paths(folder, of, seal):
        with suppress(OSError, msgspec.DecodeError, SealBroken):
            return _read(path, seal)
    return Index()


def save(folder: Path, of: bytes, index: Index, seal: FileSeal | None = None) -> None:
    """Replace the index. If it is lost in a crash, all files are read again."""
    path, *others = _paths(folder, of, seal)
    _write(path, index, seal)
    for other in others:
        other.unlink(missing_ok=True)


def forget(folder: Path, live: Set[bytes], seal: FileSeal | None = None) -> None:
    """Remove from all indexes what refers to an object that is not live."""
    for path in folder.glob("*.index"):
        with suppress(OSError, msgspec.DecodeError, SealBroken):
            index = _read(path, seal)
            index.paths = {name: known for name, known in index.paths.items() if known.digest in live}
            _write(path, index, seal)


def unsealed(folder: Path, seal: FileSeal) -> list[Path]:
    """Return the indexes that are plain, or are sealed with an earlier key."""
    return [path for path in folder.glob("*.index") if _key(path) != seal.key]


def _key(path: Path) -> bytes | None:
    with path.open("rb") as file:
        return sealed_with(file.read(PEEK_BYTES))


def _read(path: Path, seal: FileSeal | None) -> Index:
    content = path.read_bytes()
    if sealed_with(content) is not None:
        if seal is None:
            return Index()
        content = seal.open(content, KIND, path.stem.encode())
    return msgspec.msgpack.decode(content, type=Index)


def _write(path: Path, index: Index, seal: FileSeal | None) -> None:
    content = msgspec.msgpack.encode(index)
    if seal is not None and seal.active:
        content = seal.seal(content, KIND, path.stem.encode())
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def _paths(folder: Path, of: bytes, seal: FileSeal | None) -> list[Path]:
    """Return where the index is to be, and then where it may be from before sealing was switched on or
    off."""
    names = [sha256(of).hexdigest()]
    if seal is not None:
        names.insert(0 if seal.active else 1, seal.file_name(f"index {names[0]}"))
    return [folder / f"{name[:32]}.index" for name in names]
