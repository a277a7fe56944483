"""Tells from proc(5) whether a program waits for input, and whether it might be doing something else.

A process shows in which system call each of its threads sleeps. The descriptors of that call say whether the
thread waits for the program's terminal or stdin, or for something else too.
"""

from __future__ import annotations

import os
import platform
import select
import stat
import struct
from collections.abc import Callable, Iterator

from . import system

WAITS = b"waits"  # nothing but input can wake it
POLLS = b"polls"  # it takes input, but a time limit or another thread of its own may come first
SHARES = b"shares"  # it takes input, but waits for connections or other programs too
NO = b"no"  # it takes no input
UNKNOWN = b""

_TTY = os.makedev(5, 0)  # /dev/tty, which is the program's terminal for all of its processes
_FOREVER = 1 << 31  # from here on, a limit in milliseconds is negative
_SET_BYTES = 1 << 13
_BUSY, _ASLEEP, _OTHER = b"busy", b"asleep", b"other"

# system calls by number (unistd.h)
_X86_64 = {
    0: "read", 19: "read", 7: "poll", 271: "ppoll", 23: "select", 270: "select",
    232: "epoll", 281: "epoll", 441: "epoll2", 202: "futex", 128: "signals", 426: "ring",
}  # fmt: skip
_GENERIC = {
    63: "read", 65: "read", 73: "ppoll", 72: "select", 22: "epoll", 441: "epoll2", 98: "futex",
    137: "signals", 426: "ring",
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
    NO that is true of one of them."""
    first = _process(group, is_input)
    if first in (WAITS, POLLS, SHARES):  # usually the leader says it; checking all processes takes a while
        return first
    found = {first, *(_process(pid, is_input) for pid in system.members(group) if pid != group)}
    return next((kind for kind in (WAITS, POLLS, SHARES, UNKNOWN) if kind in found), NO)


def _process(pid: int, is_input: IsInput) -> bytes:
    try:
        threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 (as in system.py)
    except OSError:
        return NO
    doing = {thread: _thread(pid, thread, is_input) for thread in threads}
    for kind in (WAITS, POLLS, SHARES):
        if kind in doing.values():
            break
    else:
        return UNKNOWN if UNKNOWN in doing.values() else NO
    if kind is not WAITS:
        return kind
    others = [doing[thread] for thread in threads if thread != pid]
    return WAITS if doing.get(pid) is WAITS and all(one is _ASLEEP for one in others) else POLLS


def _thread(pid: int, thread: int, is_input: IsInput) -> bytes:
    fields = system.stat_fields(thread)
    if not fields or fields[0] not in (b"S", b"D"):
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
    if name == "read":
        return WAITS if _is_input(pid, arguments[0], is_input) else _OTHER
    if name == "ring":
        return SHARES  # its requests cannot be seen
    if name in ("futex", "signals"):
        limit = arguments[3] if name == "futex" else arguments[2]
        return _OTHER if limit else _ASLEEP
    if name not in ("poll", "ppoll", "select", "epoll", "epoll2"):
        return _OTHER
    watched = set(_watched(pid, name, arguments))
    limited = _is_limited(name, arguments)
    if not any(_is_input(pid, fd, is_input) for fd in watched):
        return _OTHER if limited else _ASLEEP
    links = _links(pid)
    kinds = {_kind(fd, links) for fd in watched if not _is_input(pid, fd, is_input)}
    if SHARES in kinds:
        return SHARES
    return POLLS if limited or POLLS in kinds else WAITS


def _is_limited(name: str, arguments: list[int]) -> bool:
    """Return whether the call ends at a time limit, too."""
    if name in ("poll", "epoll"):
        return arguments[2 if name == "poll" else 3] & 0xFFFFFFFF < _FOREVER
    return bool(arguments[{"ppoll": 2, "select": 4, "epoll2": 3}[name]])


def _watched(pid: int, name: str, arguments: list[int]) -> Iterator[int]:
    """Yield the descriptors on which the call waits for input."""
    if name in ("epoll", "epoll2"):
        for line in system.read(f"/proc/{pid}/fdinfo/{arguments[0]}", 1 << 16).splitlines():
            words = line.split()
            if words[:1] == [b"tfd:"] and int(words[3], 16) & select.EPOLLIN:
                yield int(words[1])
    elif name == "select":
        if arguments[1]:
            bits = int.from_bytes(_memory(pid, arguments[1], (arguments[0] + 7) // 8), "little")
            yield from (fd for fd in range(arguments[0]) if bits >> fd & 1)
    else:
        data = _memory(pid, arguments[0], 8 * arguments[1])
        yield from (
            fd for fd, events, _ in struct.iter_unpack("ihh", data) if fd >= 0 and events & select.POLLIN
        )


def _memory(pid: int, address: int, size: int) -> bytes:
    file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, min(size, _SET_BYTES), address)
    finally:
        os.close(file)


def _is_input(pid: int, fd: int, is_input: IsInput) -> bool:
    try:
        return is_input(os.stat(f"/proc/{pid}/fd/{fd}"))  # noqa: PTH116
    except OSError:
        return False


def _links(pid: int) -> dict[int, str]:
    links = {}
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
        try:
            links[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115
        except OSError:
            pass  # it was closed
    return links


def _kind(fd: int, links: dict[int, str]) -> bytes:
    """Return whether a watched descriptor can only be woken by the process itself (WAITS), by time (POLLS),
    or by others (SHARES)."""
    link = links.get(fd, "")
    if link == "anon_inode:[timerfd]":
        return POLLS
    if link.startswith("anon_inode:"):
        return WAITS
    own_pipe = link.startswith("pipe:") and list(links.values()).count(link) > 1
    return WAITS if own_pipe or link == "/dev/null" else SHARES
