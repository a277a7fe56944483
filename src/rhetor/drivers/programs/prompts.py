"""Prompts of line-oriented programs: whether a line is the prompt that was seen before, or looks like one."""

from __future__ import annotations

import re

from rhetor.drivers.programs.dialogs import dialog_on

_PATH = re.compile(r"(?<![\w.])(~|\.{1,2})?(/[^\s:$#%>)\]]*)+|(?<=[:\s])~(?=[\s$#%>)\]])")
_NUMBER = re.compile(r"\d+")
# not a progress bar (`99%`, `[==>`), nor `Connecting...`
_LIKE = re.compile(r"((?<!\d)%|(?<![=-])>|[$#»❯›λ]|^\s*\.\.\.)\s*$")
_ASKS = re.compile(r"\S.*[?:]\s+$")


def blurred(line: str) -> str:
    """The line with what changes from prompt to prompt (numbers, paths, blanks at the end) made equal."""
    return _NUMBER.sub("0", _PATH.sub("/", line.rstrip()))


def same_prompt(line: str, prompt: str) -> bool:
    """The line is that prompt, perhaps with another number or path in it."""
    wanted = blurred(prompt)
    return bool(wanted) and blurred(line) == wanted


def like_prompt(line: str) -> bool:
    """The line might be the prompt of a program that was not seen before: short, and it ends as prompts
    do."""
    return len(line) <= 120 and bool(_LIKE.search(line))


def like_question(line: str) -> bool:
    """The line might be a question (`name? `, `Go on? [y/n] `), of which the words matter."""
    return len(line) <= 400 and (bool(_ASKS.search(line)) or dialog_on([line]) is not None)
