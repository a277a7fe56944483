"""How long a user waits for an answer from the installed shell, with and without a running hub.

The benchmark alternates the commands with `python -c pass`, on the same machine: compare the ratios. `llm` is
another command-line client for models, here with a model that only echoes.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from bench.peers import LLM, Unavailable, python_peer
from bench.process import BIN, clean_environment, resident
from bench.table import Figure

WARM_RUNS, COLD_RUNS = 60, 7
LLM_RUNS = 12


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        environment = clean_environment(folder)
        return [*_warm(environment), *_beside_llm(environment), *_cold(environment), *_hub(environment)]


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
        Figure("echo hi | aish apollo, hub running", f"{warm * 1e3:.1f} ms", "", None),
        Figure("… compared with python -c pass", f"{warm / base:.2f}×", "≤2.5×", warm / base <= 2.5),
        Figure("first · second answer of a new hub", f"{first * 1e3:.1f} · {second * 1e3:.1f} ms", "", None),
    ]


def _beside_llm(environment: dict[str, str]) -> list[Figure]:
    """Compare with the same question to `llm`, with a model that only echoes."""
    try:
        command = [f"{python_peer('llm', *LLM)}/llm", "-m", "echo"]
    except Unavailable as why:
        return [why.figure("echo hi | llm -m echo")]
    environment = {**environment, "LLM_USER_PATH": f"{environment['HOME']}/llm"}
    _ask(environment)
    _say_hi(command, environment)
    ours, theirs = [], []
    for _ in range(LLM_RUNS):
        ours.append(_timed(lambda: _ask(environment)))
        theirs.append(_timed(lambda: _say_hi(command, environment)))
    _shutdown(environment)
    other = statistics.median(theirs)
    ratio = statistics.median(ours) / other
    return [
        Figure("echo hi | llm -m echo", f"{other * 1e3:.0f} ms"),
        Figure("echo hi | aish apollo, compared with that", f"{ratio:.3f}×", "≤0.05×", ratio <= 0.05),
    ]


def _cold(environment: dict[str, str]) -> list[Figure]:
    times = []
    for _ in range(COLD_RUNS):
        times.append(_timed(lambda: _ask(environment)))
        _shutdown(environment)
    cold = statistics.median(times)
    return [Figure("echo hi | aish apollo, hub not running", f"{cold:.2f} s", "≤1.0 s", cold <= 1.0)]


def _hub(environment: dict[str, str]) -> list[Figure]:
    started = time.perf_counter()
    command = [f"{BIN}/rhetor", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        hub.stdout.readline()
        listening = time.perf_counter() - started
        _ask(environment)
        megabytes = resident(hub.pid) / 1024
        hub.terminate()
    return [
        Figure("rhetor serve, until it listens", f"{listening:.2f} s", "≤0.35 s", listening <= 0.35),
        Figure("memory of the hub after one answer", f"{megabytes:.0f} MB", "≤52 MB", megabytes <= 52),
    ]


def _stream_twice(environment: dict[str, str]) -> tuple[float, float]:
    """Return how long the first and the second answer of a new hub take, in seconds. An earlier request has
    started the hub."""
    _shutdown(environment)
    subprocess.run([f"{BIN}/aish", "list"], env=environment, capture_output=True, check=True)
    return _timed(lambda: _ask(environment)), _timed(lambda: _ask(environment))


def _python(environment: dict[str, str]) -> None:
    subprocess.run([f"{BIN}/python", "-c", "pass"], env=environment, check=True)


def _ask(environment: dict[str, str]) -> None:
    _say_hi([f"{BIN}/aish", "apollo"], environment)


def _say_hi(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, input=b"hi\n", capture_output=True, check=True)


def _shutdown(environment: dict[str, str]) -> None:
    subprocess.run([f"{BIN}/aish", "shutdown"], env=environment, capture_output=True, check=True)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
