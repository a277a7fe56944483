"""Extracts the answer of a full-screen program: what is new on its screen after a turn, without the typed
text, frames, status lines and the input line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_GAP = re.compile(r"\s{3,}")
_LONG = 30  # characters
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d]")
_LETTER = re.compile(r"\w")
_GLYPHS = "│┃|║╎▌▐❯›>●•◉$# \t\u00a0▋█"
_HINT = re.compile(r"\?\s+for shortcuts|\besc to (interrupt|cancel)\b|\bctrl\+\w\b", re.IGNORECASE)
_BUSY = re.compile(
    r"\besc (to )?(interrupt|cancel|stop)\b|\bctrl[+-]c to (interrupt|stop|cancel)\b", re.IGNORECASE
)


def new_lines(before: Iterable[str], after: Sequence[str], typed: str) -> str:
    """Return the lines of `after` that are not in `before`, in order.

    Each line of `before` cancels one line of `after` that is equal but for numbers. Lines that only repeat
    `typed`, hints about keys, and lines without letters or digits (frames) are left out. One blank line is
    kept where there were any.
    """
    known = Counter(_key(line) for line in before)
    echoed = [line.strip() for line in typed.splitlines() if line.strip()]
    said: list[str] = []
    for line in after:
        if not line.strip():
            if said and said[-1]:
                said.append("")
        elif known[_key(line)] > 0:
            known[_key(line)] -= 1
        elif _LETTER.search(line) and not _HINT.search(line) and not _is_echo(line, echoed):
            said.append(line.rstrip())
    return "\n".join(said).strip("\n")


def without_status(row: str, before: str) -> str:
    """Return the row without its right part, if that is a status such as the position in a file, and not a
    part of a message: `before`, the same row at an earlier time, had the like there."""
    for gap in _GAP.finditer(row):
        status, earlier = (set(_key(text[gap.end() :]).split()) for text in (row, before))
        if status & earlier or (earlier and not _WORD.search("".join(status))):
            return row[: gap.start()]
    return row


def working(lines: Sequence[str]) -> bool:
    """Return whether the last lines of the screen say that the program is working and can be interrupted."""
    return any(map(_BUSY.search, [line for line in lines if line.strip()][-8:]))


def _key(line: str) -> str:
    return _NUMBER.sub("0", line.strip())


def _is_echo(line: str, echoed: Sequence[str]) -> bool:
    text = line.strip(_GLYPHS)
    # a line that is too long for its place may be shown in several pieces
    return any(text == part or (len(text) > 8 and len(part) >= _LONG and text in part) for part in echoed)
