"""The screen of a terminal program, and the snapshot that restores it in a new terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rhetor.drivers.programs.terminal.screen import Cursor, Screen
from tests.needs import needs
from tests.rhetor.codec.test_sse import cut
from tests.rhetor.drivers.programs.terminal.at_pty import Program
from tests.scale import scaled

DATA = Path(__file__).parents[4] / "data" / "screens"


def shown(stream: bytes, rows: int = 4, cols: int = 10) -> Screen:
    screen = Screen(rows, cols)
    screen.feed(stream)
    return screen


def shows(screen: Screen, wanted: str) -> bool:
    return wanted in "\n".join(screen.text())


def restored(screen: Screen) -> Screen:
    return shown(screen.snapshot(), screen.rows, screen.cols)


@pytest.mark.parametrize(
    ("stream", "text", "cursor"),
    [
        (b"ab\r\ncd", ["ab", "cd", "", ""], (1, 2)),
        (b"0123456789", ["0123456789", "", "", ""], (0, 9)),  # about to wrap
        (b"0123456789x", ["0123456789", "x", "", ""], (1, 1)),
        (b"\x1b[?7l0123456789xyz", ["012345678z", "", "", ""], (0, 9)),
        (b"a\r\nb\r\nc\r\nd\r\ne", ["b", "c", "d", "e"], (3, 1)),
        ("日本語日本語".encode(), ["日本語日本", "語", "", ""], (1, 2)),
        ("012345678日".encode(), ["012345678", "日", "", ""], (1, 2)),
        ("日本\x1b[1;2HX".encode(), [" X本", "", "", ""], (0, 2)),  # half of it was written over
        ("日本\x1b[1;2H\x1b[K".encode(), ["", "", "", ""], (0, 1)),
        ("e\u0301o\u0308".encode(), ["e\u0301o\u0308", "", "", ""], (0, 2)),
        (b"abc\x1b[1;2H\x1b[Px", ["ax", "", "", ""], (0, 2)),
        (b"abc\x1b[1;2H\x1b[2@", ["a  bc", "", "", ""], (0, 1)),
        (b"a\r\nb\r\n\r\nd\x1b[1;1H\x1b[M", ["b", "", "d", ""], (0, 0)),  # above an empty line
        (b"a\r\n\r\nc\x1b[1;1H\x1b[M", ["", "c", "", ""], (0, 0)),
        (b"a\r\nb\x1b[1;1H\x1b[L", ["", "a", "b", ""], (0, 0)),
        (b"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\nX", ["1", "3", "X", "4"], (2, 1)),
        (b"a\x1b[3b", ["aaaa", "", "", ""], (0, 4)),
        (b"1\r\n2\x1b[S", ["2", "", "", ""], (1, 1)),
        (b"\x1b(0lqk\x1b(Bq", ["┌─┐q", "", "", ""], (0, 4)),
        (b"\x1b)0\x0eq\x0fq", ["─q", "", "", ""], (0, 2)),
        (b"main\x1b[?1049h\x1b[Halt\x1b[?1049l!", ["main!", "", "", ""], (0, 5)),
        (b"\x1b[?1049h\x1b[3;3H\x1b7\x1b[?1049l\x1b[?1049h\x1b8x", ["x", "", "", ""], (0, 1)),
        (b"a\x1b7\x1b[3;3Hb\x1b8c", ["ac", "", "  b", ""], (0, 2)),
        (b"a\x1b[s\x1b[3;3H\x1b[ub", ["ab", "", "", ""], (0, 2)),
        (b"\x1b[?6h\x1b[2;4r\x1b[1;1Hx", ["", "x", "", ""], (1, 1)),
        (b"\x1b[?5;2mx\x1b[>4;2my\x1b[?uz", ["xyz", "", "", ""], (0, 3)),  # private forms
        (b"abc\x1b[1J", ["", "", "", ""], (0, 3)),
        (b"\tb\x1b[Zc", ["        c", "", "", ""], (0, 9)),
        (b"x\x1bPq#0;2;0;0;0\x1b\\\x1b_G\x1b\\y", ["xy", "", "", ""], (0, 2)),
        (b"\x1b#8\x1b[2J", ["", "", "", ""], (0, 0)),
    ],
)
def test_the_screen_matches_that_of_a_terminal(
    stream: bytes, text: list[str], cursor: tuple[int, int]
) -> None:
    screen = shown(stream)
    assert screen.text() == text
    assert screen.cursor == Cursor(*cursor)


def test_lines_that_scroll_off_the_main_screen_are_kept() -> None:
    screen = shown(b"".join(b"%d\r\n" % number for number in range(10)))
    assert (screen.scrolled, screen.history(0)) == (7, [str(number) for number in range(7)])
    assert screen.history(5) == ["5", "6"] and screen.history(7) == []
    screen.feed(b"\x1b[?1049h" + b"x\r\n" * 10)
    assert screen.scrolled == 7  # lines of the alternate screen are not kept
    for _ in range(3000):
        screen.feed(b"\x1b[?1049ly\r\n")
    assert len(screen.history(0)) == 2000


def test_resizing_keeps_the_cursor_line() -> None:
    screen = shown(b"1\r\n2\r\n3\r\n4 is long")
    screen.resize(2, 5)
    assert (screen.text(), screen.cursor[:2]) == (["3", "4 is"], (1, 4))
    screen.resize(4, 20)
    screen.feed(b"\x1b[4;20Hx")
    assert screen.text() == ["3", "4 is", "", " " * 19 + "x"]
    assert restored(screen).state() == screen.state()


def test_shrinking_removes_rows_below_the_cursor_first() -> None:
    screen = shown(b"1\r\n2\r\n3\r\n4\x1b[1;1H")
    screen.resize(2, 10)
    assert (screen.text(), screen.cursor[:2]) == (["1", "2"], (0, 0))


def test_queries_of_programs_are_answered() -> None:
    screen = shown(b"ab\x1b[6n\x1b[c\x1b[5n\x1b]11;?\x07\x1b[>7u\x1b[?u")
    replies = b"\x1b[1;3R\x1b[?62;22c\x1b[0n\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?7u"
    assert (screen.take_replies(), screen.take_replies()) == (replies, b"")
    screen.feed(b"\x1b[6n" * 10_000)
    assert len(screen.take_replies()) < 4200


def test_the_title_has_no_control_characters() -> None:
    assert shown(b"\x1b]0;a\x01b\xe2\x80\xaec\x07").title == "abc"


# random programs that move and draw, with parameters at and beyond the edges
NUMBERS = st.sampled_from(["", "0", "1", "2", "3", "5", "9", "12", "200", "9999"])
CSI = st.tuples(NUMBERS, NUMBERS, st.sampled_from(list("@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu"))).map(
    lambda parts: f"\x1b[{parts[0]};{parts[1]}{parts[2]}"
)
PRIVATE = st.tuples(
    st.sampled_from([1, 5, 6, 7, 25, 47, 66, 1000, 1006, 1047, 1048, 1049, 2004, 4242]), st.sampled_from("hl")
).map(lambda parts: f"\x1b[?{parts[0]}{parts[1]}")
LOOKS = st.sampled_from(
    [
        "0", "1", "2", "3", "4", "4:3", "7", "8", "9", "21", "22", "27", "31", "44", "91", "103",
        "38;5;200", "48;5;3",
        "38;2;1;2;3", "48:2::4:5:6", "58:2::7:8:9", "58;5;3", "53", "55", "39;49", "1;38;5", "",
        "38;2;1;2;999",
    ]
).map(lambda look: f"\x1b[{look}m")  # fmt: skip
OTHERS = st.sampled_from(
    [
        "\r", "\n", "\r\n", "\b", "\t", "\x0e", "\x0f", "\x1b7", "\x1b8", "\x1bD", "\x1bE", "\x1bH",
        "\x1bM", "\x1b(0",
        "\x1b(B", "\x1b)0", "\x1b)A", "\x1b#8", "\x1b=", "\x1b>", "\x1b[4h", "\x1b[4l", "\x1b[20h",
        "\x1b[!p", "\x1b[2 q",
        "\x1b[>1u", "\x1b[<u", "\x1b[>4;2m", "\x1b[3g", "\x1bc", "\x1b[?2J", "\x1b[2;3r", "\x1b[r",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    ["a", "bcd", "0123456789", "日", "本語", "e\u0301", "\u200d", "👩‍👩", "q" * 33, " ", "\u00ad"]
)
PROGRAMS = st.lists(st.one_of(WORDS, WORDS, CSI, PRIVATE, LOOKS, OTHERS), max_size=40)
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 12))


@settings(max_examples=scaled(500, 60), deadline=None)
@given(PROGRAMS, SIZES)
@example(["\x1b[?6h", "\x1b[2;3r", "\x1b7", "\x1b[r", "0123456789"], (4, 10))
@example(["日日日日日", "\x1b[31m", "\x1b[?1049h", "\x1b[44m", "\x1b[J", "0123456789"], (4, 10))
def test_a_snapshot_restores_the_state_in_a_new_terminal(program: list[str], size: tuple[int, int]) -> None:
    screen = shown("".join(program).encode(), *size)
    again = restored(screen)
    assert again.state() == screen.state()
    # and later output has the same effect on both
    for each in (screen, again):
        each.feed("x日\r\n\x1b8y\x1b[?1049lz\tw".encode())
    assert again.state() == screen.state()


@settings(deadline=None)
@given(PROGRAMS, SIZES, SIZES)
def test_a_snapshot_after_resizing_restores_the_state(
    program: list[str], size: tuple[int, int], new: tuple[int, int]
) -> None:
    screen = shown("".join(program).encode(), *size)
    screen.resize(*new)
    assert restored(screen).state() == screen.state()


@given(PROGRAMS, st.lists(st.integers(0, 1 << 16), max_size=10))
def test_any_chunking_gives_the_same_screen(program: list[str], places: list[int]) -> None:
    stream = "".join(program).encode()
    chunked = Screen(4, 10)
    for piece in cut(stream, places):
        chunked.feed(piece)
    assert chunked.state() == shown(stream).state()


@settings(max_examples=scaled(200, 40), deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=20), PROGRAMS.map(lambda p: "".join(p).encode())), max_size=5))
def test_no_output_of_a_program_raises(pieces: list[bytes]) -> None:
    screen = shown(b"".join(pieces))
    assert restored(screen).state() == screen.state()


@pytest.mark.parametrize("name", ["codex", "gemini"])
def test_recordings_give_the_expected_screens(name: str) -> None:
    """The files have no blank rows, and not the line breaks of a note of codex."""
    screen = shown((DATA / f"tui_{name}.raw").read_bytes(), 30, 110)
    kept = [line for line in screen.text() if line.strip()]
    assert kept == (DATA / f"tui_{name}.screen.txt").read_text().splitlines()
    assert restored(screen).state() == screen.state()
    assert restored(screen).text() == screen.text()


LIVE = {
    "vim": (
        ["vim", "-n", "-u", "NONE", "-N"],
        "VIM - Vi IMproved",
        "ihello\x1b:set hlsearch nu\r",
        "1 hello",
    ),
    "htop": (["htop"], "Load average", "", "Load average"),
    "less": (["less", __file__], "The screen of a terminal program", "/def\r", "def"),
    "python3": (["python3", "-q"], ">>>", "print('x' * 200)\r", "xxx"),
}


@pytest.mark.parametrize("name", LIVE)
def test_snapshots_of_real_programs_restore_their_screens(name: str) -> None:
    argv, first, keys, then = LIVE[name]
    needs(argv[0])
    screen = Screen(24, 80)
    with Program(argv, rows=24, cols=80) as program:
        for wanted, typed in ((first, keys), (then, "")):
            program.read_until(partial(shows, screen, wanted), screen)
            assert restored(screen).state() == screen.state()
            program.type(typed)
    assert restored(screen).text() == screen.text()
