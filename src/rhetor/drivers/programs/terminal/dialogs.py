"""Detects questions on a screen that typed text or Enter would answer: for permission, confirmation, a
password.

It looks at the lines and the cursor's position, as a person would. It knows the wording of programs
(observed: claude 2.1, codex 0.169, gemini 0.61, opencode 1.18, cn 1.5, sudo, ssh, apt, git, npm), but not how
they are driven. Text that only mentions such words, above the line where the cursor waits, is not a question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

_ASKS = re.compile(r"\S.*[?:]\s+$")

Kind: TypeAlias = Literal["choice", "yes_no", "password", "enter", "pager"]

MAX_MENU_LINES: Final = 24  # the last non-empty lines of the screen, in which a menu is looked for


class Dialog(NamedTuple):
    """A question on the screen. `evidence`: the lines that show it, at most 400 characters. `options`: the
    choices, if the screen shows them."""

    kind: Kind
    evidence: str
    options: tuple[str, ...] = ()


_FRAME: Final = "│┃|║╎▌▐ \t\u00a0"
_POINTER = "❯›>▶▸→➜●◉◆*»"
_NUMBERED = re.compile(rf"^(?P<pointer>[{_POINTER}]?)\s*(?P<number>\d{{1,2}})[.)]\s+(?P<label>\S.*)$")
_POINTED = re.compile(r"^(?P<pointer>[❯›>▶▸→➜»])\s+(?P<label>\S.*)$")
_DECISION = re.compile(
    r"\b(yes|no|allow|approve|accept|deny|decline|reject|cancel|continue|proceed|trust|don't|skip|quit|exit|run|once"
    r"|always|abort|later|keep)\b",
    re.IGNORECASE,
)
_FOOTER = re.compile(
    r"\b(enter|return|↵|⏎)\s+(to\s+)?(confirm|select|continue|submit|choose|approve|accept)\b"
    r"|\besc(ape)?\s+to\s+(cancel|exit|reject|deny|go back)\b|[↑↓]+.{0,12}\b(navigate|select|move)\b",
    re.IGNORECASE,
)
_ROW_OF_CHOICES = re.compile(r"\bAllow once\b.*\b(Reject|Deny|Allow always)\b", re.IGNORECASE)
_ENTER = re.compile(
    r"\b(press|hit|strike)\s+(\[?(enter|return)\]?|any key|a key|<enter>|<return>)"
    r"(\s+(key\s+)?(to|or|for)\b[^.]{0,60})?[\s.…:!)\]]*$",
    re.IGNORECASE,
)
_YES_NO = re.compile(
    r"(\[\s*y(es)?\s*/\s*n(o)?(\s*/[^\]]{1,24})?\s*\]|\(\s*y(es)?\s*/\s*n(o)?(\s*/[^)]{1,24})?\s*\)"
    r"|\[\s*y\s*/\s*d\s*/\s*n\s*\]|\(y or n\)|\(y\)|\[y,n(,[^\]]{1,40})?\]|\(y/n\b[^)]{0,24}\)"
    r"|\[y\|n\])\s*[?:>]*\s*$",
    re.IGNORECASE,
)
_ASKED_BY_TOOL = re.compile(r"^(rm|mv|cp|ln|unzip|gzip): .*\?\s*$")
_PASSWORD = re.compile(
    r"\b(password|passphrase|passcode|passwort|pin|verification code|one-time code|otp|token code)\b"
    r"[^:?]{0,120}[:?]\s*$",
    re.IGNORECASE,
)
_PAGER = re.compile(r"^(--More--(\s*\(.*\))?|\(END\)|.*\(END\)|lines \d+-\d+.*|Manual page .* line \d+.*)$")
_SHELL_PROMPT = re.compile(r"^(\.\.\.|\S{0,80}[$#%>])\s+\S")


def dialog_on(lines: Sequence[str], cursor: tuple[int, ...] | None = None) -> Dialog | None:
    """Return the question that the screen shows, or None.

    `lines`: the rows of the screen. `cursor`: its row and column, counted from 0, and as an optional third
    value whether it is visible. Without a cursor, the last non-empty line counts as the cursor's.
    """
    filled = [row for row, line in enumerate(lines) if line.strip(_FRAME)]
    if not filled:
        return None
    at = _waiting_line(lines, cursor, filled)
    asked = None if at is None else _asked_on(lines[at])
    if asked is not None and asked.kind != "enter":
        return asked
    if cursor is not None and _types(lines, cursor):
        return None
    # the footer of a menu may say "press enter" too
    return _menu([lines[row].strip(_FRAME) for row in filled[-MAX_MENU_LINES:]]) or asked


def _waiting_line(lines: Sequence[str], cursor: tuple[int, ...] | None, filled: Sequence[int]) -> int | None:
    """Return the row on which input is awaited: the cursor's, if no text follows the cursor there."""
    if cursor is None:
        return filled[-1]
    row, col = cursor[:2]
    if not 0 <= row < len(lines):
        return None
    if not lines[row].strip(_FRAME):
        # some programs write a newline after "Press Enter"
        return row - 1 if row and row - 1 == filled[-1] else None
    return row if not lines[row][col:].strip(_FRAME) else None


def _asked_on(line: str) -> Dialog | None:
    text = line.strip(_FRAME)
    evidence = text[:400]
    if _SHELL_PROMPT.match(text):
        return None  # a command that is being typed
    if _PASSWORD.search(text):
        return Dialog("password", evidence)
    if _YES_NO.search(text) or _ASKED_BY_TOOL.match(text):
        return Dialog("yes_no", evidence, ("yes", "no"))
    if _ENTER.search(text):
        return Dialog("enter", evidence)
    return Dialog("pager", evidence) if _PAGER.match(text) else None


def _types(lines: Sequence[str], cursor: tuple[int, ...]) -> bool:
    """Return whether the visible cursor is on an input line (`❯`, `>`), not on an option of a menu: it is
    after the text, or the text does not name a decision."""
    row, col = cursor[:2]
    visible = len(cursor) < 3 or bool(cursor[2])
    if not visible or not 0 <= row < len(lines):
        return False
    text = lines[row].strip(_FRAME)
    if not text or text[0] not in _POINTER or _NUMBERED.match(text):
        return False
    return not _decides(text[1:]) or not lines[row][col:].strip(_FRAME)


def _menu(lines: Sequence[str]) -> Dialog | None:
    for line in lines[-6:]:
        if _ROW_OF_CHOICES.search(line):
            options = tuple(part for part in re.split(r"\s{2,}", line) if _decides(part))
            return Dialog("choice", _evidence(lines, len(lines) - 3), options)
    return _numbered(lines) or _pointed(lines)


def _numbered(lines: Sequence[str]) -> Dialog | None:
    """Return a menu such as `❯ 1. Yes`, `2. No`: options numbered from 1, with a pointer at one of them, near
    the end of the screen."""
    found = [(row, match) for row, line in enumerate(lines) if (match := _NUMBERED.match(line))]
    starts = [index for index, (_, match) in enumerate(found) if match["number"] == "1"]
    if not starts:
        return None
    menu = _consecutive(found[starts[-1] :])
    labels = tuple(match["label"].strip() for _, match in menu)
    pointed = sum(bool(match["pointer"]) for _, match in menu)
    after = lines[menu[-1][0] + 1 :]
    if len(menu) < 2 or pointed != 1 or len(after) > 6 or any(map(_is_input, after)):
        return None
    if not (any(map(_decides, labels)) or any(map(_FOOTER.search, after))):
        return None
    return Dialog("choice", _evidence(lines, menu[0][0] - 2), labels)


def _consecutive(found: Sequence[tuple[int, re.Match[str]]]) -> list[tuple[int, re.Match[str]]]:
    """Return the options with consecutive numbers. Up to three other lines (an explanation) may be between
    two of them."""
    menu = [found[0]]
    for row, match in found[1:]:
        if int(match["number"]) != len(menu) + 1 or row - menu[-1][0] > 4:
            break
        menu.append((row, match))
    return menu


def _pointed(lines: Sequence[str]) -> Dialog | None:
    """Return a menu without numbers: a pointer at one option, with others above or below it.

    The options must name decisions, and there must be a question above the menu or a footer below it.
    """
    for row in range(len(lines) - 1, max(len(lines) - 10, -1), -1):
        match = _POINTED.match(lines[row])
        if not match or not _decides(match["label"]):
            continue
        near = [line for line in lines[max(row - 3, 0) : row + 4] if line != lines[row]]
        others = [
            line for line in near if _decides(line) and len(line) < 60 and not line.endswith(("?", ":"))
        ]
        asked = any(line.rstrip().endswith("?") for line in lines[max(row - 6, 0) : row])
        foot = any(map(_FOOTER.search, lines[row + 1 :]))
        if others and (asked or foot) and not any(map(_is_input, lines[row + 1 :])):
            return Dialog("choice", _evidence(lines, row - 2), (match["label"].strip(), *others))
    return None


def _decides(text: str) -> bool:
    return bool(_DECISION.search(text))


def _is_input(line: str) -> bool:
    """Return whether a line below a menu is an input line. If so, the menu is an old one, or prose."""
    return line in ("❯", "›", ">", "$", "#", ">>>") or bool(re.match(r"^[❯›>]\s+(Ask|Type|Try)\b", line))


def _evidence(lines: Sequence[str], start: int) -> str:
    return "\n".join(lines[max(start, 0) :])[:400]


def like_question(line: str) -> bool:
    """Return whether the line may be a question (`name? `, `Go on? [y/n] `), whose words matter."""
    return len(line) <= 400 and (bool(_ASKS.search(line)) or dialog_on([line]) is not None)
