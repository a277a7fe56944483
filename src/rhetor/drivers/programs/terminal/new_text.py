"""What a full-screen program has said in a turn: what is new on its screen, without what was typed and
without frames, status lines and the line for input."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_NUMBER = re.compile(r"\d+")
_LETTER = re.compile(r"\w")
_GLYPHS = "│┃|║╎▌▐❯›>●•◉$# \t\u00a0▋█"
_HINT = re.compile(r"\?\s+for shortcuts|\besc to (interrupt|cancel)\b|\bctrl\+\w\b", re.IGNORECASE)
_BUSY = re.compile(
    r"\besc (to )?(interrupt|cancel|stop)\b|\bctrl[+-]c to (interrupt|stop|cancel)\b", re.IGNORECASE
)


def new_lines(before: Iterable[str], after: Sequence[str], typed: str) -> str:
    """The lines of `after` that were not in `before`; each of those counts once, numbers in it do not count.

    Lines that only repeat `typed` are left out, and so is what has no letter (frames). One blank line is kept
    between lines that had some."""
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


def working(lines: Sequence[str]) -> bool:
    """The screen says at its end that something is going on that may be interrupted."""
    return any(map(_BUSY.search, [line for line in lines if line.strip()][-8:]))


def _key(line: str) -> str:
    return _NUMBER.sub("0", line.strip())


def _is_echo(line: str, echoed: Sequence[str]) -> bool:
    text = line.strip(_GLYPHS)
    # a long line is shown in pieces
    return any(text == part or (len(text) > 8 and text in part) for part in echoed)
