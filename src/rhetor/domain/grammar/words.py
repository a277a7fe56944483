"""Splits a line into words and operators, and resolves quotes. It does not know stages, options or peers.

The rules of quoting suit both shell commands and plain text, so that one line can contain both: '…' is
literal; in "…", a backslash escapes `" \\ $` and the backtick; outside quotes, it escapes a character with a
special meaning and otherwise stays (`\\d+` is text). `$(…)` and backticks group words, as in `sh`.
"""

BLANKS = " \t\r\n"
_ENDS_A_WORD = BLANKS + "|<>"
_ESCAPED_OUTSIDE = BLANKS + "\"'\\|<>{$`"
_ESCAPED_INSIDE = '"\\$`'
# The longest first. `||` belongs to `sh` and does not split a line; `lines` rejects it in calls to peers.
_OPERATORS = ("<<<", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">", "||", "|")


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


class Value:
    """A frozen value, compared and hashed by its `__slots__`: a dataclass without the cost of its import."""

    __slots__: tuple[str, ...] = ()

    def _fill(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _fields(other) == _fields(self)

    def __hash__(self) -> int:
        return hash((type(self), *_fields(self)))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in zip(self.__slots__, _fields(self), strict=True))
        return f"{type(self).__name__}({', '.join(shown)})"


def _fields(value: object) -> tuple[object, ...]:
    return tuple(getattr(value, name) for name in type(value).__slots__)  # type: ignore[attr-defined]


class Token(Value):
    """A word, with its quotes resolved in `text`, or an operator, whose `kind` is its own text.

    `start` and `end` are its place in the line; `bare` is true if its first character is not quoted.
    """

    __slots__ = ("bare", "end", "kind", "start", "text")
    kind: str
    text: str
    start: int
    end: int
    bare: bool

    def __init__(self, kind: str, text: str, start: int, end: int, bare: bool = True) -> None:
        self._fill(kind=kind, text=text, start=start, end=end, bare=bare)

    @property
    def column(self) -> int:
        return self.start + 1


WORD = "word"


def tokenize(line: str) -> list[Token]:
    """Return all words and operators of the line, in order.

    Raises:
        GrammarError: a quote is not closed (`unfinished`).
    """
    closing = _brackets(line)
    tokens: list[Token] = []
    at = 0
    while at < len(line):
        if line[at] in BLANKS:
            at += 1
            continue
        if line[at] in "|<>":
            token = _operator(line, at, at)
        else:
            token = _word(line, at, closing, opens_stage=begins_stage(tokens))
            if _is_number(line[at : token.end]) and line[token.end : token.end + 1] in ("<", ">"):
                token = _operator(line, token.start, token.end)  # `2>` is one operator, `2 >` is not
        tokens.append(token)
        at = token.end
    return tokens


def find_separator(raw: str) -> "tuple[str, int] | None":
    """Return the first unquoted `;` or `&&`, or a final `&`, and its index; None if there is none.

    Between programs they belong to `sh`. The text of a message cannot contain them, because a reader could
    take what follows for a command of its own.
    """
    closing = _brackets(raw)
    at = 0
    while at < len(raw):
        if raw[at] == ";" or raw.startswith("&&", at):
            return (";" if raw[at] == ";" else "&&"), at
        if raw[at] == "&" and not raw[at + 1 :].strip(BLANKS):
            return "&", at
        at = closing.get(at + 1, at + 1) if raw.startswith("$(", at) else _unit_end(raw, at)
    return None


def begins_stage(tokens: list[Token]) -> bool:
    """Whether the token after these is the first of a stage."""
    after_source = len(tokens) == 2 and tokens[0].kind == "<"
    return not tokens or tokens[-1].kind == "|" or after_source


def quoted(text: str) -> str:
    """Return the text as one quoted word of a line."""
    for char in ("\\", '"', "$", "`"):
        text = text.replace(char, "\\" + char)
    return f'"{text}"'


def _is_number(raw: str) -> bool:
    return raw.isascii() and raw.isdigit()


def _operator(line: str, start: int, at: int) -> Token:
    found = next(operator for operator in _OPERATORS if line.startswith(operator, at))
    end = at + len(found)
    return Token(line[start:end], line[start:end], start, end)


def _word(line: str, start: int, closing: dict[int, int], *, opens_stage: bool) -> Token:
    pieces: list[str] = []
    at = start
    while at < len(line) and line[at] not in _ENDS_A_WORD:
        # A subshell, a block or a group opens a stage; elsewhere such brackets are text.
        if opens_stage and at == start and line[at] in "({":
            end = closing.get(at)
        else:
            end = closing.get(at + 1) if line.startswith("$(", at) else None
        if end is None:
            end = _unit_end(line, at)
            pieces.append(_meaning(line[at:end]))
        else:
            pieces.append(line[at:end])
        at = end
    return Token(WORD, "".join(pieces), start, at, bare=line[start] not in "\"'\\")


def _brackets(line: str) -> dict[int, int]:
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
        at = _unit_end(line, at)
    return ends


def _unit_end(line: str, at: int) -> int:
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


def _meaning(unit: str) -> str:
    if unit[0] == "\\" and unit[1:] and unit[1] in _ESCAPED_OUTSIDE:
        return unit[1]
    if unit[0] == "'":
        return unit[1:-1]
    if unit[0] == '"':
        return _unescaped(unit[1:-1])
    return unit


def _unescaped(text: str) -> str:
    head, *parts = text.split("\\")
    pieces = [head]
    rest = iter(parts)
    for part in rest:
        if part == "":  # a backslash that escapes a backslash: the text after the second one is plain
            pieces.append("\\" + next(rest, ""))
        else:
            pieces.append(part if part[0] in _ESCAPED_INSIDE else "\\" + part)
    return "".join(pieces)
