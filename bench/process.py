"""What a process has used, as Linux counts it; and the hub as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
PROCESS_CLOCK = 2  # CPUCLOCK_SCHED of Linux: what the scheduler has counted
# what children get of this process's environment: enough to be found, nothing that configures them
PASSED = ("PATH", "PYTHONPATH")
# what is measured is the hub, not its limits: none of them is met
PROFILE = {
    "RHETOR_LIMITS__CONNECTIONS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_AT_ONCE": "1000000",
    "RHETOR_LIMITS__MESSAGES_PER_SECOND": "1000000",
    "RHETOR_LIMITS__MESSAGES_BURST": "1000000",
}


def cpu(pid: int) -> float:
    """Seconds of processor time that all threads of the process have used, in nanoseconds' steps.

    The clock of clock_getcpuclockid(3): /proc counts in steps of 10 ms, too coarse for what is compared here.
    """
    return time.clock_gettime(~pid << 3 | PROCESS_CLOCK)


def resident(pid: int) -> float:
    """Kilobytes of resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def clean_environment(folder: str) -> dict[str, str]:
    """An environment in which everything that is kept lies in the folder."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    return {**passed, "HOME": folder, "RHETOR_HOME": f"{folder}/home", "RHETOR_MODELS__AGENTS": "[]"}


@dataclass(frozen=True, slots=True)
class RunningHub:
    """`socket`: path of its Unix socket; `port`: of its TCP door, which asks for `token`."""

    pid: int
    folder: str
    environment: Mapping[str, str]
    port: int
    token: str

    @property
    def socket(self) -> str:
        return f"{self.folder}/home/hub.sock"


@contextmanager
def running_hub(variables: Mapping[str, str] | None = None) -> Iterator[RunningHub]:
    """`rhetor serve` with a home of its own, from `with` to the end of it."""
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
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


def openai_variables(url: str) -> dict[str, str]:
    """What makes every specialist ask the scripted provider at `url`."""
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "scripted"}
