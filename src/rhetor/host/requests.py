"""Serves the clients of a host: accepts and authenticates them, and answers their requests.

The life of the program and of the host itself is in `supervisor.py`.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable

from rhetor.codec import host_frames as frames

from .connection import Connection
from .event_loop import Loop
from .spool import Spool, SpoolReader, TailBuffer

MAX_CLIENTS = 64

Request = Callable[[Connection, bytes], None]


class Refused(Exception):
    """The request is rejected. `reason` is one of the numbers in `host_frames`."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


def listening(path: str) -> socket.socket:
    """Return a socket that listens at `path`, with mode 0600."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101 (pathlib costs memory)
    sock.listen(MAX_CLIENTS)
    sock.setblocking(False)
    return sock


class ClientServer:
    """Serves the clients on one listening socket.

    `requests`: handlers of the requests that are not handled here, by kind. `on_gone` is called with each
    client that has disconnected, `on_hubs` with the number of connected hubs when it changes. `exited`: the
    encoded end of the program, empty until then.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        nonce: bytes,
        spool: Spool,
        stderr: TailBuffer,
        requests: dict[int, Request],
        on_gone: Callable[[Connection], None],
        on_hubs: Callable[[int], None],
    ) -> None:
        self.exited = b""
        self._loop = loop
        self._sock = sock
        self._nonce = nonce
        self._spool = spool
        self._stderr = stderr
        self._requests = requests | {
            frames.READ: self._read,
            frames.READ_STDERR: self._read_stderr,
            frames.WAIT: self._wait,
        }
        self._on_gone = on_gone
        self._on_hubs = on_hubs
        self._clients: set[Connection] = set()
        self._readers: dict[Connection, SpoolReader] = {}
        self._waiting: set[Connection] = set()
        self._on_empty: Callable[[], None] | None = None
        loop.on_readable(sock.fileno(), self._accept)

    def refill(self) -> None:
        """Send new output to the clients that follow it."""
        for client in list(self._clients):
            client.refill()

    def tell_exit(self, exited: bytes) -> None:
        """Report the program's end: at once to clients that wait for it, to readers after the output."""
        self.exited = exited
        waiting, self._waiting = self._waiting, set()
        for client in waiting:
            client.answer(frames.EXITED, exited)
        self.refill()

    def leave(self, on_empty: Callable[[], None]) -> None:
        """Accept no more clients, and call `on_empty` when all answers have been sent."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self._on_empty = on_empty
        for client in list(self._clients):
            client.end()
        if not self._clients and self._on_empty is not None:
            self._on_empty()

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS or _owner(sock) != os.getuid():
            sock.close()
            return
        self._clients.add(Connection(self._loop, sock, self._serve, self._gone))

    def _gone(self, client: Connection) -> None:
        self._clients.discard(client)
        self._waiting.discard(client)
        reader = self._readers.pop(client, None)
        if reader is not None:
            reader.close()
        self._on_gone(client)
        if client.hub:
            self._count_hubs()
        if not self._clients and self._on_empty is not None:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()

    def _count_hubs(self) -> None:
        self._on_hubs(sum(client.hub for client in self._clients))

    def _serve(self, client: Connection, kind: int, body: bytes) -> None:
        try:
            if kind == frames.HELLO:
                self._admit(client, body)
            elif not client.admitted:
                raise Refused(frames.WRONG_NONCE)
            elif kind in self._requests:
                self._requests[kind](client, body)
            else:
                raise Refused(frames.BAD_REQUEST)
        except Refused as refusal:
            client.answer(frames.FAILED, frames.pack_number(refusal.reason))
        except frames.FrameBroken:
            client.answer(frames.FAILED, frames.pack_number(frames.BAD_REQUEST))

    def _admit(self, client: Connection, body: bytes) -> None:
        hub, nonce = frames.unpack_hello(body)
        if nonce != self._nonce:
            client.answer(frames.FAILED, frames.pack_number(frames.WRONG_NONCE))
            client.end()
            return
        client.admitted = True
        client.answer(frames.DONE)
        if hub and not client.hub:
            client.hub = True
            self._count_hubs()

    def _read(self, client: Connection, body: bytes) -> None:
        offset = frames.unpack_offset(body)
        if offset > self._spool.head:
            raise Refused(frames.AHEAD)
        reader = self._readers[client] = SpoolReader(self._spool, offset)
        told = False

        def source() -> bytes | None:
            nonlocal told
            piece = reader.next()
            if piece is not None:
                begin, at_ms, data = piece
                return frames.frame(frames.CHUNK, frames.pack_chunk(begin + len(data), at_ms, data))
            if self.exited and not told:
                told = True
                return frames.frame(frames.EXITED, self.exited)
            return None

        client.follow(source)

    def _read_stderr(self, client: Connection, body: bytes) -> None:
        offset = frames.unpack_offset(body)
        if offset > self._stderr.total:
            raise Refused(frames.AHEAD)
        told = False

        def source() -> bytes | None:
            nonlocal offset, told
            lost = self._stderr.lost
            if offset < lost:
                count, offset = lost - offset, lost
                return frames.frame(frames.LOST, frames.pack_chunk(lost, count, b""))
            piece = self._stderr.after(offset)
            if piece is not None:
                begin, at_ms, data = piece
                offset = begin + len(data)
                return frames.frame(frames.CHUNK, frames.pack_chunk(offset, at_ms, data))
            if self.exited and not told:
                told = True
                return frames.frame(frames.EXITED, self.exited)
            return None

        client.follow(source)

    def _wait(self, client: Connection, body: bytes) -> None:
        del body
        if self.exited:
            client.answer(frames.EXITED, self.exited)
        else:
            self._waiting.add(client)


def signal_number(body: bytes) -> int:
    number = frames.unpack_number(body)
    if not 0 < number < signal.NSIG:
        raise Refused(frames.BAD_REQUEST)
    return number


def _owner(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])
