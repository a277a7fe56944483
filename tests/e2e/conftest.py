"""Fixtures of the tests that run what a user runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.home import Machine
from tests.provider.process import ProviderProcess


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which no hub runs; a hub started by the test is stopped."""
    made = Machine(tmp_path / "home")
    yield made
    made.leave()


@pytest.fixture(scope="session")
def _provider_process() -> Iterator[ProviderProcess]:
    with ProviderProcess("--port", "0") as process:
        yield process


@pytest.fixture(scope="module")
def provider(_provider_process: ProviderProcess) -> ProviderProcess:
    """A provider that knows nothing of earlier modules."""
    _provider_process.begin_anew()
    return _provider_process
