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
from bench.peers import WS, node_peer
from bench.process import ROOT, clean_environment, resident

SOCKET, SSE, NODE = "hub, WebSocket", "hub, SSE", "ws (Node)"
PADDING = 286  # bytes of text in an event of Node's server, so that its frame is as long as the hub's
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@dataclass(slots=True)
class Side:
    """A server with its clients, and the measurements so far. `connection_kb`: memory of the server per
    client."""

    server: subprocess.Popen[bytes]
    clients: subprocess.Popen[bytes]
    connection_kb: float
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
        command = [sys.executable, "-m", "bench.fanout_hub", f"{folder}/home"]
        with _running(command, folder) as server:
            port, token, session = _line(server).split()
            plan = _plan(name, int(port), token, session, clients, stopping)
            with _followed(server, plan) as side:
                yield side


def _plan(name: str, port: int, token: str, session: str, clients: int, stopping: int) -> Followers:
    who = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    if name == SSE:
        request = f"GET /api/v2/sessions/{session}/events HTTP/1.1\r\n{who}Accept: text/event-stream\r\n\r\n"
        return Followers(port, request, clients, stopping=stopping)
    call = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"session_id": session}}
    request = f"GET /ws/ai/apollo HTTP/1.1\r\n{who}{UPGRADE}\r\n"
    return Followers(port, request, clients, msgspec.json.encode(call).decode(), stopping)


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
def _followed(server: subprocess.Popen[bytes], plan: Followers) -> Iterator[Side]:
    before = resident(server.pid)
    command = [sys.executable, "-m", "bench.followers", msgspec.json.encode(plan).decode()]
    with _running(command, str(ROOT)) as clients:
        _line(clients)
        yield Side(server, clients, (resident(server.pid) - before) / plan.count)


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
