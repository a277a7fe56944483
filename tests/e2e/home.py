"""A user's machine in a folder: the installed `aish`, a home of its own, a clean environment."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import IO, Any

from rhetor.drivers.programs.host.folder import HostFolder, kill

BIN = Path(sys.executable).parent
CREDENTIALS = Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_KEPT = ("PATH", "HOME", "LANG", "XDG_RUNTIME_DIR")
SECONDS = 60.0  # a limit for hanging processes, which a busy machine does not reach


class Machine:
    """Commands of a user whose RHETOR_HOME is `folder`, and whose `aish` and `rhetor` are in `bin`."""

    def __init__(self, folder: Path, bin: Path = BIN) -> None:
        self.folder = folder
        self.bin = bin
        kept = {name: value for name, value in os.environ.items() if name in _KEPT}
        # the person who runs the tests may be logged in with a coding agent, which must not be called
        self.environment = {**kept, "RHETOR_HOME": str(folder), "RHETOR_MODELS__AGENTS": "[]"}

    def run(
        self,
        *arguments: str,
        stdin: str | None = None,
        timeout: float = SECONDS,
        variables: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `aish` with these arguments, to its end."""
        return subprocess.run(
            [self.bin / "aish", *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env={**self.environment, **(variables or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start_with(
        self, stdin: IO[bytes], *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `aish` with a file as its standard input."""
        return subprocess.run(
            [self.bin / "aish", *arguments],
            stdin=stdin,
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def rhetor(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `rhetor` with these arguments; it is expected to exit by itself."""
        return subprocess.run(
            [self.bin / "rhetor", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def start(
        self, *arguments: str, stdout: Any = subprocess.PIPE, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `aish` with these arguments."""
        return subprocess.Popen(
            [self.bin / "aish", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**self.environment, **(variables or {})},
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def hub_pid(self) -> int:
        return int((self.folder / "hub.pid").read_text())

    def kill_hub(self) -> None:
        """Kill the hub like a power failure, and wait until its process is gone."""
        pid = self.hub_pid()
        os.kill(pid, signal.SIGKILL)
        self._wait_for_end(pid)
        while _takes_connections(self.folder / "hub.sock"):  # its last threads may still be exiting
            time.sleep(0.005)

    def wait_for_end(self) -> None:
        """Wait until the hub that was told to stop has stopped."""
        self._wait_for_end(self.hub_pid())

    def _wait_for_end(self, pid: int) -> None:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:  # readable when the process has ended, even if its parent has not reaped it yet
            assert select.select([process], [], [], SECONDS)[0], f"the hub {pid} did not end"
        finally:
            os.close(process)

    def end_programs(self) -> None:
        """End all programs that are peers of the hub, and their children."""
        listed = self.run("list", "json")
        peers = json.loads(listed.stdout) if listed.returncode == 0 else []
        for peer in peers:
            if peer.get("pid"):
                os.kill(peer["pid"], signal.SIGKILL)

    def end(self) -> None:
        """Stop the hub if one is running."""
        if (self.folder / "hub.sock").exists():
            self.run("shutdown")

    def leave(self) -> None:
        """Stop the hub and the programs after a test, without starting another process."""
        self._stop_hub()
        for folder in (self.folder / "hosts").glob("*"):  # a program survives the hub
            if (host := HostFolder(folder).identity()) is not None:
                kill(host)

    def _stop_hub(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.folder / "hub.sock"))
            except OSError:
                return
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            pid: int = CREDENTIALS.unpack(found)[0]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self._wait_for_end(pid)

    def database(self) -> sqlite3.Connection:
        """Open the database; no hub may be running."""
        return sqlite3.connect(self.folder / "hub.db")


def _takes_connections(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
