"""A killed hub loses no output of a program, and the next hub finds the same program."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scale import FULL

from .dying_hub import taken
from .hosting import alive, difference, hosting

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[5]
KILLS = 20 if FULL else 3


def hub(folder: Path, mode: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.rhetor.drivers.programs.host.dying_hub", str(folder), mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )


def killed_after(folder: Path, mode: str, pieces: int) -> int:
    """Kill the hub after it has copied that many pieces; return the pid of the program."""
    pid = b""
    with hub(folder, mode) as process:
        assert process.stdout is not None
        try:
            for _ in range(pieces):
                pid, _ = process.stdout.readline().split()
        finally:
            os.kill(process.pid, signal.SIGKILL)
    return int(pid)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_every_line_is_copied_once_although_many_hubs_are_killed(tmp_path: Path, mode: str) -> None:
    chance = random.Random(7)
    async with hosting(tmp_path):
        pids = {killed_after(tmp_path, mode, chance.randint(1, 3)) for _ in range(KILLS)}
        assert len(pids) == 1
        assert alive(pids.pop())
        with hub(tmp_path, mode) as last:
            assert last.stdout is not None
            assert last.stdout.read()
        assert last.returncode == 0
        lines = taken(tmp_path / "log").replace(b"\r\n", b"\n")
        assert difference(lines, b"".join(b"%d\n" % number for number in range(1, 100_001))) is None
