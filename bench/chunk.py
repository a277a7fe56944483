"""What a chunk costs the hub, from the provider to one reader, log included, at 1,000 chunks a second."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.provider.process import ProviderProcess
from tests.provider.script import Script

from bench.table import Figure

BIN = Path(sys.executable).parent
CHUNKS = 8_000
TICK = os.sysconf("SC_CLK_TCK")


def run() -> list[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="aish-bench-") as folder,
        ProviderProcess("--port", "0") as provider,
    ):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "RHETOR_HOME": f"{folder}/home",
            "RHETOR_MODEL": "scripted",
        }
        found = []
        for name, variables in _providers(provider).items():
            found.append(_figure(name, provider, {**environment, **variables}))
        return found


def _providers(provider: ProviderProcess) -> dict[str, dict[str, str]]:
    return {
        "OpenAI chat": {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k"},
        "Anthropic messages": {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "k"},
    }


def _figure(name: str, provider: ProviderProcess, environment: dict[str, str]) -> Figure:
    command = [f"{BIN}/rhetor", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        hub.stdout.readline()
        provider.script(
            Script(chunks=("warm ",) * 100), default=Script(chunks=("words ",) * CHUNKS, delay=0.001)
        )
        _ask(environment)
        before = _cpu(hub.pid)
        _ask(environment)
        spent = _cpu(hub.pid) - before
        hub.terminate()
    each = spent / CHUNKS * 1e6
    return Figure(f"CPU a chunk, {name} → one reader", f"{each:.0f} µs", "≤150 µs", each <= 150)


def _ask(environment: dict[str, str]) -> None:
    subprocess.run([f"{BIN}/aish", "apollo", "go"], env=environment, capture_output=True, check=True)


def _cpu(pid: int) -> float:
    """Seconds of processor time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK
