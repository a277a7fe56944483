"""Fixtures of the tests with several machines."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """The hub's machine. A hub started by the test is stopped."""
    made = Machine(tmp_path / "hub")
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as free:  # the next hub has to be found where the first one was
        made.environment["RHETOR_HUB__PORT"] = str(free.getsockname()[1])
    yield made
    made.leave()
