"""A program at the scripted hub to which `aish` attaches, and a window in which `aish` runs.

The frames are those of the `websockets` package, on the scripted hub's real sockets.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.aish.pseudo_terminal import Terminal
from tests.aish.scripted import TIMEOUT, ScriptedHub, Shell


class View:
    """One connection of an attached `aish`."""

    def __init__(self, connection: socket.socket, protocol: ServerProtocol) -> None:
        self._connection = connection
        self._protocol = protocol
        self._changed = threading.Condition()
        self.keys = b""
        self.said: list[dict[str, Any]] = []
        self.closed: int | None = None

    def show(self, data: bytes) -> None:
        """Send output of the program."""
        with self._changed:
            self._protocol.send_binary(data)
            self._flush()

    def tell(self, type: str, **data: Any) -> None:
        with self._changed:
            self._protocol.send_text(json.dumps({"type": type, **data}).encode())
            self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection, unless the shell has closed it already."""
        with self._changed, contextlib.suppress(InvalidState):
            self._protocol.send_close(code, reason)
            self._flush()

    def drop(self) -> None:
        """Drop the connection like a killed hub."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def wait(self, what: Callable[[View], object]) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: what(self), TIMEOUT)
        assert came, f"{len(self.keys)} keys {self.keys[-100:]!r}, said {self.said}, closed {self.closed}"

    def wait_for_size(self, rows: int, columns: int) -> None:
        """Wait for the size of a terminal whose last row is the status line."""
        self.wait(lambda view: {"type": "size", "rows": rows - 1, "cols": columns} in view.said)

    def serve(self) -> None:
        """Serve until the connection ends."""
        self._flush()
        while True:
            try:
                data = self._connection.recv(65536)
            except OSError:
                data = b""
            with self._changed:
                self._protocol.receive_data(data) if data else self._protocol.receive_eof()
                for event in self._protocol.events_received():
                    self._take(event)
                self._flush()
                self._changed.notify_all()
            if not data:
                return

    def _take(self, event: object) -> None:
        assert isinstance(event, Frame)
        if event.opcode is Opcode.BINARY:
            self.keys += event.data
        elif event.opcode is Opcode.TEXT:
            self.said.append(json.loads(bytes(event.data)))
        elif event.opcode is Opcode.CLOSE:
            self.closed = int.from_bytes(event.data[:2], "big") or CloseCode.NO_STATUS_RCVD

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            for data in self._protocol.data_to_send():
                if data:
                    self._connection.sendall(data)


class Attachable:
    """A program to which clients can attach as `name`. Each view gets the `attached` message."""

    def __init__(self, hub: ScriptedHub, name: str = "box", mode: str = "rw") -> None:
        self._hub = hub
        self._path = f"/ws/attach/{name}?mode={mode}"
        self.route = f"GET {self._path}"
        self._hello = {
            "id": "a_1",
            "mode": mode,
            "name": name,
            "pid": 7,
            "rows": 24,
            "cols": 80,
            "clients": [],
        }
        self._came = threading.Condition()
        self._views: list[View] = []
        hub.on(self.route, self.serve)

    def view(self, number: int = 0) -> View:
        """Wait for the connection with this number, and return it."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._views) > number, TIMEOUT), "no client attached"
            return self._views[number]

    def serve(self, connection: socket.socket) -> None:
        heads = [request.headers for request in self._hub.requests if request.path == self._path]
        protocol = ServerProtocol()
        lines = [f"GET {self._path} HTTP/1.1", *(f"{name}: {value}" for name, value in heads[-1].items())]
        protocol.receive_data("\r\n".join([*lines, "", ""]).encode())
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        view = View(connection, protocol)
        view.tell("attached", **self._hello)
        with self._came:
            self._views.append(view)
            self._came.notify_all()
        view.serve()


class Window(Terminal):
    """A terminal whose other side stays open after its process has ended, as under a shell."""

    def __init__(self, master: int, slave: int, process: subprocess.Popen[bytes]) -> None:
        super().__init__(master, process)
        self._master = master
        self.slave = slave
        self.process = process

    @property
    def shown(self) -> bytes:
        """All output so far, byte for byte."""
        return self._shown

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def is_raw(self) -> bool:
        return not self.attributes()[3] & termios.ICANON

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.slave, (rows, columns))

    def wait_for_end(self) -> int:
        """Wait until the process has ended; return its exit code, negative for a signal."""
        deadline = monotonic() + TIMEOUT
        ended = os.pidfd_open(self.process.pid)
        try:
            while not select.select([ended], [], [], 0)[0]:
                readable = select.select([ended, self._master], [], [], max(deadline - monotonic(), 0))[0]
                assert readable, f"the process did not end; the screen has {self.screen!r}"
                if self._master in readable:
                    self._read(deadline)
        finally:
            os.close(ended)
        while self._read(monotonic()):
            pass
        return self.process.wait(TIMEOUT)

    def wait_until(self, what: Callable[[], bool]) -> None:
        """Wait until the condition is true, reading output meanwhile. It is polled, because changes by
        another process to a terminal cause no event."""
        deadline = monotonic() + TIMEOUT
        while not what():
            assert monotonic() < deadline, f"the condition never became true; the screen has {self.screen!r}"
            self._read(monotonic() + 0.01)


@contextlib.contextmanager
def window(
    shell: Shell, *words: str, command: Sequence[str] | None = None, rows: int = 30, columns: int = 100
) -> Iterator[Window]:
    """Run `aish` with these arguments, or another command, in a new window as the session leader."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (rows, columns))
    process = subprocess.Popen(
        command or shell.command(*words),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=shell.folder,
        env={**shell.environment, "TERM": "xterm-256color"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    try:
        yield Window(master, slave, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)
        os.close(slave)
