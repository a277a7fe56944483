"""CPU time and memory of a process, and a hub that runs in a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
PROCESS_CLOCK = 2  # CPUCLOCK_SCHED of Linux: CPU time, as the scheduler counts it
# the variables that child processes receive: enough to find programs and modules, and no configuration
PASSED = ("PATH", "PYTHONPATH")
# so high that no benchmark reaches a limit: they measure the hub, not its limits
PROFILE = {
    "RHETOR_LIMITS__CONNECTIONS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_AT_ONCE": "1000000",
    "RHETOR_LIMITS__MESSAGES_PER_SECOND": "1000000",
    "RHETOR_LIMITS__MESSAGES_BURST": "1000000",
    "RHETOR_LIMITS__BYTES_PER_SECOND": "1000000000000",
    "RHETOR_LIMITS__TURNS_AT_ONCE": "1000000",
}


def cpu(pid: int) -> float:
    """Return the CPU time that all threads of the process have used, in seconds.

    It reads the clock of clock_getcpuclockid(3), which counts nanoseconds. /proc counts in steps of 10 ms,
    which is too coarse here.
    """
    return time.clock_gettime(~pid << 3 | PROCESS_CLOCK)


def resident(pid: int) -> float:
    """Return the resident memory of the process in kilobytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def clean_environment(folder: str) -> dict[str, str]:
    """Return an environment in which programs keep all of their files in the folder."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return {**passed, "HOME": folder, "RHETOR_HOME": f"{folder}/home", "RHETOR_MODELS__AGENTS": "[]"}


@dataclass(frozen=True, slots=True)
class RunningHub:
    """A running hub. `socket`: the path of its Unix socket; `port`: its TCP port, which requires `token`."""

    pid: int
    folder: str
    environment: Mapping[str, str]
    port: int
    token: str

    @property
    def home(self) -> Path:
        return Path(self.folder, "home")

    @property
    def socket(self) -> str:
        return str(self.home / "hub.sock")


@contextmanager
def running_hub(
    variables: Mapping[str, str] | None = None, keys: RunningHub | None = None, folder: str | None = None
) -> Iterator[RunningHub]:
    """Start `rhetor serve`, and stop it at the end of the `with`. `keys`: the node that has the keys of the
    database that both share. `folder`: its folder `home` is the state folder; a new one by default."""
    with ExitStack() as stack:
        folder = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="aish-bench-"))
        if keys is not None:
            _copy_keys(keys.home, Path(folder, "home"))
        environment = {**clean_environment(folder), **PROFILE, **(variables or {})}
        command = [f"{BIN}/rhetor", "serve", "--port", "0"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as hub:
            assert hub.stdout is not None
            port = int(hub.stdout.readline().split(" and ")[0].rsplit(":", 1)[1])
            token = Path(folder, "home", "token").read_text().strip()
            try:
                yield RunningHub(hub.pid, folder, environment, port, token)
            finally:
                hub.terminate()


def _copy_keys(home: Path, to: Path) -> None:
    to.mkdir(mode=0o700)
    for name in ("token", "keys.json", "master.key"):
        shutil.copy(home / name, to / name)


def fetched(hub: str | Path, path: str) -> bytes:
    """Return the body of a GET over the Unix socket of a hub, which answers with status 200."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(hub))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        while piece := connection.recv(1 << 20):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], answer[:500]
    return body


def openai_variables(url: str) -> dict[str, str]:
    """Return the variables with which every specialist uses the scripted provider at `url`."""
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "test-model"}
