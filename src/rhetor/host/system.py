"""Kernel interfaces that Python's os module lacks: prctl(2), and facts about processes from proc(5)."""

from __future__ import annotations

import ctypes
import os

_PDEATHSIG = 1
_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110

HUB_LOCK, HOST_LOCK = "hub.pid", "host.log"  # files that a hub, and a host with its guard, keep locked


def die_with_parent(signum: int) -> None:
    """Have the kernel send this process `signum` when the thread that forked it ends.

    This survives an exec, except of a set-uid program.
    """
    _prctl(_PDEATHSIG, signum)


def adopt_orphans() -> None:
    """Make descendants whose parent dies children of this process, even those in other sessions."""
    _prctl(_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def boot_id() -> bytes:
    return read("/proc/sys/kernel/random/boot_id").strip()


def start_time(pid: int) -> int:
    """Return when the process started, in clock ticks since boot; 0 if there is no such process."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else 0


def name(pid: int) -> bytes:
    return read(f"/proc/{pid}/comm").strip()


def descendants(pid: int) -> list[int]:
    """Return the living descendants of `pid`, nearest first. Zombies do not count as living.

    A hub or another host that was started from inside the program is left out, with its own descendants: it
    outlives the program.
    """
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (pathlib costs memory)
        if entry.isdigit() and (fields := stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    layer = [pid]
    while layer:
        layer = [
            child for parent in layer for child in children.get(parent, ()) if not _outlives_program(child)
        ]
        found += layer
    return [child for child in found if (stat_fields(child) or (b"Z",))[0] not in (b"Z", b"X")]


def _outlives_program(pid: int) -> bool:
    """Return whether the process is a hub or a host: one that runs this Python, and holds such a lock."""
    folder = f"/proc/{pid}/fd"
    try:
        if os.readlink(f"/proc/{pid}/exe") != os.readlink("/proc/self/exe"):  # noqa: PTH115
            return False
        for fd in os.listdir(folder):  # noqa: PTH208
            path = os.readlink(f"{folder}/{fd}")  # noqa: PTH115
            if path.removesuffix(" (deleted)").endswith((f"/{HUB_LOCK}", f"/{HOST_LOCK}")):
                return b"lock:" in read(f"/proc/{pid}/fdinfo/{fd}")
    except OSError:
        pass  # it has ended, or belongs to another user
    return False


def members(group: int) -> list[int]:
    """Return the processes of the process group that descend from this process."""
    if not _LISTS_CHILDREN:
        found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208
    else:
        found, layer = [], [os.getpid()]
        while layer:
            layer = [child for pid in layer for child in children(pid)]
            found += layer
    return [pid for pid in found if (fields := stat_fields(pid)) and int(fields[2]) == group]


def children(pid: int) -> list[int]:
    """Return the children of the process, also those that are zombies."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return []
    lists = [read(f"/proc/{pid}/task/{thread}/children", 1 << 16) for thread in threads]
    return [int(child) for found in lists for child in found.split()]


def stat_fields(pid: int) -> list[bytes]:
    """Return the fields of `stat` from the state on; empty if there is no such process."""
    stat = read(f"/proc/{pid}/stat")
    # the name, in parentheses, may contain anything
    return stat[stat.rindex(b")") + 2 :].split() if b")" in stat else []


def read(path: str, size: int = 4096) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, size)
    except OSError:
        return b""
    finally:
        os.close(fd)
