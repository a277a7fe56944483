"""A scripted provider, and the gate at which its answers wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provider.process import ProviderProcess


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess() as process:
        yield process


@pytest.fixture
def gate(tmp_path: Path, provider: ProviderProcess) -> Iterator[str]:
    """The gate, with a new name in each test."""
    provider.begin_anew()
    yield tmp_path.name
    provider.release(tmp_path.name)
