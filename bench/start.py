"""What a user waits for: the shell as installed, with a hub that runs, and with none.

All figures of a run are taken in turn with `python -c pass`, on the same machine and minute: read the ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.table import Figure

BIN = Path(sys.executable).parent
WARM_RUNS, COLD_RUNS = 60, 7


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "RHETOR_HOME": f"{folder}/home"}
        return [*_warm(environment), *_cold(environment), *_hub(environment)]


def _warm(environment: dict[str, str]) -> list[Figure]:
    _ask(environment)
    first, second = _stream_twice(environment)
    nothing, answers = [], []
    for _ in range(WARM_RUNS):
        nothing.append(_timed(lambda: _python(environment)))
        answers.append(_timed(lambda: _ask(environment)))
    _shutdown(environment)
    base, warm = statistics.median(nothing), statistics.median(answers)
    return [
        Figure("python -c pass", f"{base * 1e3:.1f} ms", "", None),
        Figure("echo hi | aish apollo, hub warm", f"{warm * 1e3:.1f} ms", "", None),
        Figure("… as a multiple of python -c pass", f"{warm / base:.2f}×", "≤2.5×", warm / base <= 2.5),
        Figure("first · second stream after a start", f"{first * 1e3:.1f} · {second * 1e3:.1f} ms", "", None),
    ]


def _cold(environment: dict[str, str]) -> list[Figure]:
    times = []
    for _ in range(COLD_RUNS):
        times.append(_timed(lambda: _ask(environment)))
        _shutdown(environment)
    cold = statistics.median(times)
    return [Figure("the same, the hub starting by itself", f"{cold:.2f} s", "≤1.0 s", cold <= 1.0)]


def _hub(environment: dict[str, str]) -> list[Figure]:
    started = time.perf_counter()
    command = [f"{BIN}/rhetor", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        hub.stdout.readline()
        listening = time.perf_counter() - started
        _ask(environment)
        megabytes = _resident(hub.pid)
        hub.terminate()
    return [
        Figure("hub listening", f"{listening:.2f} s", "≤0.7 s", listening <= 0.7),
        Figure("hub resident, idle", f"{megabytes:.0f} MB", "≤90 MB", megabytes <= 90),
    ]


def _stream_twice(environment: dict[str, str]) -> tuple[float, float]:
    """A hub's first answer, after the first request has started it, and its second."""
    _shutdown(environment)
    subprocess.run([f"{BIN}/aish", "list"], env=environment, capture_output=True, check=True)
    return _timed(lambda: _ask(environment)), _timed(lambda: _ask(environment))


def _python(environment: dict[str, str]) -> None:
    subprocess.run([f"{BIN}/python", "-c", "pass"], env=environment, check=True)


def _ask(environment: dict[str, str]) -> None:
    command = [f"{BIN}/aish", "apollo"]
    subprocess.run(command, env=environment, input=b"hi\n", capture_output=True, check=True)


def _shutdown(environment: dict[str, str]) -> None:
    subprocess.run([f"{BIN}/aish", "shutdown"], env=environment, capture_output=True, check=True)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _resident(pid: int) -> float:
    """Megabytes of resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
