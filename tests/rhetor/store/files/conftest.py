from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rhetor.store.files.store import FileStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    store = FileStore(tmp_path / "store", max_file_bytes=1000)
    yield store
    store.close()
