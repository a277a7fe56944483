"""Tables and lists on terminals of any width: no line is wider than the screen, and nothing is lost."""

from __future__ import annotations

import re
import threading
from socket import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.catalogue import pages
from aish.catalogue.text import overview, page_text
from aish.screen.cells import width
from aish.screen.tables import table, wrapped
from tests.aish.commands.test_commands import peer
from tests.aish.commands.test_tools import STATUS
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import ScriptedHub, Shell, answer

ROWS = [("NAME", "ID", "WORDS"), ("apollo", "s_1", "why is it slow?"), ("x", "", "")]


def widest(text: str) -> int:
    return max(map(width, text.split("\n")))


def test_a_table_has_aligned_columns() -> None:
    assert table(ROWS) == "NAME    ID   WORDS\napollo  s_1  why is it slow?\nx"
    assert table([("日本", "x"), ("a", "y")]) == "日本  x\na     y"
    assert table(ROWS, 28) == table(ROWS)


def test_a_table_that_is_too_wide_loses_nothing() -> None:
    rows = [("NAME", "ID", "WORDS"), ("apollo", "s_1", "one two three four five six"), ("x", "s_2", "")]
    assert table(rows, 38) == (
        "NAME    ID   WORDS\napollo  s_1  one two three four five\n             six\nx       s_2"
    )
    assert table(rows, 20) == "NAME    ID\napollo  s_1\n    one two three\n    four five six\nx       s_2"
    assert table(rows, 10) == (
        "apollo\n  id\n     s_1\n  words\n     one\n     two\n     three\n     four\n     five\n     six\n"
        "x\n  id\n     s_2"
    )


@given(st.lists(st.tuples(*[st.text("12 日", max_size=30)] * 3), min_size=1, max_size=3), st.integers(8, 70))
def test_no_line_of_a_table_is_too_wide_and_every_character_is_shown(
    found: list[tuple[str, str, str]], columns: int
) -> None:
    rows = [("A", "B", "C"), *(tuple(" ".join(cell.split()) for cell in row) for row in found)]
    shown = table(rows, columns)
    assert widest(shown) <= columns
    for char in "12日":
        assert shown.count(char) == sum(cell.count(char) for row in rows for cell in row)


@pytest.mark.parametrize("columns", [20, 40, 79])
def test_help_fits_in_any_width(columns: int) -> None:
    for text in (overview(), *map(page_text, pages())):
        narrow = wrapped(text, columns)
        assert widest(narrow) <= columns
        assert "".join(narrow.split()) == "".join(text.split())
    assert wrapped(overview(), 80) == overview()


def test_a_list_is_continued_under_its_second_column() -> None:
    assert wrapped("  list  the peers by kind", 16) == "  list  the\n        peers by\n        kind"
    assert wrapped("at  /a/long/path", 8) == "at  /a/l\n    ong/\n    path"
    assert wrapped("x 日本語", 6) == "x 日本\n  語"
    assert wrapped("xx 日本語", 6) == "xx 日\n  本語"
    assert wrapped("✓ hub one two three", 12, 6) == "✓ hub one\n      two\n      three"
    assert wrapped("  > one two three", 10) == "  > one\n    two\n    three"
    assert wrapped("\x1b[1mone\x1b[0m two", 7) == "\x1b[1mone\x1b[0m two"


LONG = "a long text 日本語の文章はスペースなしで折り返されます " * 4
SESSION: dict[str, Any] = {
    "id": "s_01a22be49e8700009e4a836e",
    "name": "a-session-with-a-long-name",
    "state": "active",
    "specialist_id": "a-peer-with-a-long-name",
    "started": True,
    "used_at": "2026-01-02T03:04:05Z",
    "summary": {"first": LONG, "messages": 2, "cost": "0.01", "cost_is_complete": True},
}
SAID = {"at": "2026-01-02T03:04:05Z", "ai": "apollo", "model": "one/a", "message": LONG, "response": LONG}
MODEL = {
    "model": "provider/a-model-with-a-long-name",
    "provider": "provider",
    "takes": ["text", "image"],
    "json": True,
    "peers": [f"peer{n}" for n in range(40)],
    "is_default": True,
    "error": None,
    "price": {"input_per_1m": "2", "output_per_1m": "10", "cached_per_1m": None},
}
USED = {
    "key": "a-peer-with-a-name-of-forty-characters-x",
    "turns": 4,
    "sessions": 2,
    "cost": "1234.5",
    "input_tokens": 123_456_789,
    "output_tokens": 9,
    "unpriced_turns": 1,
    "unreported_turns": 0,
}
PEERS = [
    peer("apollo", "specialist", description=LONG, model="one/a-model-with-a-long-name"),
    peer("a-terminal-with-a-long-name", "terminal", pid=4_194_304, forwards=["jill"]),
]
USAGE = {
    "group_by": "peer",
    "from": "2026-11-01",
    "to": "2026-11-30",
    "rows": [USED],
    "total": USED,
    "prices": {"source": "genai-prices", "version": "0.2.3", "date": "2026-11-09"},
}
# each command, the route that it asks, the answer, and a text that is shown once
LISTS: list[tuple[str, str, Any, str]] = [
    ("list", "/api/v2/ai", {"peers": PEERS}, "4194304"),
    ("sessions list", "/api/v2/sessions?state=active&summary=true", {"sessions": [SESSION]}, SESSION["id"]),
    ("history", "/api/v2/history?limit=20", {"history": [SAID]}, "2026-01-02 03:04:05"),
    ("explain box", "/api/v2/ai/box/status", {**STATUS, "reasons": [LONG]}, "a dialog is open"),
    ("models", "/api/v2/models", {"models": [MODEL], "silent": []}, "(default)"),
    (
        "usage --by peer --from 2026-11-01 --to 2026-11-30",
        "/api/analytics/usage?group_by=peer&from=2026-11-01&to=2026-11-30",
        USAGE,
        "2026-11-09",
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(("columns", "rows"), [(40, 15), (80, 24), (200, 50)])
def test_what_is_listed_fits_the_screen_that_is_resized_meanwhile(
    aish: Shell, hub: ScriptedHub, columns: int, rows: int
) -> None:
    for state in ("paused", "waiting"):
        hub.on(f"GET /api/v2/sessions?state={state}&summary=true", answer({"sessions": []}))
    for line, path, found, once in LISTS:
        is_resized = threading.Event()

        def answers(connection: socket, found: Any = found, go: threading.Event = is_resized) -> None:
            go.wait(60)
            connection.sendall(answer(found))

        hub.on(f"GET {path}", answers)
        size = (columns, rows)
        with at_terminal(aish, *line.split(), term="xterm-256color", columns=size[0], rows=size[1]) as shown:
            hub.wait_for(f"GET {path}")
            shown.resize(rows - 2, columns - 7)
            is_resized.set()
            assert shown.wait_for_end() == 0
        text = re.sub(r"\x1b\[[0-9;]*m", "", shown.screen)
        assert (line, widest(text) <= columns - 7) == (line, True)
        assert (line, "".join(text.split()).count("".join(once.split()))) == (line, 1)


@pytest.mark.long
@pytest.mark.parametrize(("columns", "rows"), [(40, 15), (80, 24), (200, 50)])
def test_help_is_paged_at_the_width_of_the_screen(aish: Shell, columns: int, rows: int) -> None:
    aish.environment["PAGER"] = "less -R"
    with at_terminal(aish, "help", term="xterm-256color", columns=columns, rows=rows) as shown:
        shown.wait_for_screen(lambda lines: lines[-1:] == [":"])
        assert shown.rows[0].startswith("aish PEER") and widest("\n".join(shown.rows)) <= columns
        shown.resize(rows - 3, columns)
        shown.type(" ")
        shown.wait_for_screen(lambda lines: lines[-1:] in ([":"], ["(END)"]) and "aish PEER" not in lines[0])
        shown.type("q")
        assert shown.wait_for_end() == 0
