"""Ends a cluster when the test run is gone, however it ended.

    python keeper.py FOLDER PID       (the folder of the cluster, the process of the test run)

It imports the standard library only, so that it starts quickly and takes little memory.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

LOOK_MS = 5_000  # between looks at whether the cluster has already ended
END_SECONDS = 10.0


def keep(folder: Path, run: int) -> None:
    """Wait until the test run ends, then end the cluster."""
    try:
        watched = os.pidfd_open(run)
    except ProcessLookupError:
        watched = None
    if watched is not None:
        ends = select.poll()
        ends.register(watched, select.POLLIN)
        while folder.exists() and not ends.poll(LOOK_MS):
            pass
    end(folder)


def end(folder: Path) -> None:
    """Stop the server at once, without a shutdown, and remove its files."""
    pid = postmaster(folder / "data")
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
        until = time.monotonic() + END_SECONDS
        while is_running(pid):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


def postmaster(data: Path) -> int | None:
    """Return the process of the server that uses these files, if it runs."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        return pid if Path(f"/proc/{pid}/cwd").readlink() == data else None
    except (OSError, ValueError):
        return None


def is_running(pid: int) -> bool:
    """Return whether the process exists and has not ended; one that nobody has waited for has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
