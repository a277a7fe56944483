"""Tells from proc(5) whether a program waits for input, and whether it might be doing something else.

A process shows in which system call each of its threads sleeps. The descriptors of that call say whether the
thread waits for the program's terminal or stdin, or for something else too.
"""

from __future__ import annotations

import os
import platform
import stat
import struct
import time
from collections.abc import Callable, Sequence

from . import system
from .sources import ITSELF, PIPE, TIME, memory, source_of, watched_by

WAITS = b"waits"  # nothing but input can wake it
POLLS = b"polls"  # it takes input, but a time limit or another thread of its own may come first
SHARES = b"shares"  # it takes input, but waits for connections or other programs too
NO = b"no"  # it takes no input
UNKNOWN = b""

_TTY = os.makedev(5, 0)  # /dev/tty, which is the program's terminal for all of its processes
_LONG = 3600  # seconds: so late, no work begins that belongs to a message (asyncio and trio wait a day)
_GO_MONITOR = (60, 0)  # seconds, nanoseconds: how long the monitor thread of an idle Go program sleeps
_RELATIVE, _COMMAND, _REALTIME = 0, 0x7F, 0x100  # futex(2): FUTEX_WAIT, and parts of its operation
_BUSY, _ASLEEP, _BLOCKED, _OTHER = b"busy", b"asleep", b"blocked", b"other"

# system calls by number (unistd.h)
_X86_64 = {
    0: "read", 19: "read", 7: "poll", 271: "ppoll", 23: "select", 270: "select",
    232: "epoll", 281: "epoll", 441: "epoll2", 202: "futex", 128: "signals", 426: "ring",
    1: "pipe", 20: "pipe", 61: "child", 247: "child",
}  # fmt: skip
_GENERIC = {
    63: "read", 65: "read", 73: "ppoll", 72: "select", 22: "epoll", 441: "epoll2", 98: "futex",
    137: "signals", 426: "ring", 64: "pipe", 66: "pipe", 260: "child", 95: "child",
}  # fmt: skip
_CALLS = {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC}.get(platform.machine(), {})

IsInput = Callable[[os.stat_result], bool]


def input_of(fd: int) -> IsInput:
    """Return the test for the files of a program that are the terminal or the pipe `fd`."""
    ours = os.fstat(fd)
    if stat.S_ISCHR(ours.st_mode):
        return lambda file: stat.S_ISCHR(file.st_mode) and file.st_rdev in (ours.st_rdev, _TTY)
    return lambda file: (file.st_dev, file.st_ino) == (ours.st_dev, ours.st_ino)


def reader(group: int, is_input: IsInput) -> bytes:
    """Return what the processes of the group do about input: the first of WAITS, POLLS, SHARES, UNKNOWN and
    NO that is true of one of them. If one waits, and another one is working on what it may have passed on
    (as in `cat | sort`), the answer is POLLS."""
    doing = {pid: _threads(pid, is_input) for pid in system.members(group)}
    found = {pid: _process(threads) for pid, threads in doing.items()}
    kind = next((kind for kind in (WAITS, POLLS, SHARES, UNKNOWN) if kind in found.values()), NO)
    if kind is WAITS and any(
        found[pid] is NO and not {_BUSY, _OTHER}.isdisjoint(threads) and _is_fed(pid, is_input)
        for pid, threads in doing.items()
    ):
        return POLLS
    return kind


def _threads(pid: int, is_input: IsInput) -> list[bytes]:
    """Return what each thread of the process does."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 (as in system.py)
    except OSError:
        return []
    return [_thread(pid, int(thread), is_input) for thread in threads]


def _process(threads: Sequence[bytes]) -> bytes:
    """Return what a process does about input. It waits if one thread does, and no other can be woken before
    that one."""
    if WAITS in threads:
        return WAITS if set(threads) <= {WAITS, _ASLEEP} else POLLS
    return next((kind for kind in (POLLS, SHARES, UNKNOWN) if kind in threads), NO)


def _is_fed(pid: int, is_input: IsInput) -> bool:
    """Return whether the stdin of the process is a pipe other than the program's."""
    try:
        file = os.stat(f"/proc/{pid}/fd/0")  # noqa: PTH116
    except OSError:
        return False
    return stat.S_ISFIFO(file.st_mode) and not is_input(file)


def _thread(pid: int, thread: int, is_input: IsInput) -> bytes:
    fields = system.stat_fields(thread)
    if not fields or fields[0] in (b"Z", b"X"):
        return _ASLEEP  # it has ended
    if fields[0] not in (b"S", b"D"):
        return _BUSY
    call = system.read(f"/proc/{pid}/task/{thread}/syscall").split()
    if not call or not _CALLS:
        return _by_kernel_function(pid, thread)
    if not call[0].isdigit():
        return _BUSY
    name = _CALLS.get(int(call[0]), "")
    arguments = [int(word, 16) for word in call[1:7]]
    try:
        return _asleep_in(pid, name, arguments, is_input)
    except (OSError, ValueError, struct.error):
        return UNKNOWN


def _by_kernel_function(pid: int, thread: int) -> bytes:
    """Judge by the kernel function in which the thread sleeps, if its system call may not be read."""
    where = system.read(f"/proc/{pid}/task/{thread}/wchan")
    if where.startswith(b"n_tty_read"):
        return WAITS
    waits = (
        b"wait_woken",
        b"do_select",
        b"do_poll",
        b"do_sys_poll",
        b"poll_schedule",
        b"ep_poll",
        b"do_epoll",
    )
    return UNKNOWN if where in (b"", b"0") or where.startswith(waits) else _OTHER


def _asleep_in(pid: int, name: str, arguments: list[int], is_input: IsInput) -> bytes:
    if name == "ring":
        return SHARES  # its requests cannot be seen
    if name in ("pipe", "child"):
        return _BLOCKED
    if name in ("futex", "signals"):
        return _OTHER if _is_limited(pid, name, arguments) else _ASLEEP
    if name == "read":
        return _waiting_for(pid, [arguments[0]], False, is_input)
    if name in ("poll", "ppoll", "select", "epoll", "epoll2"):
        watched = watched_by(pid, name, arguments)
        return _waiting_for(pid, watched, _is_limited(pid, name, arguments), is_input)
    return _OTHER


def _waiting_for(pid: int, fds: Sequence[int], limited: bool, is_input: IsInput) -> bytes:
    """Return what a thread does that waits for these descriptors; `limited`: until a time, too."""
    others = [fd for fd in fds if not _is_input(pid, fd, is_input)]
    sources = {source_of(pid, fd) for fd in others}
    if len(others) < len(fds):
        if not sources <= {ITSELF, TIME}:
            return SHARES
        return POLLS if limited or TIME in sources else WAITS
    if limited or not sources <= {ITSELF, PIPE}:
        return _OTHER
    return _BLOCKED if PIPE in sources else _ASLEEP


def _is_limited(pid: int, name: str, arguments: list[int]) -> bool:
    """Return whether the call ends at a time that matters, too."""
    if name in ("poll", "epoll"):  # a negative number is no limit
        return arguments[2 if name == "poll" else 3] & 0xFFFFFFFF < _LONG * 1000
    place = arguments[{"ppoll": 2, "select": 4, "epoll2": 3, "futex": 3, "signals": 2}[name]]
    if not place:
        return False
    limit: tuple[int, int] = struct.unpack("qq", memory(pid, place, 16))
    if name == "futex" and arguments[1] & _COMMAND != _RELATIVE:
        clock = time.CLOCK_REALTIME if arguments[1] & _REALTIME else time.CLOCK_MONOTONIC
        return limit[0] - time.clock_gettime(clock) < _LONG
    return limit[0] < _LONG and (name, limit) != ("futex", _GO_MONITOR)


def _is_input(pid: int, fd: int, is_input: IsInput) -> bool:
    try:
        return is_input(os.stat(f"/proc/{pid}/fd/{fd}"))  # noqa: PTH116
    except OSError:
        return False
