"""Fixtures of the tests with real coding agents. `RHETOR_TEST_AGENTS` names the agents to test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.agents import AGENTS, Agent
from tests.interop.home import House
from tests.provider.process import ProviderProcess

WANTED = os.environ.get("RHETOR_TEST_AGENTS", "").replace(",", " ").split()
# `make interop` installs and names them; otherwise there is nothing to run
collect_ignore_glob = [] if WANTED else ["test_*.py"]


@pytest.fixture(params=[agent for agent in AGENTS if agent.name in WANTED], ids=lambda agent: agent.name)
def agent(request: pytest.FixtureRequest) -> Agent:
    found: Agent = request.param
    check_installed(found)
    return found


def check_installed(agent: Agent) -> None:
    if not (agent.bin / agent.executable).exists():
        pytest.fail(f"{agent.package} is not installed in {agent.folder}: see make interop")


@pytest.fixture(scope="session")
def _provider_process() -> Iterator[ProviderProcess]:
    with ProviderProcess("--port", "0") as process:
        yield process


@pytest.fixture
def provider(_provider_process: ProviderProcess, agent: Agent) -> ProviderProcess:
    """A provider that knows nothing of earlier tests, none of whose agents still runs (`house`)."""
    _provider_process.begin_anew()
    return _provider_process


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="ai", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def house(place: Path, provider: ProviderProcess) -> Iterator[House]:
    """A machine with all installed agents, none of which may leave processes behind."""
    made = House(place, provider)
    try:
        yield made
    finally:
        left = made.close()
    assert left == []
