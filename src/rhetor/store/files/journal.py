"""The journals of restores, as files that survive the process."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from .base import Journal

SUFFIX = ".restore"


def write(store: Path, journal: Journal) -> None:
    """Write the journal durably, in place of its last version."""
    path = store / f"{journal.number}{SUFFIX}"
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(msgspec.msgpack.encode(journal))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    fsync_folder(store)


def read_all(store: Path) -> list[Journal]:
    """Return all journals.

    Raises:
        msgspec.DecodeError: one is damaged.
    """
    found = sorted(store.glob(f"*{SUFFIX}"))
    return [msgspec.msgpack.decode(path.read_bytes(), type=Journal) for path in found]


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
