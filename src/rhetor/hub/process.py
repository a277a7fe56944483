"""What the system says of this process: proc_pid_stat(5), proc_pid_statm(5), proc_pid_fd(5)."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Process:
    """`resident`: bytes of memory; `cpu`: seconds, of the user and the system; `descriptors`: open ones; None
    where the system does not tell."""

    resident: int | None
    cpu: float
    descriptors: int | None


def process() -> Process:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Process(_resident(), used.ru_utime + used.ru_stime, _descriptors())


def _resident() -> int | None:
    try:
        pages = int((PROC / "statm").read_bytes().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int | None:
    """Without the one that the look itself takes."""
    try:
        return len(os.listdir(PROC / "fd")) - 1  # noqa: PTH208  # names only
    except OSError:
        return None
