"""QR codes on terminals and in files."""

from __future__ import annotations

import os

import pytest

from aish.screen.qr_code import drawn
from rhetor.codec.qr_code import modules_of
from tests.qr_reading import modules_in, read

URL = "https://192.168.1.20:8300/login?code=7QKM4XPD9TRC0VWE"
BLACK_ON_WHITE, RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(os, "isatty", lambda _: True)
    size = os.terminal_size((41, 24))
    monkeypatch.setattr(os, "get_terminal_size", lambda _: size)
    return 41


def test_a_terminal_shows_the_code_in_black_on_white(columns: int) -> None:
    lines = drawn(modules_of(URL)).splitlines()
    assert all(line.startswith(BLACK_ON_WHITE) and line.endswith(RESET) for line in lines)
    plain = [line.removeprefix(BLACK_ON_WHITE).removesuffix(RESET) for line in lines]
    assert {len(line) for line in plain} == {columns}
    assert read(modules_in("\n".join(plain)), dark="1") == URL


def test_without_colours_the_code_is_drawn_for_a_dark_background(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert read(modules_in(drawn(modules_of(URL))), dark="0") == URL


def test_a_code_is_not_drawn_where_its_lines_would_be_wrapped(columns: int) -> None:
    assert drawn(modules_of(URL * 2)) == ""


def test_a_file_gets_the_code_without_escape_sequences() -> None:
    picture = drawn(modules_of(URL))
    assert "\x1b" not in picture
    assert read(modules_in(picture), dark="0") == URL
