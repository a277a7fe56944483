"""CPU time of the hub per chunk of an answer, from the provider to one client, including the log.

The provider sends 1,000 chunks per second.
"""

from __future__ import annotations

import subprocess

from tests.provider.process import ProviderProcess
from tests.provider.script import Script

from bench.process import BIN, RunningHub, cpu, openai_variables, running_hub
from bench.table import Figure

CHUNKS = 8_000


def run() -> list[Figure]:
    with ProviderProcess("--port", "0") as provider:
        return [_figure(*each, provider) for each in _providers(provider).items()]


def _providers(provider: ProviderProcess) -> dict[str, dict[str, str]]:
    anthropic = {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "k", "RHETOR_MODEL": "test-model"}
    return {"OpenAI chat": openai_variables(provider.url), "Anthropic messages": anthropic}


def _figure(name: str, variables: dict[str, str], provider: ProviderProcess) -> Figure:
    with running_hub(variables) as hub:
        provider.script(
            Script(chunks=("warm ",) * 100), default=Script(chunks=("words ",) * CHUNKS, delay=0.001)
        )
        ask(hub)
        before = cpu(hub.pid)
        ask(hub)
        spent = cpu(hub.pid) - before
    each = spent / CHUNKS * 1e6
    return Figure(f"CPU time per chunk, {name} → one client", f"{each:.0f} µs", "≤150 µs", each <= 150)


def ask(hub: RunningHub) -> None:
    subprocess.run([f"{BIN}/aish", "apollo", "go"], env=hub.environment, capture_output=True, check=True)
