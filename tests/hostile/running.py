"""The installed hub in its own process, over TCP with its token, and as its owner."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import requests
from tests.e2e.home import BIN, SECONDS, Machine

# limits that no test reaches
PROFILE = {
    "RHETOR_LIMITS__MESSAGES_PER_SECOND": "1000000",
    "RHETOR_LIMITS__MESSAGES_BURST": "1000000",
    "RHETOR_LIMITS__BYTES_PER_SECOND": "1000000000000",
    "RHETOR_LIMITS__TURNS_AT_ONCE": "1000000",
    "RHETOR_LIMITS__ATTEMPTS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_AT_ONCE": "1000000",
}
LINE = re.compile(r"rhetor listening on (http://127\.0\.0\.1:\d+) ")


@dataclass(frozen=True)
class RunningHub:
    """`session` sends the token; `plan_id`: a plan that has run; `socket`: the owner's Unix socket."""

    url: str
    session: requests.Session
    plan_id: str
    process: subprocess.Popen[str]
    socket: Path

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}{path}", timeout=SECONDS, **options)


@contextmanager
def running_hub(
    folder: Path, settings: Mapping[str, str] | None = None, rhetor: Sequence[str] = (f"{BIN}/rhetor",)
) -> Iterator[RunningHub]:
    """Run a hub. `settings`: environment variables; `rhetor`: the command."""
    machine = Machine(folder)
    environment = {**machine.environment, "RHETOR_MODELS__DEFAULT": "offline", **PROFILE, **(settings or {})}
    command = [*rhetor, "serve", "--port", "0"]
    with (
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process,
        requests.Session() as session,
    ):
        assert process.stdout is not None
        found = LINE.match(process.stdout.readline())
        assert found is not None
        session.headers["authorization"] = f"Bearer {(folder / 'token').read_text().strip()}"
        session.trust_env = False
        planned = session.post(f"{found[1]}/api/v2/plans", json={"line": "apollo hi"}, timeout=SECONDS)
        try:
            yield RunningHub(found[1], session, planned.headers["x-plan-id"], process, folder / "hub.sock")
        finally:
            process.terminate()
            process.wait(SECONDS)


@contextmanager
def at_a_port(path: Path) -> Iterator[str]:
    """Serve a Unix socket on a TCP port, for clients that cannot use one. Yields the URL."""

    class Relay(BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as hub:
                hub.connect(str(path))
                answers = Thread(target=_pass_on, args=(hub, self.request))
                answers.start()
                _pass_on(self.request, hub)
                answers.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            to.sendall(piece)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
