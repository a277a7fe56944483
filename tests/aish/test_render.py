"""Which parts of a model's text reach a terminal, and how values are formatted."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.render import DIM, RESET, Filter, as_ascii_where_hidden, cleaned, heading, local_time

CORPUS = [
    ("plain\ttext\nnew line", "plain\ttext\nnew line"),
    ("grün 漢字 🎉", "grün 漢字 🎉"),
    ("a\rb\bc\ad\x00e\x7ff", "abcdef"),
    ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    ("\x1b[1;38:5:196mx\x1b[m", "\x1b[1;38:5:196mx\x1b[m"),
    ("\x1b[2Jcleared\x1b[1;1Hhome\x1b[?25l", "clearedhome"),
    ("\x1b[>4;2mkeys\x1b[?1m\x1b[1 m", "keys"),
    ("\x1b]0;title\x07after", "after"),
    ("\x1b]52;c;ZXZpbA==\x1b\\after", "after"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x1bPq#0;2;0;0;0\x1b\\dcs", "dcs"),
    ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
    ("\x9b31mc1\x9d0;title\x9cosc\x90dcs\x9cend", "\x1b[31mc1oscend"),
    ("\x85nel\x8dri", "nelri"),
    ("\x1bcreset\x1b(Bcharset\x1b#8", "resetcharset"),
    ("\x1b]unclosed title\nnext line", "\nnext line"),
    ("\x1b[12\x1b[31mx", "\x1b[31mx"),
    ("\x1b[12\nx", "\nx"),
    ("\x1b\x1b[1mx", "\x1b[1mx"),
    ("\x1b]a\x18b", "b"),
    ("trojan\u202e\u2066\u200f source", "trojan source"),
    ("\x1b[" + "1;" * 100 + "mlong", "long"),
    ("\x1b[8mhidden\x1b[28m", "hidden\x1b[28m"),
    ("\x1b[1;08;31mx\x1b[8:1my", "\x1b[1;31mxy"),
    ("\x1b[38;5;8mgrey\x1b[48;2;8;8;8mx", "\x1b[38;5;8mgrey\x1b[48;2;8;8;8mx"),
    ("\x1b[31;41mx\x1b[0;47m\x1b[37my", "\x1b[31mx\x1b[0;47my"),
    ("\x1b[38;5;196;48;5;196mx\x1b[39;48:5:196my", "\x1b[38;5;196mx\x1b[39;48:5:196my"),
    ("\x1b[97;107mx\x1b[38;5;15my", "\x1b[97mx\x1b[38;5;15my"),
    ("\x1b[31m\x1b[0m\x1b[41mx", "\x1b[31m\x1b[0m\x1b[41mx"),
    ("a\u200bb\u2060c\ufeffd\U000e0041\U000e0142e\u3164f\u00ad", "abcdef"),
    (
        "\u0915\u094d\u200d\u0937 \U0001f468\u200d\U0001f469 \u2764\ufe0f",
        "\u0915\u094d\u200d\u0937 \U0001f468\u200d\U0001f469 \u2764\ufe0f",
    ),
]


@pytest.mark.parametrize(("text", "shown"), CORPUS)
def test_colours_pass_and_all_other_sequences_are_removed(text: str, shown: str) -> None:
    assert Filter(colours=True).feed(text) == shown


@pytest.mark.parametrize(("text", "shown"), CORPUS)
def test_sequences_are_filtered_the_same_in_any_chunking(text: str, shown: str) -> None:
    for cut in range(len(text) + 1):
        cut_filter = Filter(colours=True)
        assert cut_filter.feed(text[:cut]) + cut_filter.feed(text[cut:]) == shown
    one_by_one = Filter(colours=True)
    assert "".join(map(one_by_one.feed, text)) == shown


@given(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x1b[]m0;\x07\\\x9b\n"), max_size=40)
)
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    shown = cleaned(text)
    assert all(char in "\n\t" or (char >= " " and not "\x7f" <= char <= "\x9f") for char in shown)


def test_json_for_a_terminal_has_escapes_for_what_must_not_reach_it() -> None:
    value = {"text": "caf\u00e9 \x9b2J\x7f\u202e\u200b\U000e0041", "more": [1]}
    text = json.dumps(value, ensure_ascii=False)
    shown = as_ascii_where_hidden(text)
    assert json.loads(shown) == value
    assert shown == ('{"text": "caf\u00e9 \\u009b2J\\u007f\\u202e\\u200b\\udb40\\udc41", "more": [1]}')


def test_no_color_removes_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert Filter().feed("\x1b[31mred") == "red"
    assert Filter(dim=True).feed("dim") == "dim"


def test_colours_are_reset_after_an_answer() -> None:
    used = Filter(colours=True)
    used.feed("\x1b[31mred")
    assert (used.end(), used.end()) == (RESET, "")


def test_intermediate_text_stays_dim() -> None:
    dim = Filter(dim=True, colours=True)
    assert [dim.feed("a"), dim.feed("\x1b[0mb"), dim.end()] == [f"{DIM}a", f"{RESET}{DIM}b", RESET]


def test_headings_are_capitalized() -> None:
    assert heading("apollo") == "[From Apollo]"


def test_times_are_shown_in_the_local_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert local_time("2026-11-01T20:30:05.123Z") == "2026-11-02 05:30:05"
        assert local_time("2026-11-01T20:30:05.123Z", seconds=False) == "2026-11-02 05:30"
        assert local_time("soon") == "soon"
    finally:
        monkeypatch.undo()
        time.tzset()
