"""Fixtures of the tests with the small local model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.model.machine import ModelMachine
from tests.needs import lacking


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelMachine]:
    """A machine that has pulled smollm2. Tests share it, because starting a hub takes a second."""
    if importlib.util.find_spec("xllamacpp") is None:
        lacking("xllamacpp is not installed; make test-model installs it")
    made = ModelMachine(tmp_path_factory.mktemp("model") / "home")
    done = made.run("models", "pull", "smollm2", timeout=300)
    assert (done.returncode, done.stdout) == (0, "✓ local/smollm2 is here, 98 MB\n"), done.stderr
    yield made
    made.leave()
