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

from rhetor.domain.principal import UNIDENTIFIED, UNKNOWN_PROGRAM
from rhetor.errors import Forbidden

MOST_ANCESTORS = 256
PROC = Path("/proc")
_ATTEMPTS = 3
# RLIMIT_LOCKS of getrlimit(2). Linux has not used this limit since 2.4.25, so a low value has no effect.
_LOCKS, _LOCKS_LINE = 10, b"Max file locks"
_NO_LIMIT = 1 << 64
_LEVELS, _ID_BITS = 3, 20
_NO_ID = (1 << _ID_BITS) - 1


Mark = tuple[int, ...]  # the ids of the homes of the hubs that started a process, the outermost first


def mark_own_process(home: Path) -> Mark | None:
    """Mark this process, and thereby every process that it will start. Return the mark; None if the system
    does not allow it, or three hubs have already started each other.

    The mark is a low hard limit on file locks (setrlimit(2)). Child processes inherit it, a new session or a
    program with another environment keeps it, and only a privileged process can raise it. Its bits are the
    ids of the homes. A hub that was started from inside another hub's program adds its own id.
    """
    found, id = _mark_in(resource.getrlimit(_LOCKS)[1]), _id_of(home)
    if id in found:  # this hub was started from inside a program of its own home
        return found[: found.index(id) + 1]
    mark = (*found, id)
    try:
        resource.setrlimit(_LOCKS, (_limit_of(mark),) * 2)
    except (OSError, ValueError):
        return None
    return mark if len(mark) <= _LEVELS else None


def is_marked(home: Path) -> bool:
    """Return whether the hub of this home has started this process or an ancestor of it."""
    return _id_of(home) in _mark_in(resource.getrlimit(_LOCKS)[1])


def reject_programs(home: Path) -> None:
    """Check that this process may execute a command that only a person may execute.

    Raises:
        Forbidden: the hub of this home has started this process or an ancestor of it.
    """
    if is_marked(home):
        raise Forbidden.to_agents("agent")


def _id_of(home: Path) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(home)).digest()[:8], "big") % _NO_ID


def _limit_of(mark: Mark) -> int:
    """Return the limit for a mark. More ids give a lower limit, because a process cannot raise its own."""
    limit = 1
    for id in (*mark, *[_NO_ID] * (_LEVELS - len(mark)))[:_LEVELS]:
        limit = (limit << _ID_BITS) | id
    return limit


def _mark_in(limit: int) -> Mark:
    """Return the mark that a limit has; empty if it has none."""
    if limit >> (_LEVELS * _ID_BITS) != 1:
        return ()
    ids = [limit >> (level * _ID_BITS) & _NO_ID for level in reversed(range(_LEVELS))]
    return tuple(id for id in ids if id != _NO_ID)


class Processes:
    """What the hub knows about the processes on this machine.

    `hosts` returns the peers by the process ids of their hosts. A host adopts the descendants whose parents
    have ended (prctl(2), PR_SET_CHILD_SUBREAPER), so it stays an ancestor of all of them for as long as it
    runs. `mark`: what `mark_own_process` returned.
    """

    def __init__(
        self, hosts: Callable[[], Mapping[int, str]], mark: Mark | None = None, proc: Path = PROC
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
        limit = self._limit(pid)
        chain = ancestors(pid, self._proc)
        hosts = self._hosts()
        if peer := next((hosts[each] for each in chain or () if each in hosts), None):
            return peer
        if self._is_ours(limit):
            return UNKNOWN_PROGRAM
        is_read = chain is not None and (self._mark is None or limit is not None)
        return None if is_read else UNIDENTIFIED

    def agents(self) -> Mapping[int, str]:
        """Return the peers of all processes that descend from programs, by process id."""
        # reading a limit takes 2 µs, a chain 100 µs; only hosts of an older hub may lack the mark
        is_enough = all(self._has_mark(host) for host in self._hosts())
        pids = filter(self._has_mark, self.all()) if is_enough and self._mark is not None else self.all()
        found = {pid: self.agent(pid) for pid in pids}
        return {pid: peer for pid, peer in found.items() if peer is not None and peer != UNIDENTIFIED}

    def all(self) -> Iterator[int]:
        return (int(name) for name in os.listdir(self._proc) if name.isdigit())  # noqa: PTH208  # twice as fast

    def last_started(self) -> bytes:
        """Return a value that changes whenever a process is started (proc_loadavg(5), the last field)."""
        return (_read(self._proc, "loadavg") or b"?").split()[-1]

    def _has_mark(self, pid: int) -> bool:
        return self._is_ours(self._limit(pid))

    def _is_ours(self, limit: int | None) -> bool:
        mark = self._mark
        return mark is not None and limit is not None and _mark_in(limit)[: len(mark)] == mark

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
