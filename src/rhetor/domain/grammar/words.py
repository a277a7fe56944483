"""Splits a line into words and operators, and resolves quotes. It does not know stages, options or peers.

The rules of quoting suit both shell commands and plain text, so that one line can contain both: '…' is
literal; in "…", a backslash escapes `" \\ $` and the backtick; outside quotes, it escapes a character with a
special meaning and otherwise stays (`\\d+` is text). `$(…)` and backticks group words, as in `sh`, and
so do its compound commands, such as `for … done`.
"""

from .text import BLANKS, brackets, compound_end, unit_end, variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .text import Lookup

_ENDS_A_WORD = BLANKS + "|<>"
_ESCAPED_OUTSIDE = BLANKS + "\"'\\|<>{$`"
_ESCAPED_INSIDE = '"\\$`'
# The longest first. `||` belongs to `sh` and does not split a line; `lines` rejects it in calls to peers.
_OPERATORS = ("<<<", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">", "||", "|")


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


def tokenize(line: str, lookup: "Lookup | None" = None) -> list[Token]:
    """Return all words and operators of the line, in order.

    `lookup` returns the value of a variable, None if it is not set: `$NAME`, `${NAME}`, `$1` and `$@` are
    replaced, but not in single quotes. Without it, they are text.

    Raises:
        GrammarError: a quote or a compound command is not closed (`unfinished`), or a variable is not set.
    """
    closing = brackets(line)
    tokens: list[Token] = []
    at = 0
    while at < len(line):
        if line[at] in BLANKS:
            at += 1
            continue
        if line[at] in "|<>":
            token = _operator(line, at, at)
        else:
            token = _word(line, at, closing, lookup, opens_stage=begins_stage(tokens))
            if _is_number(line[at : token.end]) and line[token.end : token.end + 1] in ("<", ">"):
                token = _operator(line, token.start, token.end)  # `2>` is one operator, `2 >` is not
        tokens.append(token)
        at = token.end
    return tokens


def begins_stage(tokens: list[Token]) -> bool:
    """Whether the token after these is the first of a stage."""
    after_source = len(tokens) == 2 and tokens[0].kind == "<"
    return not tokens or tokens[-1].kind == "|" or after_source


def _is_number(raw: str) -> bool:
    return raw.isascii() and raw.isdigit()


def _operator(line: str, start: int, at: int) -> Token:
    found = next(operator for operator in _OPERATORS if line.startswith(operator, at))
    end = at + len(found)
    return Token(line[start:end], line[start:end], start, end)


def _word(
    line: str, start: int, closing: dict[int, int], lookup: "Lookup | None", *, opens_stage: bool
) -> Token:
    pieces: list[str] = []
    at = start
    if opens_stage and (end := compound_end(line, start)):
        pieces.append(line[start:end])
        at = end
    while at < len(line) and line[at] not in _ENDS_A_WORD:
        # A subshell, a block or a group opens a stage; elsewhere such brackets are text.
        if opens_stage and at == start and line[at] in "({":
            end = closing.get(at)
        else:
            end = closing.get(at + 1) if line.startswith("$(", at) else None
        if end is None and lookup and line[at] == "$":
            value, end = variable(line, at, len(line), lookup)
            pieces.append(value)
        elif end is None:
            end = unit_end(line, at)
            pieces.append(_meaning(line, at, end, lookup))
        else:
            pieces.append(line[at:end])
        at = end
    is_bare = line[start] not in "\"'\\" and not (lookup and line[start] == "$")
    return Token(WORD, "".join(pieces), start, at, bare=is_bare)


def _meaning(line: str, start: int, end: int, lookup: "Lookup | None") -> str:
    unit = line[start:end]
    if unit[0] == "\\" and unit[1:] and unit[1] in _ESCAPED_OUTSIDE:
        return unit[1]
    if unit[0] == "'":
        return unit[1:-1]
    if unit[0] == '"':
        return _unescaped(line, start + 1, end - 1, lookup)
    return unit


def _unescaped(line: str, at: int, end: int, lookup: "Lookup | None") -> str:
    """Return the text between double quotes."""
    pieces: list[str] = []
    while at < end:
        if line[at] == "\\" and at + 1 < end:
            pieces.append(line[at + 1] if line[at + 1] in _ESCAPED_INSIDE else line[at : at + 2])
            at += 2
        elif lookup and line[at] == "$":
            value, at = variable(line, at, end, lookup)
            pieces.append(value)
        else:
            plain = at + 1
            while plain < end and line[plain] not in "\\$":
                plain += 1
            pieces.append(line[at:plain])
            at = plain
    return "".join(pieces)
