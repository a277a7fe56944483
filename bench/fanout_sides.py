"""The servers of the broadcast benchmark and their clients: the hub by WebSocket and SSE, and Node's `ws`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from bench.followers import Followers, Heard
from bench.peers import NODE_SOCKETIO as NODE_PACKAGE
from bench.peers import PYTHON_SOCKETIO as PYTHON_PACKAGES
from bench.peers import WS, node_peer, python_peer
from bench.process import ROOT, clean_environment, resident

SOCKET, SSE, NODE = "hub, WebSocket", "hub, SSE", "ws (Node)"
SOCKET_TLS, SSE_TLS = f"{SOCKET} over TLS", f"{SSE} over TLS"
SOCKETIO, NODE_SOCKETIO = "hub, Socket.IO", "socket.io (Node)"
PYTHON_SOCKETIO = "python-socketio"
SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket"
PADDING = 286  # bytes of text in an event of Node's server, so that its frame is as long as the hub's
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@dataclass(slots=True)
class Side:
    """A server with its clients, and the measurements so far. `connection_kb`: memory of the server per
    client; `port`: the server's."""

    server: subprocess.Popen[bytes]
    clients: subprocess.Popen[bytes]
    connection_kb: float
    port: int
    latencies: list[float] = field(default_factory=list)
    single_us: list[float] = field(default_factory=list)
    burst_us: list[float] = field(default_factory=list)
    burst_rate: list[float] = field(default_factory=list)

    def prepare(self, events: int, stopped: int = 0) -> None:
        """Start a measurement in which every client should receive `events` events. The last `stopped`
        clients stop reading."""
        _tell(self.clients, events, stopped)
        if _line(self.clients) != "prepared":
            raise RuntimeError("the followers are out of step")

    def send(self, events: int, *rate: int) -> None:
        _tell(self.server, events, *rate)

    def heard(self) -> Heard:
        """Wait until every client that reads has all events, and return the result."""
        return msgspec.json.decode(_line(self.clients), type=Heard)


@contextmanager
def our_side(name: str, clients: int, stopping: int = 0) -> Iterator[Side]:
    """Start the hub and `clients` clients that follow one session through the API `name`. The last `stopping`
    of them may stop reading later."""
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        tls = name in (SOCKET_TLS, SSE_TLS)
        command = [sys.executable, "-m", "bench.fanout_hub", f"{folder}/home", *(["tls"] if tls else [])]
        with _running(command, folder) as server:
            port, token, session = _line(server).split()
            plan = _plan(name, int(port), token, session, clients, stopping)
            plan = msgspec.structs.replace(plan, tls=tls)
            with _followed(server, plan) as side:
                yield side


def _plan(name: str, port: int, token: str, session: str, clients: int, stopping: int) -> Followers:
    who = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    if name in (SSE, SSE_TLS):
        request = f"GET /api/v2/sessions/{session}/events HTTP/1.1\r\n{who}Accept: text/event-stream\r\n\r\n"
        return Followers(port, request, clients, stopping=stopping)
    if name == SOCKETIO:
        asked = msgspec.json.encode(["subscribe", {"session_id": session, "events": ["output.delta"]}])
        calls = (f'40{{"token":"{token}"}}', f"421{asked.decode()}")
        return Followers(port, _socketio_request(port), clients, calls, stopping)
    call = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"session_id": session}}
    request = f"GET /ws/ai/apollo HTTP/1.1\r\n{who}{UPGRADE}\r\n"
    return Followers(port, request, clients, (msgspec.json.encode(call).decode(),), stopping)


@contextmanager
def node_side(clients: int) -> Iterator[Side]:
    """Start Node's server and its clients.

    Raises:
        Unavailable: Node or the package is not available on this machine.
    """
    folder = node_peer("ws", WS)
    command = ["node", str(ROOT / "bench/fanout_ws.cjs"), str(folder), str(PADDING)]
    with _running(command, str(folder)) as server:
        port = int(_line(server))
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{UPGRADE}\r\n"
        with _followed(server, Followers(port, request, clients)) as side:
            yield side


@contextmanager
def node_socketio_side(clients: int) -> Iterator[Side]:
    """Start a broadcast with Node's `socket.io`, and its clients.

    Raises:
        Unavailable: Node or the package is not available on this machine.
    """
    folder = node_peer("socketio", NODE_PACKAGE)
    command = ["node", str(ROOT / "bench/fanout_socketio.cjs"), str(folder), str(PADDING)]
    with _running(command, str(folder)) as server, _followed_socketio(server, clients) as side:
        yield side


@contextmanager
def python_socketio_side(clients: int) -> Iterator[Side]:
    """Start a broadcast with python-socketio's `emit` on uvicorn, and its clients.

    Raises:
        Unavailable: the packages are not available on this machine.
    """
    commands = python_peer("python-socketio", *PYTHON_PACKAGES)
    command = [str(commands / "python"), "-P", str(ROOT / "bench/fanout_socketio_python.py"), str(PADDING)]
    with _running(command, str(ROOT)) as server, _followed_socketio(server, clients) as side:
        yield side


@contextmanager
def _followed_socketio(server: subprocess.Popen[bytes], clients: int) -> Iterator[Side]:
    port = int(_line(server))
    with _followed(server, Followers(port, _socketio_request(port), clients, ("40",))) as side:
        yield side


def _socketio_request(port: int) -> str:
    return f"GET {SOCKETIO_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{UPGRADE}\r\n"


@contextmanager
def _followed(server: subprocess.Popen[bytes], plan: Followers) -> Iterator[Side]:
    before = resident(server.pid)
    command = [sys.executable, "-m", "bench.followers", msgspec.json.encode(plan).decode()]
    with _running(command, str(ROOT)) as clients:
        _line(clients)
        yield Side(server, clients, (resident(server.pid) - before) / plan.count, plan.port)


@contextmanager
def _running(command: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that reads commands from stdin, and terminate it at the end of the `with`."""
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _tell(process: subprocess.Popen[bytes], *numbers: int) -> None:
    assert process.stdin is not None
    process.stdin.write(" ".join(map(str, numbers)).encode() + b"\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} ended")
    return line
