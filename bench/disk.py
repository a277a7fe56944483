"""The disk that durable writes depend on: its file system, and how long it takes to sync a small write."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.stats import milliseconds
from bench.table import Figure


def disk_figure(folder: str | None = None, seconds: float = 4.0) -> Figure:
    """Measure the disk, and return the row that is shown with the figures of durable writes.

    `folder`: on the disk to measure; by default the folder for temporary files. If the disk pauses now and
    then, `worst` shows it, and so does the p99 of everything that waits for the disk.
    """
    with tempfile.TemporaryDirectory(prefix=".disk-", dir=folder) as place:
        took = fdatasync(Path(place) / "file", seconds)
    what = f"fdatasync of 4 KiB alone ({file_system(folder)}), p50 · p99 · worst"
    return Figure(what, f"{milliseconds(took).removesuffix(' ms')} · {max(took) * 1e3:.2f} ms")


def fdatasync(path: Path, seconds: float) -> list[float]:
    """Append 4 KiB to a file and wait for the disk, again and again. Return how long each write took, in
    seconds."""
    took = []
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        os.write(file, b"x" * 4096)
        begun = time.perf_counter()
        os.fdatasync(file)
        took.append(time.perf_counter() - begun)
    os.close(file)
    return took


def file_system(folder: str | None = None) -> str:
    """Return the name of the folder's file system, from /proc/mounts."""
    place = Path(folder or tempfile.gettempdir()).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(point, kind) for point, kind in mounts if place.is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1]
