"""Finds the peer whose program a process descends from. Such a caller is an agent, not its user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

MOST_ANCESTORS = 256
PROC = Path("/proc")


def ancestors(pid: int, proc: Path = PROC) -> Iterator[int]:
    """Yield the id of a process and then those of its ancestors (proc_pid_stat(5), field 4), at most 256."""
    for _ in range(MOST_ANCESTORS):
        if pid <= 1:
            return
        yield pid
        try:
            stat = (proc / str(pid) / "stat").read_bytes()
        except OSError:
            return
        # the name in parentheses may contain any character, including parentheses
        pid = int(stat.rpartition(b")")[2].split()[1])


def peer_of(pid: int, hosts: Mapping[int, str]) -> str | None:
    """Return the peer whose program the process descends from; None if there is none.

    `hosts`: the peers by the process ids of their hosts. A host adopts the descendants whose parents have
    ended (prctl(2), PR_SET_CHILD_SUBREAPER), so it stays an ancestor of all of them.
    """
    if not hosts:
        return None
    return next((hosts[ancestor] for ancestor in ancestors(pid) if ancestor in hosts), None)
