"""Words and operators of a line: what quotes bind, and where. Knows neither stages, options nor peers.

Quoting is the common part of the shell's and of plain text, so that one line can hold both: '…' is literal;
in "…" a backslash escapes `" \\ $` and the backtick; outside, it takes the meaning of a character that has
one and stays where there is none to take (`\\d+` is text). `$(…)` and backticks bind unquoted, as in `sh`.
"""

BLANKS = " \t\r\n"
_ENDS_A_WORD = BLANKS + "|<>"
_ESCAPED_OUTSIDE = BLANKS + "\"'\\|<>{$`"
_ESCAPED_INSIDE = '"\\$`'
# The longest first. `||` is `sh`'s own and does not split; what a peer makes of it is said in `lines`.
_OPERATORS = ("<<<", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">", "||", "|")


class GrammarError(ValueError):
    """A line, or a part that was asked to be a call, is not of the grammar.

    `column` counts characters from 1 and lies within the line. `unfinished` is true where more text could
    make it whole (an open quotation, a `|` at the end): whoever reads lines may read one more.
    """

    def __init__(self, message: str, column: int, *, unfinished: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.unfinished = unfinished

    def __str__(self) -> str:
        return f"{self.message} (column {self.column})"


class Value:
    """Frozen, and equal and hashed by its `__slots__`: a frozen dataclass without the cost of its import."""

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
    """A word, with its quotes resolved in `text`, or an operator, where `kind` is its own text.

    `start` and `end` are its place in the line; `bare` says that its first character stood unquoted.
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
    """All words and operators of `line`, in order.

    Raises:
        GrammarError: a quotation is not closed (`unfinished`).
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


def begins_stage(tokens: list[Token]) -> bool:
    """Whether the token after these is the first of a stage."""
    after_source = len(tokens) == 2 and tokens[0].kind == "<"
    return not tokens or tokens[-1].kind == "|" or after_source


def quoted(text: str) -> str:
    """`text` as one word of a line, whatever it holds."""
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
    """For each `(` and `{` that is closed: where it opens → the place after what closes it.

    One pass for the whole line: to search from each bracket on would be quadratic in its length.
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
    """Where the character, the escape or the quotation that begins at `at` ends."""
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
    raise GrammarError(f"the quotation that {char} opens is not closed", at + 1, unfinished=True)


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
        if part == "":  # a backslash that escapes a backslash: what follows the second is plain
            pieces.append("\\" + next(rest, ""))
        else:
            pieces.append(part if part[0] in _ESCAPED_INSIDE else "\\" + part)
    return "".join(pieces)
