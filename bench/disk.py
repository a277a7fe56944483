"""The disk that durable figures depend on: its file system, and how long it alone takes for a small write."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.stats import milliseconds
from bench.table import Figure


def disk_figure(folder: str | None = None, seconds: float = 4.0) -> Figure:
    """The row that stands beside durable figures; `folder`: where temporary files are, if not said.

    A disk that stands still for a moment now and then shows in `worst`, and in the p99 of what waits for it.
    """
    with tempfile.TemporaryDirectory(prefix=".disk-", dir=folder) as place:
        took = fdatasync(Path(place) / "file", seconds)
    what = f"fdatasync of 4 KiB alone ({file_system(folder)}), p50 · p99 · worst"
    return Figure(what, f"{milliseconds(took).removesuffix(' ms')} · {max(took) * 1e3:.2f} ms")


def fdatasync(path: Path, seconds: float) -> list[float]:
    """Seconds: appending 4 KiB and waiting for the disk, without any database."""
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
    """The name of the file system that holds the folder, as /proc/mounts has it."""
    place = Path(folder or tempfile.gettempdir()).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(point, kind) for point, kind in mounts if place.is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1]
