"""What is known of the files of a folder since its last snapshot, so that only changed files are read."""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct, field

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


def load(folder: Path, of: bytes) -> Index:
    """Return the index of the folder `of`; an empty one if there is none, or if it cannot be read."""
    try:
        return msgspec.msgpack.decode(_path(folder, of).read_bytes(), type=Index)
    except (OSError, msgspec.DecodeError):
        return Index()


def save(folder: Path, of: bytes, index: Index) -> None:
    """Replace the index. If it is lost in a crash, all files are read again."""
    path = _path(folder, of)
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.msgpack.encode(index))
    new.replace(path)


def forget(folder: Path, live: Set[bytes]) -> None:
    """Remove from all indexes what refers to an object that is not live."""
    for path in folder.glob("*.index"):
        with suppress(OSError, msgspec.DecodeError):
            index = msgspec.msgpack.decode(path.read_bytes(), type=Index)
            index.paths = {name: known for name, known in index.paths.items() if known.digest in live}
            path.write_bytes(msgspec.msgpack.encode(index))


def _path(folder: Path, of: bytes) -> Path:
    return folder / f"{sha256(of).hexdigest()[:32]}.index"
