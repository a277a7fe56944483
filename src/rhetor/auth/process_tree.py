"""Whether a process descends from a peer's program. Such a caller is an agent, whatever user it runs as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

MOST_ANCESTORS = 256
PROC = Path("/proc")


def ancestors(pid: int, proc: Path = PROC) -> Iterator[int]:
    """A process and its ancestors (proc_pid_stat(5), field 4)."""
    for _ in range(MOST_ANCESTORS):
        if pid <= 1:
            return
        yield pid
        try:
            stat = (proc / str(pid) / "stat").read_bytes()
        except OSError:
            return
        # the name in parentheses may hold anything, parentheses too
        pid = int(stat.rpartition(b")")[2].split()[1])


def peer_of(pid: int, hosts: Mapping[int, str]) -> str | None:
    """The peer whose program the process descends from. `hosts`: peers by the process ids of their hosts,
    which whatever leaves its parents comes back to (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if not hosts:
        return None
    return next((hosts[ancestor] for ancestor in ancestors(pid) if ancestor in hosts), None)
