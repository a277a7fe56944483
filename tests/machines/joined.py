"""A hub and a build host that has joined it: real processes, each with its own home."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rhetor.drivers.programs.host.folder import HostFolder, kill
from tests.e2e.home import SECONDS, Machine

# speaks the protocol of Claude Code. `count N` says so many numbers, one in 50 ms; `ask N` does so too, and
# then asks for permission to run a command; the answer ends with the decision. `where` says its folder
AGENT = r"""
import json, os, sys, time
def tell(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
def said():
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)
number = 0
while True:
    message = said()
    if message["type"] != "user":
        continue
    number += 1
    text = message["message"]["content"][0]["text"]
    what, _, count = text.partition(" ")
    tell({"type": "system", "subtype": "init", "session_id": "c1", "model": "m"})
    whole = os.getcwd() if what == "where" else ""
    for at in range(int(count or 0)):
        piece = f"{at} "
        whole += piece
        event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        tell({"type": "stream_event", "event": event})
        time.sleep(0.05)
    if what == "ask":
        request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}}
        tell({"type": "control_request", "request_id": f"r{number}", "request": request})
        answer = said()["response"]["response"]["behavior"]
        whole += answer
        event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": answer}}
        tell({"type": "stream_event", "event": event})
    tell({"type": "assistant", "message": {"content": [{"type": "text", "text": whole}]}})
    tell({"type": "result", "subtype": "success", "result": whole, "session_id": "c1"})
"""
CONFIG: dict[str, Any] = {
    "tools": {
        "shout": {"driver": "stdio", "executable": "cat", "health_check": "status"},
        "box": {"driver": "terminal", "executable": "bash", "args": ["--norc"], "health_check": "status"},
        "worker": {"driver": "claude", "executable": "{python}", "args": ["-u", "-c", AGENT], "cwd": "/"},
    },
    "join": {"offer": ["shout", "box", "worker"]},
}


class BuildHost:
    """A machine that joins a hub. `inside`: the command that runs others in its network namespace."""

    def __init__(
        self, folder: Path, token: str, config: Mapping[str, Any] = CONFIG, inside: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._inside = inside
        folder.mkdir(mode=0o700, parents=True)
        text = json.dumps(config).replace("{python}", sys.executable)
        (folder / "config.yaml").write_text(text)  # JSON is YAML
        self.token = folder / "node-token"
        self.token.write_text(token)
        self.token.chmod(0o600)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {**kept, "RHETOR_HOME": str(folder)}
        self.process: subprocess.Popen[bytes] | None = None
        self._stderr, self._seen = folder / "stderr", 0

    def command(self, url: str, *more: str) -> list[str]:
        rhetor = str(Path(sys.executable).parent / "rhetor")
        return [*self._inside, rhetor, "join", url, "--token-file", str(self.token), *more]

    def start(self, url: str, *more: str) -> None:
        """Start `rhetor join`."""
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(self.command(url, *more), env=self.environment, stderr=stderr)

    def join(self, url: str, *more: str) -> None:
        """Start `rhetor join`, and wait until it is connected."""
        self.start(url, *more)
        self.until("connected to")

    def until(self, words: str) -> None:
        """Wait until it has said these words on stderr, after what was waited for before."""
        deadline = time.monotonic() + SECONDS
        while words not in (said := self.said[self._seen :]):
            assert time.monotonic() < deadline, f"it did not say {words!r}: {self.said}"
            assert self.process is not None
            assert self.process.poll() is None, f"rhetor join has ended: {self.said}"
            time.sleep(0.05)
        self._seen += said.index(words) + len(words)

    @property
    def said(self) -> str:
        """All that it has said on stderr."""
        return self._stderr.read_text() if self._stderr.exists() else ""

    def rejected(self, url: str) -> tuple[int, str]:
        """Start another `rhetor join`, which is to end by itself; return its exit status and what it says."""
        ended = subprocess.run(
            self.command(url),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return ended.returncode, ended.stderr

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End `rhetor join`, and return its exit status. Its programs continue."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(SECONDS)
        self.process, self._seen = None, len(self.said)
        return status

    def leave(self) -> None:
        """End `rhetor join`, and its programs."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.stop(signal.SIGKILL)
        for folder in self.folder.glob("join/*/hosts/*"):
            if (host := HostFolder(folder).identity()) is not None:
                kill(host)


def url_of(machine: Machine) -> str:
    """Start a hub unless one is running; return the URL of its TCP listener."""
    assert machine.run("list").returncode == 0
    return str(machine.status()["url"])


def node_token(machine: Machine, name: str) -> str:
    issued = machine.rhetor("token", "issue", name, "--scopes", "node")
    assert issued.returncode == 0, issued.stderr
    return issued.stdout.strip()


@contextmanager
def joined(machine: Machine, folder: Path, name: str = "build1") -> Iterator[BuildHost]:
    """A build host that has joined the hub of this machine."""
    url = url_of(machine)
    host = BuildHost(folder, node_token(machine, name))
    try:
        host.join(url)
        yield host
    finally:
        host.leave()


def listed(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return the peers by name."""
    return {each["name"]: each for each in json.loads(machine.run("list", "json").stdout)}


def until_status(machine: Machine, name: str, status: str) -> None:
    """Wait until the peer has the status."""
    deadline = time.monotonic() + SECONDS
    while listed(machine)[name]["status"] != status:
        assert time.monotonic() < deadline, f"{name} is {listed(machine)[name]}"
        time.sleep(0.1)
