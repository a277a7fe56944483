"""The last row of an attached terminal: a program never reaches it, and has its own screen above it."""

from __future__ import annotations

import re

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.terminal.status_line import StatusLine

ROWS, COLUMNS = 8, 20
LINE = " box  Ctrl-] detach"
PIECES = st.sampled_from(
    [
        *(
            "text",
            "\r\n",
            "\n",
            "\r",
            "x" * 25,
            "\x1b[H",
            "\x1b[2J",
            "\x1b[J",
            "\x1b[1J",
            "\x1b[K",
            "\x1b[r",
        ),
        *("\x1b[3;9H", "\x1b[7;1H", "\x1b[8;1H", "\x1b[99;99H", "\x1b[99d", "\x1b[2d", "\x1b[9B", "\x1b[2A"),
        *("\x1b[L", "\x1b[M", "\x1bM", "\x1bD", "\x1b[7;31m", "\x1b[0m", "\x1b]0;a title\x07", "\x1b[?25l"),
        *("\x1b[1;7r", "\x1b[;r", "\x1b[1;99r"),
    ]
)


def screen(rows: int) -> tuple[pyte.Screen, pyte.ByteStream]:
    made = pyte.Screen(COLUMNS, rows)
    return made, pyte.ByteStream(made)


@given(pieces=st.lists(PIECES, max_size=30), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_a_program_draws_what_it_would_draw_on_a_terminal_with_one_row_less(
    pieces: list[str], sizes: list[int]
) -> None:
    data = "".join(pieces).encode()
    status = StatusLine(f"{LINE} ", ROWS, COLUMNS)
    shown, drawing = screen(ROWS)
    expected, plain = screen(ROWS - 1)
    status.has_program_rows(ROWS - 1)
    drawing.feed(status.begin())
    # on a real terminal, each of these moves the cursor to the first place; pyte leaves it where it is
    plain.feed(re.sub(rb"\x1b\[;?r", b"\x1b[1;%dr" % (ROWS - 1), data))
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        drawing.feed(status.passed(data[at : at + size]))
        at, number = at + size, number + 1
    assert shown.display[:-1] == expected.display
    assert (shown.cursor.y, shown.cursor.x) == (expected.cursor.y, expected.cursor.x)
    assert shown.display[-1].rstrip() == LINE
    assert not status.is_doubtful


def test_text_that_needs_no_change_passes_as_it_is() -> None:
    status = StatusLine("box", 24, 80)
    status.begin()
    for data in (
        b"raw \xff\x00 bytes",
        b"\x1b]0;title\x07",
        b"\x1b[1;31mred",
        b"\x1bP1$r\x1b\\",
        b"\x1b[?25l\x1b[6n",
    ):
        assert status.passed(data) == data


def test_a_number_of_any_length_ends_above_the_line() -> None:
    status = StatusLine(LINE, 25, 80)
    status.begin()
    many = b"9" * 5000
    assert status.passed(b"\x1b[%bd\x1b[%b;%bH" % (many, many, many)) == b"\x1b[24d\x1b[24;99999H"
    assert status.passed(b"\x1b[%b24d" % (b"0" * 5000)) == b"\x1b[%b24d" % (b"0" * 5000)


def test_the_line_is_drawn_again_after_what_erases_it_or_resets_the_region() -> None:
    status = StatusLine("box", 24, 80)
    status.begin()
    for data in (b"\x1bc", b"\x1b#8", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[2J", b"\x1b[?3l"):
        passed = status.passed(data)
        assert passed.startswith(data) and passed.endswith(status.drawn())
    for data in (b"\x1bc", b"\x1b[!p", b"\x1b[?47h"):
        assert b"\x1b[1;23r" in status.passed(data)


def test_a_smaller_program_keeps_its_own_last_row() -> None:
    status = StatusLine("box", 40, 80)
    status.begin()
    status.has_program_rows(24)
    assert b"\x1b[1;24r" in status.passed(b"x")
    assert status.passed(b"\x1b[r") == b"\x1b[1;24r"
    assert status.refreshed() == b""


@pytest.mark.parametrize("begun", [b"\xe8\xaa", b"\x1b]0;ti", b"\x1b[3"])
def test_nothing_is_drawn_within_a_character_or_a_sequence(begun: bytes) -> None:
    status = StatusLine("box", 40, 80)
    status.begin()
    passed = status.passed(begun)
    status.has_program_rows(24)
    assert status.refreshed() == b""
    rest = {b"\xe8\xaa": b"\x9e", b"\x1b]0;ti": b"tle\x07", b"\x1b[3": b"1m"}[begun]
    assert passed + status.passed(rest) == begun + rest
    assert status.refreshed() != b""


@pytest.mark.parametrize(
    ("wrote", "is_doubtful"),
    [
        (b"\x1b[5;1Hwithin\n\x1b[23;1Hbelow", False),
        (b"\x1b[23;1Hbelow\n", True),
        (b"\x1b[23d\x1bD", True),
        (b"\x1b[23;1H\x1b[B", True),
        (b"\x1b[23;1H" + b"x" * 81, True),
        (b"\x1b[r\x1b[23;1H\n", False),
    ],
)
def test_moving_down_below_an_own_region_asks_for_a_new_screen(wrote: bytes, is_doubtful: bool) -> None:
    status = StatusLine("box", 24, 80)
    status.begin()
    status.passed(b"\x1b[1;10r")
    status.passed(wrote)
    assert status.is_doubtful is is_doubtful


def test_a_terminal_of_three_rows_has_no_status_line() -> None:
    status = StatusLine("box", 3, 80)
    assert (status.begin(), status.rows, status.passed(b"\x1b[J")) == (b"", 3, b"\x1b[J")
    status.resize(4, 80)
    assert status.rows == 3
