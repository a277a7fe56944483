"""Checkpoints of a folder of 10,000 files and 200 MB: the first, one after 3 files changed, and a restore.

The files have the sizes of a real project: most are small, and one in a hundred has about a megabyte. Half of
their content can be compressed, as text can; the other half is random. Each round has its own store. The
first row shows how long the file system alone takes to write and sync as many bytes as the first checkpoint
stores.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.table import Figure
from rhetor.store.files.store import FileStore

FILES = 10_000
BYTES = 200_000_000
LARGE = 100  # one file in so many is large
ROUNDS = 5
WORDS = [bytes(random.Random(n).choices(b"abcdefghij_ ", k=9)) for n in range(500)]


@dataclass
class Round:
    """The seconds of one round, by name, and the bytes that each checkpoint stored."""

    seconds: dict[str, float] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as place:
        folder = Path(place) / "project"
        grow(folder)
        rounds = [_round(folder, Path(place) / f"store{number}") for number in range(ROUNDS)]
        restored = _restored(folder, Path(place) / "store")

    def seconds(name: str) -> float:
        return median(one.seconds[name] for one in rounds)

    again = max(one.stored["again"] for one in rounds)
    size = median(one.stored["first"] for one in rounds) / 1e6
    first, unchanged, few = seconds("first"), seconds("again"), seconds("few")
    return [
        Figure(f"writing and syncing {size:.0f} MB alone", f"{seconds('disk'):.2f} s"),
        Figure(
            f"first checkpoint, {FILES:,} files, {BYTES // 10**6} MB", f"{first:.2f} s", "≤2 s", first <= 2
        ),
        Figure("the same again, nothing changed", f"{unchanged:.2f} s"),
        Figure("… stored by that", f"{again} bytes", "0 bytes", again == 0),
        Figure("checkpoint after 3 files changed", f"{few:.2f} s", "≤0.3 s", few <= 0.3),
        Figure("restore of all files", f"{restored.seconds['restore']:.2f} s"),
    ]


def _round(folder: Path, place: Path) -> Round:
    """Measure with a new store."""
    found = Round()
    store = FileStore(place, max_file_bytes=1 << 30)
    time.sleep(0.1)  # a file that has just changed is read again by the next snapshot
    with found.timed("first"):
        first = store.take(folder)
    with found.timed("again"):
        again = store.take(folder)
    found.stored |= {"first": first.stored, "again": again.stored}
    _change(random.Random(0).sample(sorted(folder.rglob("*.txt")), 3))
    with found.timed("few"):
        store.take(folder)
    store.close()
    with found.timed("disk"):
        _write(place / "alone", first.stored)
    shutil.rmtree(place)
    return found


def _restored(folder: Path, place: Path) -> Round:
    """Change all files, and bring them back."""
    found = Round()
    store = FileStore(place, max_file_bytes=1 << 30)
    target = store.take(folder).root
    _change(list(folder.rglob("*.txt")))
    before = store.take(folder).root
    with found.timed("restore"):
        store.settle(store.restore(folder, target, before))
    store.close()
    return found


def _change(paths: Sequence[Path]) -> None:
    for path in paths:
        path.write_bytes(b"changed")


def grow(folder: Path) -> None:
    """Fill the folder with `FILES` files of `BYTES` in all, in 400 folders."""
    chance = random.Random(0)
    text = b" ".join(chance.choices(WORDS, k=BYTES // FILES * LARGE // 5))
    large = BYTES // 2 // (FILES // LARGE)
    small = BYTES // 2 // (FILES - FILES // LARGE)
    for number in range(FILES):
        size = large if number % LARGE == 0 else small
        below = folder / f"part{number % 20}" / f"sub{number // 20 % 20}"
        below.mkdir(parents=True, exist_ok=True)
        begins = chance.randrange(len(text) - size // 2)
        words = text[begins : begins + size // 2]
        (below / f"file{number}.txt").write_bytes(words + chance.randbytes(size - len(words)))


def _write(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(b"x" * (1 << 20))
        file.flush()
        os.fsync(file.fileno())
