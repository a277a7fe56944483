"""Recognizes prompts: by the pattern in the program's settings, by their look, or by an earlier prompt."""

from __future__ import annotations

import re
from typing import Final

from rhetor.codec.patterns import InvalidPattern, pattern
from rhetor.drivers.programs.host.values import Reader

from .screen import Screen

_PATH = re.compile(r"(?<![\w.])(~|\.{1,2})?(/[^\s:$#%>)\]]*)+|(?<=[:\s])~(?=[\s$#%>)\]])")
_NUMBER = re.compile(r"\d+")
# not a progress bar (`99%`, `[==>`), nor `Connecting...`
# (`.....` alone may be progress; before further lines of input, a blank follows)
_LIKE = re.compile(r"((?<!\d)%|(?<![=-])>|[$#»❯›λ]|^\s*\.\.\.|^\.{4,6}(?= )|^(\. ){2,}\.)\s*$")

MIN_BEGINNING: Final = 4  # characters that a prompt with a note and one without must share
MAX_NOTE: Final = 40


def prompt_on(screen: Screen, own: str | None, typed: str = "", reader: Reader | None = None) -> str | None:
    """Return the line with the cursor if it is a prompt, without the text that is typed there.

    `own`: the program's own prompt, a regular expression. `reader`: what the program does about input; if it
    takes input, any text before the cursor is a prompt.
    """
    if screen.alternate:
        return None
    at = screen.cursor
    line = screen.text()[at.row]
    if typed:
        line = line[: at.col].removesuffix(typed)
    if own is not None:
        return line if is_prompt(own, line) else None
    if like_prompt(line):
        return line
    takes_input = reader in ("waits", "polls", "shares")
    return line if takes_input and line.strip() and len(line.rstrip()) <= at.col else None


def blurred(line: str) -> str:
    """Return the line with numbers and paths, which change from prompt to prompt, replaced by placeholders,
    and without trailing blanks."""
    return _NUMBER.sub("0", _PATH.sub("/", line.rstrip()))


def same_prompt(line: str, prompt: str) -> bool:
    """Return whether the line is that prompt, perhaps with other numbers or paths in it, or one of them has a
    note that the other lacks (`u@h ~#` and `u@h ~ [2]#` after a failure, `u@h ~/repo (main)#`)."""
    wanted, shown = blurred(prompt), blurred(line)
    return bool(wanted) and (shown == wanted or _has_note(shown, wanted) or _has_note(wanted, shown))


def _has_note(line: str, prompt: str) -> bool:
    """Return whether the line is the prompt with a note somewhere after its beginning and before its end."""
    pairs = enumerate(zip(line, prompt, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), len(prompt))
    end = prompt[same:]
    fits = same >= MIN_BEGINNING and 0 < len(line) - len(prompt) <= MAX_NOTE
    return fits and bool(end) and like_prompt(end) and line.endswith(end)


def is_prompt(own: str, line: str) -> bool:
    """Return whether the program's own prompt, a regular expression, matches the line.

    An invalid one, which an earlier version of the hub accepted, is ignored; then the line is a prompt if it
    looks like one.
    """
    try:
        return pattern(own).found_in(line)
    except InvalidPattern:
        return like_prompt(line)


def like_prompt(line: str) -> bool:
    """Return whether the line may be the prompt of an unknown program: it is short and ends as prompts do."""
    return len(line) <= 120 and bool(_LIKE.search(line))
