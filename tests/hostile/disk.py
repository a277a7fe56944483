"""A small disk for one test, if the system permits it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str, mode: str = "rw") -> Iterator[Path]:
    """Mount a file system in memory at `folder` for the block."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size},mode=700,{mode}", "tmpfs", str(folder)]
    try:
        made = subprocess.run(["mount", *options], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("mount is not installed")
    if made.returncode:
        pytest.skip("mounting is not permitted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=True)
