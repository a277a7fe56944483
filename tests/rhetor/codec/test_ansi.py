"""Terminal sequences: any chunking gives the same tokens and the same text."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rhetor.codec.ansi import (
    MAX_STRING,
    Control,
    Csi,
    Escape,
    Mark,
    Modes,
    String,
    Text,
    Token,
    Tokenizer,
    joined,
    mark_of,
)
from rhetor.codec.plain_text import Colours, PlainText
from tests.rhetor.codec.test_sse import cut

RECORDINGS = sorted((Path(__file__).parents[2] / "data" / "screens").glob("*.raw"))
PIECES = st.sampled_from(
    [
        b"\x1b", b"[", b"]", b"P", b"_", b"\\", b"\x07", b"\x9b", "\x9b".encode(), "\x9d".encode(),
        "\x9c".encode(),
        b"\x18", b"?", b";", b"1", b"38:2", b"m", b"H", b"K", b"D", b"A", b"G", b" ", b"\r", b"\n", b"\b",
        b"\t", b"x",
        b"(0", b"\x7f", b"133;C", b"52;c;aGk=", "é€😀".encode(), "\u202e".encode(), b"\xff", b"\0", b"\x0e",
        b"?1049h",
    ]
)  # fmt: skip
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)
PLACES = st.lists(st.integers(0, 1 << 16), max_size=10)


def tokens(*chunks: bytes) -> list[Token]:
    tokenizer = Tokenizer()
    return list(joined(token for chunk in chunks for token in tokenizer.feed(chunk)))


def plain(*chunks: bytes, columns: int | None = None) -> str:
    text = PlainText(columns)
    return "".join([*(text.feed(chunk) for chunk in chunks), text.finish()])


@given(STREAMS, PLACES)
@example(b"\x1b[1;31mred\x1b[0m\x1b]0;title\x1b\\\x1bPq\x1b\\", [1, 2, 3, 15, 17, 30])
def test_any_chunking_gives_the_same_tokens(stream: bytes, places: list[int]) -> None:
    whole = tokens(stream)
    assert tokens(*cut(stream, places)) == whole
    assert tokens(*(bytes((byte,)) for byte in stream)) == whole


@given(STREAMS, PLACES, st.sampled_from([None, 7, 80]))
def test_any_chunking_gives_the_same_text(stream: bytes, places: list[int], columns: int | None) -> None:
    whole = plain(stream, columns=columns)
    assert plain(*cut(stream, places), columns=columns) == whole
    assert plain(*(bytes((byte,)) for byte in stream), columns=columns) == whole


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_any_chunking_of_a_recording_gives_the_same_tokens(recording: Path) -> None:
    stream = recording.read_bytes()
    assert len(RECORDINGS) == 2 and tokens(*(bytes((byte,)) for byte in stream)) == tokens(stream)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"ab\r\n", [Text("ab"), Control("\r"), Control("\n")]),
        (b"\x1b[?1;2 q", [Csi("?", "1;2", " ", "q")]),
        (b"\x1b[38:2::1:2:3m", [Csi("", "38:2::1:2:3", "", "m")]),
        ("\x9b1mx\x85".encode(), [Csi("", "1", "", "m"), Text("x"), Escape("", "E")]),
        (b"\x1b(0\x1b7\x1b#8", [Escape("(", "0"), Escape("", "7"), Escape("#", "8")]),
        (b"\x1b]0;t\x07\x1b]2;u\x1b\\", [String("OSC", "0;t"), String("OSC", "2;u")]),
        (b"\x1bPa\x07b\x1b\\", [String("DCS", "ab")]),  # BEL ends only an OSC
        (
            b"\x1b_k\x1b\\\x1b^p\x1b\\\x1bXs\x1b\\",
            [String("APC", "k"), String("PM", "p"), String("SOS", "s")],
        ),
        (b"\x1b[1\r2m", [Control("\r"), Csi("", "12", "", "m")]),  # controls inside a sequence are executed
        (b"\x1b[1\x18m\x1b[1\x1ax", [Text("mx")]),
        (b"\x1b]0;t\x1b[1m", [String("OSC", "0;t"), Csi("", "1", "", "m")]),
        (b"\x1b[1?m\x1b[" + b"1" * 300 + b"mx", [Text("x")]),  # malformed, too long
        (b"\xff\x1b[\xc3\xa9", [Text("\ufffdé")]),
    ],
)
def test_sequences_are_parsed_by_kind(stream: bytes, expected: list[Token]) -> None:
    assert tokens(stream) == expected


def test_a_long_string_is_cut_and_skipped_to_its_end() -> None:
    found = tokens(b"\x1b]52;c;", *[b"x" * 1000] * 200, b"\x07after")
    assert found == [String("OSC", ("52;c;" + "x" * MAX_STRING)[:MAX_STRING], True), Text("after")]


def test_parameters_are_bounded_in_number_and_value() -> None:
    assert Csi("", "", "", "m").numbers() == [0]
    assert Csi("", "1;;38:5:3;99999999999", "", "m").numbers() == [1, 0, 38, 9999]
    assert len(Csi("", ";" * 200, "", "m").numbers()) == 32


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"a\r\nb\n", "a\nb\n"),
        (b"10%\r50%\r100%\ndone", "100%\ndone"),
        (b"\x1b[31mred\x1b[0m\x07 \x1b]0;t\x07end", "red end"),
        (b"abc\b\b\x1b[KX\n", "aX\n"),
        (b"abc\x1b[2D\x1b[1PZ\n", "aZ\n"),
        (b"ac\x1b[1D\x1b[@b\n", "abc\n"),
        (b"abc\x1b[2K\rnew\n", "new\n"),
        (b"a\tb\n", "a\tb\n"),
        ("日本\b\b語\n".encode(), "日語\n"),
        ("e\u0301\n".encode(), "e\u0301\n"),
        (b"ab\x1b[5Gc\n", "ab  c\n"),
        (b"\xff\0x\n", "\ufffdx\n"),
    ],
)
def test_text_is_returned_as_a_person_would_read_it(stream: bytes, text: str) -> None:
    assert plain(stream) == text


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"abcde\r\nf\n", "abcde\nf\n"),  # exactly full, not wrapped
        (b"abcde\rX\n", "Xbcde\n"),
        (b"abcde \rfg\n", "abcdefg\n"),  # the sequence with which a line editor makes the terminal wrap
        (b"abcdefg\rXY\n", "abcdeXY\n"),  # the start of the second row
        (b"abcdefg\x1b[A\rXY\x1b[B\r\n", "XYcdefg\n"),
    ],
)
def test_a_wrapped_line_is_one_line(stream: bytes, text: str) -> None:
    assert plain(stream, columns=5) == text


def test_a_line_is_returned_when_it_ends_and_the_rest_is_shown() -> None:
    text = PlainText()
    assert (text.feed(b"one\r\ntw"), text.line, text.at_end) == ("one\n", "tw", True)
    assert (text.feed(b"o\b"), text.line, text.at_end) == ("", "two", False)


def test_a_line_without_end_is_returned_at_its_limit() -> None:
    text = PlainText()
    given = "".join(text.feed(b"x" * 100_000) for _ in range(12))
    assert len(given) > 1 << 20 and len(given) + len(text.line) == 1_200_000


@pytest.mark.parametrize(
    ("stream", "mark"),
    [
        (b"\x1b]133;A\x07", Mark("A")),
        (b"\x1b]133;C;cmd=x\x1b\\", Mark("C")),
        (b"\x1b]133;D;127\x07", Mark("D", 127)),
        (b"\x1b]133;D\x07", Mark("D")),
        (b"\x1b]133;D;x;aid=1\x07", Mark("D")),
        (b"\x1b]133;Z\x07", None),
        (b"\x1b]0;133;A\x07", None),
        (b"\x1bP133;A\x1b\\", None),
    ],
)
def test_command_marks_are_parsed(stream: bytes, mark: Mark | None) -> None:
    assert [mark_of(token) for token in tokens(stream)] == [mark]


def test_modes_follow_the_sequences() -> None:
    def after(stream: bytes) -> dict[str, object]:
        modes = Modes()
        for token in tokens(stream):
            modes.take(token)
        return vars(modes)

    first = after(b"")
    assert first == {
        "alternate_screen": False,
        "bracketed_paste": False,
        "application_cursor": False,
        "cursor_visible": True,
        "mouse": frozenset(),
    }
    on = after(b"\x1b[?1049;2004h\x1b[?1h\x1b[?25l\x1b[?1000h\x1b[?1002h")
    assert on == {
        "alternate_screen": True,
        "bracketed_paste": True,
        "application_cursor": True,
        "cursor_visible": False,
        "mouse": frozenset((1000, 1002)),
    }
    assert after(b"\x1b[?47h\x1b[?47l\x1b[?2004h\x1b[?2004l\x1b[4h") == first
    assert after(b"\x1b[?1049;2004;1002h\x1bc") == first


HOSTILE = [
    b"\x1b]52;c;ZXZpbA==\x07", b"\x1b]0;title\x07", b"\x1b]8;;http://evil\x1b\\", b"\x1bP+q544e\x1b\\",
    b"\x1b_Ga=T\x1b\\",
    b"\x1b^pm\x1b\\", b"\x1bXsos\x1b\\", "\x9d52;c;eA==\x9c".encode(), "\x9b2J".encode(), b"\x9b2J",
    b"\x1b[2J", b"\x1b[6n",
    b"\x1b[?1049h", b"\x1bc", b"\x1b7", b"\x1b(0", b"\x0e", b"\x08\x08", b"\r", b"\x07", b"\0", b"\x7f",
    "\u202eevil\u202c\u2066\u2069\u200f".encode(), b"\x1b[>4;1m", b"\x1b[?4m", b"\x1b[1 m",
    "\x85\x84".encode(),
    b"\x1b]0;open", b"\x1bPopen", b"\x1b[1",
]  # fmt: skip


@given(
    st.lists(st.sampled_from([*HOSTILE, b"text\n", b"\x1b[1;31m", b"\t"]), max_size=12).map(b"".join), PLACES
)
def test_only_colours_pass_the_filter(stream: bytes, places: list[int]) -> None:
    filters = Colours()
    shown = "".join(filters.feed(chunk) for chunk in cut(stream, places))
    assert shown == Colours().feed(stream)
    rest = shown.replace("\x1b[1;31m", "")
    assert all(char in "\n\t" or char.isprintable() for char in rest)
    assert not set(rest) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def test_colours_pass_the_filter_unchanged() -> None:
    shown = Colours().feed_text("\x1b[1;38;5;3mbold\x1b[0m\x1b[4:3mwavy\x1b[m\t日本\n")
    assert shown == "\x1b[1;38;5;3mbold\x1b[0m\x1b[4:3mwavy\x1b[m\t日本\n"
