"""Tells from proc(5) which descriptors a sleeping thread watches, and who can wake it through each one."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterable, Iterator

from . import system

ITSELF = b"itself"  # only the process itself
TIME = b"time"  # a timer
PIPE = b"pipe"  # another process, through a pipe
OTHERS = b"others"  # other processes or machines

_SET_BYTES = 1 << 13
_MOST_NESTED = 4
_ANONYMOUS = "anon_inode:"

# sock_diag(7), linux/unix_diag.h: a request for one Unix socket by its inode, which asks for its peer
_SOCK_DIAG, _BY_FAMILY, _REQUEST, _SHOW_PEER, _PEER = 4, 20, 1, 4, 2
_HEADER, _QUESTION, _ANSWER, _ATTRIBUTE = "=IHHII", "=BBHIIIII", "=BBBBIII", "=HHI"
_ANY = 0xFFFFFFFF


def watched_by(pid: int, name: str, arguments: list[int]) -> list[int]:
    """Return the descriptors on which a call (poll, ppoll, select, epoll or epoll2) waits for input.

    Raises:
        OSError, ValueError, struct.error: they cannot be known.
    """
    return list(dict.fromkeys(_flat(pid, _listed(pid, name, arguments))))


def _listed(pid: int, name: str, arguments: list[int]) -> list[int]:
    if name in ("epoll", "epoll2"):
        return _in_epoll(pid, arguments[0])
    if name == "select":
        if not arguments[1]:
            return []
        bits = int.from_bytes(memory(pid, arguments[1], (arguments[0] + 7) // 8), "little")
        return [fd for fd in range(arguments[0]) if bits >> fd & 1]
    data = memory(pid, arguments[0], 8 * arguments[1])
    found = struct.iter_unpack("ihh", data)
    return [fd for fd, events, _ in found if fd >= 0 and events & select.POLLIN]


def _flat(pid: int, fds: Iterable[int], nested: int = 0) -> Iterator[int]:
    """Yield the descriptors; in place of an epoll descriptor, those that are in it."""
    for fd in fds:
        if nested < _MOST_NESTED and _link(pid, fd) == _ANONYMOUS + "[eventpoll]":
            yield from _flat(pid, _in_epoll(pid, fd), nested + 1)
        else:
            yield fd


def memory(pid: int, address: int, size: int) -> bytes:
    """Read the memory of a process, at most 8 KiB.

    Raises:
        OSError: it cannot be read.
    """
    file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, min(size, _SET_BYTES), address)
    finally:
        os.close(file)


def source_of(pid: int, fd: int) -> bytes:
    """Return who can make the descriptor readable: ITSELF, TIME, PIPE or OTHERS."""
    link = _link(pid, fd)
    if link.startswith("pipe:"):
        return ITSELF if _links(pid).count(link) > 1 else PIPE
    if link.startswith("socket:["):
        peer = _peer_of(int(link[8:-1]))
        return ITSELF if peer and f"socket:[{peer}]" in _links(pid) else OTHERS
    if link.startswith(_ANONYMOUS):
        return _anonymous(pid, fd, link.removeprefix(_ANONYMOUS).strip("[]"))
    return ITSELF if link == "/dev/null" else OTHERS


def _anonymous(pid: int, fd: int, kind: str) -> bytes:
    if kind == "eventfd":
        return ITSELF
    if kind == "timerfd":
        info = system.read(f"/proc/{pid}/fdinfo/{fd}")
        return ITSELF if b"it_value: (0, 0)" in info else TIME
    if kind == "signalfd":
        return OTHERS if system.children(pid) else ITSELF
    return OTHERS


def _in_epoll(pid: int, fd: int) -> list[int]:
    lines = system.read(f"/proc/{pid}/fdinfo/{fd}", 1 << 16).splitlines()
    entries = [words for line in lines if (words := line.split())[:1] == [b"tfd:"]]
    return [int(words[1]) for words in entries if int(words[3], 16) & select.EPOLLIN]


def _link(pid: int, fd: int) -> str:
    """Return what the descriptor refers to; empty if it was closed, although its file may be watched."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115
    except OSError:
        return ""


def _links(pid: int) -> list[str]:
    """Return what all descriptors of the process refer to."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))  # noqa: PTH115
        except OSError:
            pass  # it was closed
    return links


def _peer_of(inode: int) -> int:
    """Return the inode of the socket to which a Unix socket is connected; 0 if that is not known."""
    question = struct.pack(_QUESTION, socket.AF_UNIX, 0, 0, _ANY, inode, _SHOW_PEER, _ANY, _ANY)
    head = struct.pack(_HEADER, struct.calcsize(_HEADER) + len(question), _BY_FAMILY, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.send(head + question)
            answer = kernel.recv(4096, socket.MSG_DONTWAIT)
    except OSError:
        return 0
    if struct.unpack_from(_HEADER, answer)[1] != _BY_FAMILY:
        return 0  # there is no such Unix socket
    at = struct.calcsize(_HEADER) + struct.calcsize(_ANSWER)
    while at + struct.calcsize(_ATTRIBUTE) <= len(answer):
        length, kind, value = struct.unpack_from(_ATTRIBUTE, answer, at)
        if kind == _PEER:
            return int(value)
        at += max(length + 3 & ~3, 4)
    return 0
