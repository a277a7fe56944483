"""The page with the table: what it shows of an answer, and how it is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from .rows import KINDS, ROWS, Row
from .run import Cell

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "answers.md"
MARK = "<!-- The rest is written by `python -m tests.answers --write`. -->"
MOST_LINES, MOST_CHARACTERS = 4, 100
# what differs from run to run (folders and process ids) or between versions of Python and git
_PLACEHOLDERS = (
    (re.compile(r"/\S*/rt\w+/[\w-]+"), "FOLDER"),
    (re.compile(r"(?<=process )\d+"), "N"),
    (re.compile(r'"<[\w-]+>"'), '"<stdin>"'),
    (re.compile(r"\[y,n,q,a,d,[^]]*\?\]"), "[y,n,q,a,d,…,?]"),
)


def is_right(row: Row, number: int, cell: Cell) -> bool:
    """Whether the cell is the right answer, or does not claim to be one: its exit status is not 0."""
    right = re.compile(row.messages[number].right, re.DOTALL)
    return cell.status != 0 or right.fullmatch(cell.answer.strip("\n")) is not None


def lines_of(row: Row, cells: Sequence[Cell]) -> list[str]:
    """The lines of the table for one program."""
    return [
        begin + _line(*_shown(cell)).removeprefix("|") for begin, cell in zip(begins(row), cells, strict=True)
    ]


def begins(row: Row) -> list[str]:
    """The beginnings of these lines: the program, the kind of message, and the message."""
    return [
        _line(f"`{row.name}`", f"{kind}{' *' if message.alone else ''}", _code(message.text))
        for kind, message in zip(KINDS, row.messages, strict=True)
    ]


def known(row: Row) -> list[str]:
    """The lines that the table on the page has for the program."""
    start = tuple(f"| `{row.name}` | {kind}" for kind in KINDS)
    return [line for line in PAGE.read_text().splitlines() if line.startswith(start)]


def write(found: Mapping[str, Sequence[Cell]]) -> None:
    """Write the page anew, below what people wrote. Programs that are missing here keep their lines."""
    by_hand, _, _ = PAGE.read_text().partition(MARK)
    programs = [_line(f"`{row.name}`", _code(_started_as(row)), row.note) for row in ROWS]
    answers = [lines_of(row, found[row.name]) if row.name in found else known(row) for row in ROWS]
    parts = [
        *(MARK, "", "## Programs", "| program | started as | remarks |", "|---|---|---|", *programs),
        *("", "## Answers", "| program | kind | message | answer | `finish_reason` | status |"),
        *("|---|---|---|---|---|---|", *(line for lines in answers for line in lines)),
    ]
    PAGE.write_text(by_hand + "\n".join(parts) + "\n")


def shortened(text: str) -> str:
    """The text as a cell shows it."""
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 2], "…", lines[-1]]
    return "\n".join(line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + "…" for line in lines)


def _shown(cell: Cell) -> tuple[str, str, str]:
    answer = _code(shortened(cell.answer)) if cell.answer.strip() else "nothing"
    if cell.status != 0:
        answer += f"; stderr: {_code(shortened(cell.stderr))}"
    return answer, f"`{cell.reason}`", str(cell.status)


def _started_as(row: Row) -> str:
    words = (word.replace("{folder}", "FOLDER") for word in row.argv)
    return shlex.join(Path(word).name if word.startswith("/") else word for word in words)


def _code(text: str) -> str:
    """A code span in a table; ⏎ stands for a newline."""
    if not text:
        return "nothing"
    text = text.replace("\n", " ⏎ ").replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _line(*columns: str) -> str:
    return f"| {' | '.join(columns)} |"
