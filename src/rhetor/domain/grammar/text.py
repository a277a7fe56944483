"""What is one piece within a line: a quoted text, brackets, a compound command of `sh`, a variable."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Lookup: TypeAlias = Callable[[str], str | None]

BLANKS = " \t\r\n"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CLOSING = {"if": "fi", "for": "done", "while": "done", "until": "done", "case": "esac"}
_BEFORE_A_COMMAND = ("do", "then", "else", "elif", "if", "while", "until")  # a command follows


class GrammarError(ValueError):
    """The syntax of a line, or of a stage that is parsed as a call, is invalid.

    `column` counts characters from 1 and is within the line. `unfinished` is true if more text could make the
    line valid (an open quote, a `|` at the end), so that the shell may read one more line.
    """

    def __init__(self, message: str, column: int, *, unfinished: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.unfinished = unfinished

    def __str__(self) -> str:
        return f"{self.message} (column {self.column})"


def quoted(text: str) -> str:
    """Return the text as one quoted word of a line."""
    for char in ("\\", '"', "$", "`"):
        text = text.replace(char, "\\" + char)
    return f'"{text}"'


def brackets(line: str) -> dict[int, int]:
    """Return the index after the closing bracket for each closed `(` and `{`, by its own index.

    The line is read once, because a search from each bracket would take quadratic time.
    """
    ends: dict[int, int] = {}
    opened: dict[str, list[int]] = {")": [], "}": []}
    at = 0
    while at < len(line):
        char = line[at]
        if char in "({":
            opened[")" if char == "(" else "}"].append(at)
        elif char in ")}" and opened[char]:
            ends[opened[char].pop()] = at + 1
        at = unit_end(line, at)
    return ends


def unit_end(line: str, at: int) -> int:
    """Return the end of the character, the escape sequence or the quoted text that begins at `at`."""
    char = line[at]
    if char == "\\":
        return min(at + 2, len(line))
    if char not in "'\"`":
        return at + 1
    end = at + 1
    while end < len(line) and line[end] != char:
        end += 2 if line[end] == "\\" and char != "'" else 1
    if end < len(line):
        return end + 1
    if char == "`":
        return at + 1
    raise GrammarError(f"the quote {char} is not closed", at + 1, unfinished=True)


def find_separator(raw: str) -> "tuple[str, int] | None":
    """Return the first unquoted `;` or `&&`, or a final `&`, and its index; None if there is none.

    Between programs they belong to `sh`. The text of a message cannot contain them, because a reader could
    take what follows for a command of its own.
    """
    closing = brackets(raw)
    at = 0
    while at < len(raw):
        if raw[at] == ";" or raw.startswith("&&", at):
            return (";" if raw[at] == ";" else "&&"), at
        if raw[at] == "&" and not raw[at + 1 :].strip(BLANKS):
            return "&", at
        at = closing.get(at + 1, at + 1) if raw.startswith("$(", at) else unit_end(raw, at)
    return None


def compound_end(line: str, start: int) -> int | None:
    """Return the end of the compound command of `sh` that begins here, such as `for … done`; None if none
    does.

    Raises:
        GrammarError: its last word is missing (`unfinished`).
    """
    first = _keyword(line, start)
    if first not in _CLOSING:
        return None
    missing: list[str] = []
    at, is_command = start, True
    while at < len(line):
        word = _keyword(line, at) if is_command else ""
        if missing and word == missing[-1]:
            missing.pop()
            if not missing:
                return at + len(word)
        if word in _CLOSING:
            missing.append(_CLOSING[word])
        if word:
            at += len(word)
            is_command = word in _BEFORE_A_COMMAND
            continue
        if line[at] in ";&|(){!\n":
            is_command = True
        elif line[at] not in BLANKS:
            is_command = False
        at = unit_end(line, at)
    raise GrammarError(f"{first} is not closed by {_CLOSING[first]}", start + 1, unfinished=True)


def _keyword(line: str, start: int) -> str:
    """Return the word that begins here if it could be a keyword of `sh`; otherwise, an empty string."""
    end = start
    while end < len(line) and line[end] in _LETTERS:
        end += 1
    return line[start:end] if line[end : end + 1] in ("", *BLANKS, *";&|()<>") else ""


def variable(line: str, at: int, end: int, lookup: "Lookup") -> tuple[str, int]:
    """Return the value of the variable whose `$` is at `at`, and the index after its name. A `$` that no name
    follows is text.

    Raises:
        GrammarError: the variable is not set, or `${…}` contains more than a name.
    """
    begin = at + 1
    if begin < end and line[begin] == "{":
        closing = line.find("}", begin, end)
        name = line[begin + 1 : closing] if closing > 0 else ""
        if not (name.isascii() and (name.isidentifier() or name.isdigit())):
            raise GrammarError("write a variable as $NAME or ${NAME}, and a plain $ as \\$", at + 1)
        return _value(name, at, lookup), closing + 1
    stop = begin
    if begin < end and line[begin] in "@*0123456789":
        stop = begin + 1
    else:
        while stop < end and line[begin : stop + 1].isidentifier() and line[stop].isascii():
            stop += 1
    if stop == begin:
        return "$", begin
    return _value(line[begin:stop], at, lookup), stop


def _value(name: str, at: int, lookup: "Lookup") -> str:
    value = lookup(name)
    if value is None:
        raise GrammarError(f"the variable {name} is not set; write a plain $ as \\$", at + 1)
    return value
