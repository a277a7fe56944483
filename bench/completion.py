"""How long Tab takes in bash, zsh and fish: the hidden command that their scripts call, as a new process.

The benchmark alternates the commands with `python -c pass`. With a hub, the words are names that it knows;
without one, they are commands. It must start none.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.process import BIN, clean_environment, running_hub
from bench.table import Figure

RUNS = 60
MOST = 0.050  # seconds
SESSIONS = 100
COMPLETE = (f"{BIN}/aish", "completion", "reply", "bash")
BREAKS = " \t\n\"'@><=;|&(:"  # COMP_WORDBREAKS of bash
NOTHING = (f"{BIN}/python", "-c", "pass")


def run() -> list[Figure]:
    with running_hub() as hub, tempfile.TemporaryDirectory(prefix="aish-bench-") as empty:
        environment = dict(hub.environment)
        for number in range(SESSIONS):
            command = [f"{BIN}/aish", "session", "create", f"session-{number}", "--tool", "apollo"]
            subprocess.run(command, env=environment, capture_output=True, check=True)
        alone = clean_environment(empty)
        lines = {
            "a peer (aish apo⇥)": ("aish apo", "apollo", environment),
            "a subcommand (aish sessions f⇥)": ("aish sessions f", "fork", environment),
            f"one of {SESSIONS} sessions (aish apollo -s ⇥)": ("aish apollo -s ", "session-7", environment),
            "a command, no hub running (aish his⇥)": ("aish his", "history", alone),
        }
        times: dict[str, list[float]] = {name: [] for name in ("", *lines)}
        for _ in range(RUNS):
            times[""].append(_timed(NOTHING, environment)[0])
            for name, (line, expected, variables) in lines.items():
                seconds, words = _timed((*COMPLETE, line, BREAKS), variables)
                assert expected in words, (line, words)
                times[name].append(seconds)
        assert not list(Path(empty).iterdir()), "completion has started a hub"
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    base = medians.pop("")
    rows = [
        Figure(name, f"{median * 1e3:.1f} ms ({median / base:.2f}×)", "<50 ms", median < MOST)
        for name, median in medians.items()
    ]
    return [Figure("python -c pass", f"{base * 1e3:.1f} ms"), *rows]


def _timed(command: tuple[str, ...], environment: dict[str, str]) -> tuple[float, list[str]]:
    """Return how long the command takes, in seconds, and what it prints."""
    started = time.perf_counter()
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, ran.stdout.split()
