"""Fixtures of the tests with hostile input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.home import Machine
from tests.hostile.running import RunningHub, running_hub


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine without a running hub, with the embedded model; a hub started by the test is stopped."""
    made = Machine(tmp_path / "home")
    made.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    yield made
    made.leave()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub in its own process, shared by all tests of a file."""
    with running_hub(tmp_path_factory.mktemp("hub") / "home") as running:
        yield running
