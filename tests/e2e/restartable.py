"""A hub in its own process that tests stop, kill and start again."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from typing import Any

from tests.e2e.home import BIN, SECONDS, Machine


class RestartableHub:
    """A hub that can be restarted on the same port."""

    def __init__(self, machine: Machine) -> None:
        machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
        self._environment = machine.environment
        self.hub, self.url = self._start("0")
        self.token = (machine.folder / "token").read_text().strip()

    def restart(self, signum: signal.Signals) -> None:
        self.stop(signum)
        self.start_again()

    def stop(self, signum: signal.Signals) -> None:
        self.hub.send_signal(signum)
        self.end()

    def start_again(self) -> None:
        self.hub, _ = self._start(self.url.rsplit(":", 1)[1])

    def end(self) -> None:
        self.hub.terminate()
        self.hub.wait(SECONDS)
        assert self.hub.stdout is not None
        self.hub.stdout.close()

    def _start(self, port: str) -> tuple[subprocess.Popen[str], str]:
        command = [f"{BIN}/rhetor", "serve", "--port", port]
        quiet = subprocess.DEVNULL
        hub = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=quiet, text=True
        )
        assert hub.stdout is not None
        return hub, hub.stdout.readline().split(" and ")[0].removeprefix("rhetor listening on ")

    def post(self, path: str, body: Any) -> Any:
        return self.request("POST", f"/api/v2/{path}", body)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)
