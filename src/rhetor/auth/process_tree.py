"""Finds the peer whose program a process descends from. Such a caller is an agent, not its user.

Two facts show it: the chain of parent processes leads to a program's host, or the process carries the hub's
mark. The mark remains when the host has ended and the chain no longer leads to it.
"""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rhetor.domain.command import UNIDENTIFIED, UNKNOWN_PROGRAM

MOST_ANCESTORS = 256
PROC = Path("/proc")
_ATTEMPTS = 3
# RLIMIT_LOCKS of getrlimit(2). Linux has not used this limit since 2.4.25, so a low value has no effect.
_LOCKS, _LOCKS_LINE = 10, b"Max file locks"
_NO_LIMIT = 1 << 64


def mark_own_process(home: Path) -> int | None:
    """Mark this process, and thereby every process that it will start. Return the mark; None if the system
    does not allow it.

    The mark is a low hard limit on file locks (setrlimit(2)). Child processes inherit it, a new session or a
    program with another environment keeps it, and only a privileged process can raise it.
    """
    mark = _mark_of(home)
    try:
        hard = resource.getrlimit(_LOCKS)[1]
        if hard != resource.RLIM_INFINITY and hard < mark:  # a program of another hub has started this one
            mark = hard - 1
        resource.setrlimit(_LOCKS, (mark, mark))
    except (OSError, ValueError):
        return None
    return mark


def is_marked(home: Path) -> bool:
    """Return whether the hub of this home has started this process or an ancestor of it."""
    try:
        return resource.getrlimit(_LOCKS)[1] == _mark_of(home)
    except (OSError, ValueError):
        return False


def _mark_of(home: Path) -> int:
    digest = hashlib.sha256(os.fsencode(home)).digest()
    return (1 << 61) + int.from_bytes(digest[:7], "big")


class Processes:
    """What the hub knows about the processes on this machine.

    `hosts` returns the peers by the process ids of their hosts. A host adopts the descendants whose parents
    have ended (prctl(2), PR_SET_CHILD_SUBREAPER), so it stays an ancestor of all of them for as long as it
    runs. `mark`: what `mark_own_process` returned.
    """

    def __init__(
        self, hosts: Callable[[], Mapping[int, str]], mark: int | None = None, proc: Path = PROC
    ) -> None:
        self._hosts = hosts
        self._mark = mark
        self._proc = proc

    def agent(self, pid: int) -> str | None:
        """Return the peer whose program the process descends from; None if it is a person's process.

        The result is `UNKNOWN_PROGRAM` if only the mark shows that it is a program, and `UNIDENTIFIED` if the
        process is gone or its chain of parents cannot be read.
        """
        if pid == os.getpid():
            return None
        limit = self._limit(pid) if self._mark is not None else None
        chain = ancestors(pid, self._proc)
        hosts = self._hosts()
        if peer := next((hosts[each] for each in chain or () if each in hosts), None):
            return peer
        if self._mark is not None and limit is not None and limit <= self._mark:
            return UNKNOWN_PROGRAM
        is_read = chain is not None and (self._mark is None or limit is not None)
        return None if is_read else UNIDENTIFIED

    def agents(self) -> Mapping[int, str]:
        """Return the peers of all processes that descend from programs, by process id."""
        found = {pid: self.agent(pid) for pid in self.all()}
        return {pid: peer for pid, peer in found.items() if peer is not None and peer != UNIDENTIFIED}

    def all(self) -> Iterator[int]:
        return (int(name) for name in os.listdir(self._proc) if name.isdigit())  # noqa: PTH208  # twice as fast

    def last_started(self) -> bytes:
        """Return a value that changes whenever a process is started (proc_loadavg(5), the last field)."""
        return (_read(self._proc, "loadavg") or b"?").split()[-1]

    def _limit(self, pid: int) -> int | None:
        """Return the process's hard limit on file locks; None if it cannot be read."""
        try:
            hard = resource.prlimit(pid, _LOCKS)[1]
            return hard if hard != resource.RLIM_INFINITY else _NO_LIMIT
        except ProcessLookupError:
            return None
        except OSError:  # the process has other groups; but everyone may read the file
            return self._limit_in_file(pid)

    def _limit_in_file(self, pid: int) -> int | None:
        for line in (_read(self._proc, pid, "limits") or b"").splitlines():
            if line.startswith(_LOCKS_LINE):
                hard = line.split()[-2]
                return int(hard) if hard.isdigit() else _NO_LIMIT
        return None


def ancestors(pid: int, proc: Path = PROC) -> tuple[int, ...] | None:
    """Return the id of a process and those of all its ancestors; None if the chain cannot be read to its end.

    It ends with init, or with a process whose parent is outside of this PID namespace.
    """
    for _ in range(_ATTEMPTS):  # if an ancestor ends meanwhile, its children get another parent
        if (chain := _chain(pid, proc)) is not None:
            return chain
    return None


def _chain(pid: int, proc: Path) -> tuple[int, ...] | None:
    chain: list[int] = []
    while len(chain) < MOST_ANCESTORS:
        stat = _read(proc, pid, "stat")
        if not stat:
            return None
        chain.append(pid)
        # field 4 of proc_pid_stat(5); the name in parentheses may contain any character
        pid = int(stat.rpartition(b")")[2].split()[1])
        if pid == 0:
            return tuple(chain)
    return None


def _read(proc: Path, *names: int | str) -> bytes | None:
    try:
        fd = os.open("/".join(map(str, (proc, *names))), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, 8192)
    except OSError:
        return None
    finally:
        os.close(fd)
