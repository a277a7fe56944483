"""The line on a terminal that shows the progress of a command."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from rhetor.maintenance import progress
from rhetor.maintenance.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, which a test changes."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    yield now


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_long_work_shows_a_line_on_a_terminal_and_erases_it(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], stream: type[io.StringIO]
) -> None:
    shown = stream()
    monkeypatch.setattr("sys.stderr", shown)
    with Progress.of_bytes("backup") as line:
        line.total = 40_000_000
        for seconds[0] in (1.0, 2.0, 2.1, 4.0):
            line.add(5_000_000)
    lines = [
        "\r\x1b[Kbackup  10 of 40 MB  5.0/s  6 s left",
        "\r\x1b[Kbackup  20 of 40 MB  5.0/s  4 s left",
        "\r\x1b[K",
    ]
    assert shown.getvalue() == ("".join(lines) if stream is Terminal else "")
