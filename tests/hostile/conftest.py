"""Fixtures of the tests with bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.home import Machine
from tests.hostile.running import RunningHub, running_hub


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which no hub runs, and the embedded model answers; a hub started meanwhile is ended."""
    made = Machine(tmp_path / "home")
    made.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    yield made
    made.end()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub in a process of its own, for all tests of a file."""
    with running_hub(tmp_path_factory.mktemp("hub") / "home") as running:
        yield running
