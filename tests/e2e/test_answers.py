"""Wrapped programs answer as docs/reference/answers.md says."""

from __future__ import annotations

import pytest
from tests.answers.page import begins, is_right, known, lines_of
from tests.answers.rows import ROWS
from tests.answers.run import run
from tests.answers.servers import missing
from tests.needs import lacking
from tests.scale import FULL

HINT = "write the page anew with: python -m tests.answers --write"


def test_every_program_of_the_page_is_installed() -> None:
    if absent := sorted({name for row in ROWS for name in missing(row.needs)}):
        lacking(f"{', '.join(absent)} is not installed")


def test_the_page_has_every_program_and_message() -> None:
    for row in ROWS:
        lines, wanted = known(row), begins(row)
        assert [line[: len(begin)] for line, begin in zip(lines, wanted, strict=True)] == wanted, HINT


@pytest.mark.long
def test_programs_answer_as_the_page_says() -> None:
    rows = [row for row in ROWS if (row.often or FULL) and not missing(row.needs)]
    found = run(rows)
    wrong = [
        (row.name, row.messages[number].text, cell)
        for row in rows
        for number, cell in enumerate(found[row.name])
        if not is_right(row, number, cell)
    ]
    assert not wrong
    for row in rows:
        assert lines_of(row, found[row.name]) == known(row), HINT
