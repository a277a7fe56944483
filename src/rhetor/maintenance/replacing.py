"""Exchanges the state in a folder for a complete other one. It can be interrupted and repeated at any point.

`restored-STAMP.ready` has the new state, while the old one is moved to `replaced-STAMP`. When that is done,
its name ends in `.moving`, while its files are moved to their places.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from .folders import fsync

READY = "restored-{}.ready"
MOVING = "restored-{}.moving"
ASIDE = "replaced-{}"
KEYS = "keys.json"  # is exchanged, too, if the new state has keys of its own
# what a state consists of
NAMES = ("hub.db", "hub.db-wal", "hub.db-shm", "hub.db.witness", "blobs", "checkpoints")


def unused_stamp(home: Path) -> str:
    """Return the time, with a number if something has it already."""
    stamp = now = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    while any((home / name.format(stamp)).exists() for name in (READY, MOVING, ASIDE)):
        number += 1
        stamp = f"{now}-{number}"
    return stamp


def finish(home: Path) -> Path | None:
    """Finish an exchange, also one that was interrupted. Return the folder with the old state, if any.

    Raises:
        OSError: a file cannot be moved. The next call continues.
    """
    aside: Path | None = None
    for ready in home.glob(READY.format("*")):
        stamp = _stamp(ready)
        aside = home / ASIDE.format(stamp)
        _set_aside(home, aside, with_keys=(ready / KEYS).exists())
        ready.rename(home / MOVING.format(stamp))
        fsync(home)
    for moving in home.glob(MOVING.format("*")):
        aside = home / ASIDE.format(_stamp(moving))
        for path in moving.iterdir():
            path.rename(home / path.name)
        fsync(home)
        moving.rmdir()
    return aside if aside is not None and aside.exists() else None


def _stamp(path: Path) -> str:
    return path.stem.removeprefix("restored-")


def _set_aside(home: Path, aside: Path, *, with_keys: bool) -> None:
    for name in (*NAMES, KEYS) if with_keys else NAMES:
        if os.path.lexists(home / name):
            aside.mkdir(mode=0o700, exist_ok=True)
            (home / name).rename(aside / name)
            fsync(aside)
