"""Finds out which program or user holds the client's end of a TCP connection on this machine."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress

from rhetor.domain.principal import UNIDENTIFIED

from .process_tree import PROC, Processes

Address = tuple[str, int]
FEW_AGENTS = 20  # their descriptors are read without a thread, which may take longer to begin

# sock_diag(7): struct nlmsghdr and struct inet_diag_req_v2, without the addresses
_HEAD = struct.Struct("=IHHII")
_QUERY = struct.Struct("=BBBBI")
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST = 4, 20, 1
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = b"\0" * 4 + b"\xff" * 8
_USER_AND_INODE = struct.Struct("=II")
_USER_AT = _HEAD.size + 4 + 48 + 12  # in struct inet_diag_msg, after nlmsghdr
_ENOENT = -2
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class TcpClients:
    """Identifies the clients of the hub's TCP listener by the process that holds their socket."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._last_started: bytes | None = None
        self._agents: Mapping[int, str] = {}

    async def agent(self, client: Address, server: Address) -> str | None:
        """Return the peer whose program holds the client's socket; None if no program does.

        The result is `UNIDENTIFIED` if no process has the socket open any more. A client on another machine
        is no program of this hub.
        """
        _, inode = socket_of(client, server)
        if not inode:
            return UNIDENTIFIED if is_of_this_machine(client[0]) else None
        last_started = self._processes.last_started()
        if last_started != self._last_started:  # a process can become an agent only by being started
            self._agents = self._processes.agents()
            self._last_started = last_started
        if len(self._agents) <= FEW_AGENTS:
            return self._holder(inode)
        return await asyncio.to_thread(self._holder, inode)

    def _holder(self, inode: int) -> str | None:
        return next((peer for pid, peer in self._agents.items() if inode in _sockets(pid)), None)


def is_of_other_user(client: Address, server: Address) -> bool:
    """Return whether the client's socket belongs to another user of this machine, who is not root."""
    user, inode = socket_of(client, server)
    return bool(inode) and user not in (0, os.getuid())


def socket_of(client: Address, server: Address) -> tuple[int, int]:
    """Return the user and the inode of the client's socket. The inode is 0 if there is no such socket, or no
    process has it open."""
    try:
        return _from_kernel(client, server)
    except OSError:  # the kernel has no sock_diag(7), or does not allow it
        return _from_table(client, server)


def is_of_this_machine(address: str) -> bool:
    """Return whether an address belongs to an interface of this machine. Only such an address can be bound
    (ip(7)). If that is not certain, the result is True."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _from_kernel(client: Address, server: Address) -> tuple[int, int]:
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, host).ljust(16, b"\0") for host, _ in (client, server))
    ports = struct.pack("!HH", client[1], server[1])
    query = _QUERY.pack(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + ports + addresses + _NO_COOKIE
    head = _HEAD.pack(_HEAD.size + len(query), _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(head + query)
        answer = kernel.recv(4096)
    if _HEAD.unpack_from(answer)[1] == _SOCK_DIAG_BY_FAMILY:
        user, inode = _USER_AND_INODE.unpack_from(answer, _USER_AT)
        return user, inode
    error = struct.unpack_from("=i", answer, _HEAD.size)[0]
    if error == _ENOENT:
        return 0, 0
    raise OSError(-error, os.strerror(-error))


def _from_table(client: Address, server: Address) -> tuple[int, int]:
    """Search proc_pid_net(5), which lists all sockets. An IPv4 address may be mapped into IPv6."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "self/net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if _address(fields[1]) == client and _address(fields[2]) == server:
                    return int(fields[7]), int(fields[9])
    return 0, 0


def _address(text: str) -> Address:
    words, _, port = text.partition(":")
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        packed = packed[12:]
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)


def _sockets(pid: int) -> set[int]:
    """Return the inodes of the sockets that the process has open."""
    found: set[int] = set()
    with suppress(OSError):
        for fd in os.listdir(f"{PROC}/{pid}/fd"):  # noqa: PTH208  # called for each program
            with suppress(OSError):
                if match := _SOCKET.fullmatch(os.readlink(f"{PROC}/{pid}/fd/{fd}")):  # noqa: PTH115
                    found.add(int(match[1]))
    return found
