"""A socket like the hub's, in front of a hub: every text in its answers is followed by what must not reach a
terminal."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread
from typing import Any

# a new clipboard, a new title, an erased screen, an answer from the terminal, concealed and reordered text;
# with 7-bit and with 8-bit controls
EVIL = (
    "\x1b]52;c;cGF3bmVk\x07\x1b]0;pwned\x1b\\\x1b[2J\x1b[6n\x1b[977A\x1b[977G\x1b[?1049h\x1bP+q544e\x1b\\\x1b_x\x1b\\\x1bc"
    "\x9d52;c;cGF3bmVk\x9c\x9b2J\x9b6n\x90+q\x9c\x85\x1b[8mconcealed\x1b[0m\u202e\u2066\u200b\r\x08\x7f\x00"
)
# what a shell compares or sends back, and times, which it parses
KEPT = re.compile(
    r"(id|ids|epoch|cursor|type|state|kind|code|status|outcome|channel|finish_reason|at|since|then|mode|"
    r"version|driver|session|turn|stream|turn_id|pid|seq|runs_at|[a-z_]*_(id|at)|owner|limit|unit|period)"
)
SECONDS = 60.0


def poisoned(value: Any, key: str = "") -> Any:
    """Return the JSON value with `EVIL` after each text."""
    if isinstance(value, str):
        return value if KEPT.fullmatch(key) else value + EVIL
    if isinstance(value, list):
        return [poisoned(each, key) for each in value]
    if isinstance(value, dict):
        return {name: poisoned(each, name) for name, each in value.items()}
    return value


class _ToHub(http.client.HTTPConnection):
    def __init__(self, place: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._place = place

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._place))


@contextmanager
def poisoning(hub: Path, at: Path) -> Iterator[None]:
    """Serve the hub at the socket `hub` at another one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length) if length else None
            asked = _ToHub(hub)
            asked.request(self.command, self.path, body, dict(self.headers.items()))
            answer = asked.getresponse()
            self.send_response(answer.status)
            kept = [pair for pair in answer.getheaders() if pair[0].lower() not in _HOPS]
            for name, value in kept:
                self.send_header(name, value)
            self.send_header("Connection", "close")
            if (answer.getheader("content-type") or "").startswith("text/event-stream"):
                self.end_headers()
                with suppress(BrokenPipeError):  # the client has seen enough
                    for line in answer:
                        self.wfile.write(_line(line))
            else:
                data = _body(answer.read())
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with suppress(BrokenPipeError):
                    self.wfile.write(data)
            asked.close()
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = handle_request

        def log_message(self, format: str, *arguments: Any) -> None: ...

        def address_string(self) -> str:
            return "unix"

    at.unlink(missing_ok=True)
    with ThreadingUnixStreamServer(str(at), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield
        finally:
            server.shutdown()


_HOPS = frozenset({"content-length", "connection", "transfer-encoding"})


def _body(data: bytes) -> bytes:
    try:
        return json.dumps(poisoned(json.loads(data)), ensure_ascii=False).encode()
    except ValueError:
        return data


def _line(line: bytes) -> bytes:
    if not line.startswith(b"data: "):
        return line
    return b"data: " + _body(line[6:].strip()) + b"\n"
