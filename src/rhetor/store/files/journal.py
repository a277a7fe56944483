"""The journals of restores, as files that survive the process."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from rhetor.errors import SealBroken

from .base import Journal
from .sealing import FileSeal, sealed_with

KIND = "restore"
SUFFIX = ".restore"


def write(store: Path, journal: Journal, seal: FileSeal | None = None) -> None:
    """Write the journal durably, in place of its last version."""
    content = msgspec.msgpack.encode(journal)
    if seal is not None and seal.active:
        content = seal.seal(content, KIND, journal.number.encode())
    path = store / f"{journal.number}{SUFFIX}"
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    fsync_folder(store)


def read_all(store: Path, seal: FileSeal | None = None) -> list[Journal]:
    """Return all journals.

    Raises:
        msgspec.DecodeError: one is damaged.
        SealBroken: one was changed, or its key is missing.
    """
    return [_read(path, seal) for path in sorted(store.glob(f"*{SUFFIX}"))]


def _read(path: Path, seal: FileSeal | None) -> Journal:
    content = path.read_bytes()
    if sealed_with(content) is not None:
        if seal is None:
            raise SealBroken(f"{path} is sealed, and there are no keys")
        content = seal.open(content, KIND, path.stem.encode())
    return msgspec.msgpack.decode(content, type=Journal)


def remove(store: Path, number: str) -> None:
    """Remove a journal durably."""
    (store / f"{number}{SUFFIX}").unlink(missing_ok=True)
    fsync_folder(store)


def fsync_folder(folder: Path) -> None:
    """Make the names in the folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
