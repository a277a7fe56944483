"""A home, a scripted hub in it, and a shell that finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aish.scripted import ScriptedHub, Shell


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def hub(home: Path) -> Iterator[ScriptedHub]:
    scripted = ScriptedHub(home)
    yield scripted
    scripted.close()


@pytest.fixture
def aish(home: Path, tmp_path: Path) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(home, folder)
