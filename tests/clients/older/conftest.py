"""A shell with a hub of its own, which answers from the embedded offline model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aish.scripted import Shell
from tests.e2e.home import Machine


@pytest.fixture
def aish(tmp_path: Path) -> Iterator[Shell]:
    machine = Machine(tmp_path / "home")
    shell = Shell(machine.folder, tmp_path)
    shell.environment = {**machine.environment, "RHETOR_MODELS__DEFAULT": "offline"}
    yield shell
    machine.leave()
