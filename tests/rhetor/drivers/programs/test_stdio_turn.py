"""When a program on pipes has answered, with simulated time."""

from collections.abc import Iterable
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec.utf8 import Invalid, joined
from rhetor.drivers.programs.status import Evidence
from rhetor.drivers.programs.stdio_turn import StdioTurn
from tests.rhetor.codec.test_sse import cut

Said: TypeAlias = tuple[list[str | Invalid], Evidence | None, int]


def result_of(turn: StdioTurn, pieces: Iterable[tuple[float, bytes]]) -> Said:
    """Feed the pieces at their times, with ticks when they are due, then a minute of silence."""
    turn.started(0.0)
    said: list[str | Invalid] = []
    at = 0.0
    for at, data in pieces:
        while turn.due is not None and turn.due < at:
            said += turn.tick(turn.due)
        said += turn.received(data, at)
    while turn.due is not None and turn.due < at + 60:
        said += turn.tick(turn.due)
    return joined(said), turn.ended, turn.taken


IDLE = Evidence("idle", "no output for 0.3 s")
NEWLINE = Evidence("delimiter", "a newline and nothing after it")


def test_without_a_delimiter_silence_ends_the_answer() -> None:
    turn = StdioTurn()
    turn.started(0.0)
    assert list(turn.tick(99.0)) == [] and turn.ended is None  # the first byte has no time limit
    assert list(turn.received(b"one ", 100.0)) == ["one "]
    assert turn.due == pytest.approx(100.3)
    assert list(turn.tick(100.29)) == [] and turn.ended is None
    assert list(turn.received(b"two\n", 100.29)) == ["two\n"]
    assert turn.due == pytest.approx(100.59)
    assert list(turn.tick(100.6)) == []
    ended: tuple[Evidence | None, float | None, int] = (turn.ended, turn.due, turn.taken)
    assert ended == (IDLE, None, 8)
    assert turn.finish_reason == "silence"


def test_an_answer_ends_when_the_program_waits_for_input_not_while_it_works() -> None:
    turn = StdioTurn()
    turn.started(0.0)
    assert list(turn.received(b"one\n", 1.0)) == ["one\n"]
    for at in (2.0, 50.0):
        assert list(turn.tick(at, "no")) == [] and turn.ended is None
    assert list(turn.received(b"two\n", 51.0)) == ["two\n"]
    assert list(turn.tick(52.0, "waits")) == []
    assert (turn.ended, turn.finish_reason) == (Evidence("waits", "it waits for input"), "stop")


def test_an_answer_is_empty_if_the_program_waits_for_input_again() -> None:
    turn = StdioTurn()
    turn.started(0.0)
    assert list(turn.tick(1.0, "no")) == [] and turn.ended is None
    assert list(turn.tick(3.0, "waits")) == []
    assert turn.ended == Evidence("waits", "it waits for input")


def test_a_newline_ends_the_answer_if_nothing_follows_soon() -> None:
    said = result_of(StdioTurn(b"\n"), [(0.0, b"a\n"), (0.029, b"b\n"), (5.0, b"late\n")])
    assert said == (["a\nb\n"], NEWLINE, 4)


def test_an_incomplete_line_does_not_end_the_answer() -> None:
    turn = StdioTurn(b"\n")
    half: Said = (["half"], None, 4)
    assert result_of(turn, [(0.0, b"half")]) == half
    assert result_of(turn, [(90.0, b" a line\n")])[1] == NEWLINE


def test_another_delimiter_ends_the_answer_at_once_and_is_not_part_of_it() -> None:
    said = result_of(StdioTurn(b"END\n"), [(0.0, b"a\nENEND\nnext")])
    assert said == (["a\nEN"], Evidence("delimiter", "the delimiter b'END\\n'"), 8)


def test_text_that_may_become_the_delimiter_is_held_back() -> None:
    turn = StdioTurn(b"ENDE")
    turn.started(0.0)
    assert (list(turn.received("xéEN".encode(), 0.0)), turn.held) == (["xé"], 2)
    assert (list(turn.received(b"ENDX", 9.0)), turn.held) == (["ENENDX"], 0)
    assert (list(turn.received("é".encode()[:1], 9.0)), turn.held) == ([], 1)
    assert list(turn.exited(3, None, 10.0)) == [Invalid(b"\xc3")]
    assert turn.ended == Evidence("exit", "the program exited with code 3", 3)
    assert list(turn.received(b"more", 11.0)) == [] and turn.taken == 10


def test_a_signal_ends_the_turn_with_the_text_held_back() -> None:
    turn = StdioTurn(b"END")
    assert list(turn.received(b"xEN", 0.0)) == ["x"]
    assert list(turn.exited(None, 9, 1.0)) == ["EN"]
    assert turn.ended == Evidence("exit", "the program was ended by signal 9", None, 9)
    assert list(turn.exited(0, None, 2.0)) == [] and turn.ended.signal == 9


def test_an_incomplete_character_at_the_end_is_given_as_bytes() -> None:
    assert result_of(StdioTurn(), [(0.0, b"x\xe2\x82")]) == (["x", Invalid(b"\xe2\x82")], IDLE, 3)


STREAMS = st.lists(
    st.sampled_from([b"E", b"N", b"D", b"END", b"\n", b"x", "é😀".encode(), b"\xff"]), max_size=12
).map(b"".join)


@given(
    st.sampled_from([None, b"\n", b"END", b"EE", b"\r"]),
    st.lists(st.tuples(st.floats(0, 1), STREAMS), max_size=5),
    st.lists(st.integers(0, 1 << 16), max_size=6),
)
def test_any_chunking_gives_the_same_answer_and_end(
    delimiter: bytes | None, steps: list[tuple[float, bytes]], places: list[int]
) -> None:
    timed = [(sum(step for step, _ in steps[: index + 1]), data) for index, (_, data) in enumerate(steps)]
    pieces = [(at, piece) for at, data in timed for piece in cut(data, places)]
    bytewise = [(at, bytes((byte,))) for at, data in timed for byte in data]
    whole = result_of(StdioTurn(delimiter), timed)
    assert result_of(StdioTurn(delimiter), pieces) == whole
    assert result_of(StdioTurn(delimiter), bytewise) == whole
