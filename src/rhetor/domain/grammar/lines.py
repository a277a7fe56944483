"""Parses a line into a pipeline of stages or a broadcast. `str` of each part is text that parses to it."""

from .options import Options, interpret
from .text import BLANKS, GrammarError, find_separator, quoted
from .words import WORD, Token, Value, tokenize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, TypeAlias

    from .text import Lookup

    TargetKind: TypeAlias = Literal["peer", "capability", "team"]

_MARKS: "dict[TargetKind, str]" = {"peer": "", "capability": "@", "team": "team:"}


class Target(Value):
    """The recipient: a peer by name, the best peer for a capability, or all members of a team."""

    __slots__ = ("kind", "name")
    kind: "TargetKind"
    name: str

    def __init__(self, name: str, kind: "TargetKind" = "peer") -> None:
        self._fill(name=name, kind=kind)

    def __str__(self) -> str:
        return _MARKS[self.kind] + self.name


class Call(Value):
    """One message to one target. `text` is empty if the stage has no text of its own."""

    __slots__ = ("options", "target", "text")
    target: Target
    options: Options
    text: str

    def __init__(self, target: Target, text: str = "", options: Options | None = None) -> None:
        self._fill(target=target, text=text, options=options or Options())

    def __str__(self) -> str:
        text = quoted(self.text) if self.text else ""
        return " ".join(part for part in (str(self.target), str(self.options), text) if part)


class Stage(Value):
    """A stage that begins with a word: a call to a peer, a command, or a program with its arguments.

    `raw` is its text in the line, for `/bin/sh -c`; `word` is its first word, without quotes.
    """

    __slots__ = ("_tokens", "raw")
    raw: str
    _tokens: tuple[Token, ...]

    def __init__(self, raw: str, tokens: "Sequence[Token]" = ()) -> None:
        tokens = tuple(tokens) or tuple(tokenize(raw))
        if not tokens:
            raise GrammarError("a stage is missing", 1)
        self._fill(raw=raw, _tokens=tokens)

    # `_tokens` is not compared, because its columns depend on the stage's place in the line.
    def __eq__(self, other: object) -> bool:
        return type(other) is Stage and other.raw == self.raw

    def __hash__(self) -> int:
        return hash((Stage, self.raw))

    def __str__(self) -> str:
        return self.raw

    @property
    def word(self) -> str:
        return self._tokens[0].text

    @property
    def column(self) -> int:
        return self._tokens[0].column

    @property
    def arguments(self) -> "list[str]":
        """The words after the first, without quotes: the arguments of a command."""
        return [token.text for token in self._tokens[1:] if token.kind == WORD]

    def expanded(self, lookup: "Lookup") -> "Stage":
        """Return the stage with the values of variables in its words. `raw` keeps their names, for `sh`.

        Raises:
            GrammarError: a variable is not set.
        """
        start = self._tokens[0].start
        return Stage(self.raw, tokenize(" " * start + self.raw, lookup))

    def call(self) -> Call:
        """Parse the stage as a call to a peer.

        Raises:
            GrammarError: the first word cannot be a target, an option is invalid, or the text contains an
                unquoted redirection, `||`, `&&` or `;`.
        """
        for token in self._tokens:
            if token.kind != WORD:
                raise GrammarError(_stray(token.kind), token.column)
        self.reject_separators()
        head, *words = self._tokens
        target = _target(head.text, head.column)
        options, text = interpret(words)
        return Call(target, text, options)

    def reject_separators(self) -> None:
        """Check that the stage is one call or command, without an unquoted `&&` or `;` or a final `&`.

        Raises:
            GrammarError: it is not.
        """
        blanks = len(self.raw) - len(self.raw.lstrip(BLANKS))
        _reject_separators(self.raw, self._tokens[0].start - blanks)


class Group(Value):
    """`{apollo|athena}`: all targets answer the same input at once."""

    __slots__ = ("targets",)
    targets: tuple[Target, ...]

    def __init__(self, targets: "Sequence[Target]") -> None:
        self._fill(targets=tuple(targets))

    def __str__(self) -> str:
        return "{" + "|".join(map(str, self.targets)) + "}"


class Sink(Value):
    """The file for the line's output. `append`: the output is added to the file instead of replacing it."""

    __slots__ = ("append", "path")
    path: str
    append: bool

    def __init__(self, path: str, append: bool = False) -> None:
        self._fill(path=path, append=append)

    def __str__(self) -> str:
        return (">> " if self.append else "> ") + quoted(self.path)


class Pipeline(Value):
    """Stages from left to right. `source` and `sink`: files, as they were written and not expanded."""

    __slots__ = ("sink", "source", "stages")
    stages: tuple[Stage | Group, ...]
    source: str | None
    sink: Sink | None

    def __init__(
        self, stages: "Sequence[Stage | Group]", source: str | None = None, sink: Sink | None = None
    ) -> None:
        self._fill(stages=tuple(stages), source=source, sink=sink)

    def __str__(self) -> str:
        source = f"< {quoted(self.source)} " if self.source is not None else ""
        sink = f" {self.sink}" if self.sink else ""
        return source + " | ".join(map(str, self.stages)) + sink


class Broadcast(Value):
    """`a,b << text`: the same text to all targets at once."""

    __slots__ = ("options", "targets", "text")
    targets: tuple[Target, ...]
    text: str
    options: Options

    def __init__(self, targets: "Sequence[Target]", text: str, options: Options | None = None) -> None:
        self._fill(targets=tuple(targets), text=text, options=options or Options())

    def __str__(self) -> str:
        names = ",".join(map(str, self.targets))
        return " ".join(part for part in (names, str(self.options), "<<", quoted(self.text)) if part)


def parse(line: str, lookup: "Lookup | None" = None) -> Pipeline | Broadcast:
    """Parse a line. `parse(str(parse(line))) == parse(line)` for every valid line.

    `lookup` returns the values of variables in the text of a broadcast and in file names. `Stage.expanded`
    replaces those of a stage, because `sh` replaces those of a program itself.

    Raises:
        GrammarError: the syntax of the line is invalid, or a variable is not set. The stages are not parsed
            as calls yet.
    """
    tokens = tokenize(line)
    if not tokens:
        raise GrammarError("the line is empty", 1)
    return _broadcast(line, tokens, lookup) or _pipeline(line, tokens, lookup)


def parse_targets(text: str) -> tuple[Target, ...]:
    """Parse targets such as `apollo,@code-analysis,team:reviewers`, and return them in order.

    Raises:
        GrammarError: a target is missing or is not a valid name.
    """
    targets: list[Target] = []
    column = 1
    for part in text.split(","):
        targets.append(_target(part.strip(), min(column, max(len(text), 1))))
        column += len(part) + 1
    return tuple(targets)


def _pipeline(line: str, tokens: "Sequence[Token]", lookup: "Lookup | None") -> Pipeline:
    source: str | None = None
    if tokens[0].kind == "<":
        if len(tokens) < 2 or tokens[1].kind != WORD:
            raise GrammarError("< needs a file name", tokens[0].column)
        source, tokens = _expanded(line, tokens[1], lookup), tokens[2:]
    last = tokens[-1] if tokens else None
    sink: Sink | None = None
    if last is not None and last.kind in (">", ">>"):
        raise GrammarError(f"{last.kind} needs a file name", last.column)
    if len(tokens) > 1 and tokens[-2].kind in (">", ">>") and tokens[-1].kind == WORD:
        path, appends = _expanded(line, tokens[-1], lookup), tokens[-2].kind == ">>"
        sink, tokens = Sink(path, appends), tokens[:-2]
    return Pipeline(_stages(line, tokens), source, sink)


def _expanded(line: str, word: Token, lookup: "Lookup | None") -> str:
    """Return a word with the values of its variables."""
    if lookup is None:
        return word.text
    return tokenize(" " * word.start + line[word.start : word.end], lookup)[0].text


def _stages(line: str, tokens: "Sequence[Token]") -> "list[Stage | Group]":
    stages: list[Stage | Group] = []
    part: list[Token] = []
    for token in tokens:
        if token.kind != "|":
            part.append(token)
            continue
        if not part:
            raise GrammarError("a stage is missing before |", token.column)
        stages.append(_stage(line, part))
        part = []
    if not part and tokens:
        ends_line = not line[tokens[-1].end :].strip()
        raise GrammarError("a stage is missing after |", tokens[-1].column, unfinished=ends_line)
    if not part:
        raise GrammarError("a line needs at least one stage", 1)
    return [*stages, _stage(line, part)]


def _stage(line: str, tokens: "Sequence[Token]") -> Stage | Group:
    first = tokens[0]
    if first.kind != WORD:
        raise GrammarError("a stage must begin with a name", first.column)
    if first.bare and first.text[:1] == "{":
        group = _group(first)
        if group is not None:
            if len(tokens) > 1:
                raise GrammarError(
                    "a group cannot have text; give the text to the stage before it", tokens[1].column
                )
            return group
        if first.text[1:2].strip():  # `{ ls; }` with its blank is a block of sh
            raise GrammarError("write a group as {peer|peer}", first.column)
    return Stage(line[first.start : tokens[-1].end], tokens)


def _group(word: Token) -> Group | None:
    names = [name.strip() for name in word.text[1:-1].split("|")]
    if word.text[-1:] != "}" or not all(map(_is_target, names)):
        return None
    return Group([_target(name, word.column) for name in names])


def _broadcast(line: str, tokens: "Sequence[Token]", lookup: "Lookup | None") -> Broadcast | None:
    """Return the line as a broadcast; None if `<<` is missing or belongs to a program."""
    at = next((at for at, token in enumerate(tokens) if token.kind != WORD), None)
    if not at or tokens[at].kind != "<<":
        return None
    names, options = _addressees(tokens[:at])
    if not names or ("," not in names and not _is_target(names)):
        return None
    stray = next((token for token in tokens[at + 1 :] if token.kind != WORD), None)
    if stray is not None:
        raise GrammarError(f"a broadcast must be a line of its own: {_stray(stray.kind)}", stray.column)
    _reject_separators(line, 0)
    if lookup is not None:
        tokens = tokenize(line, lookup)
        names, options = _addressees(tokens[:at])
    targets = [_target(name, tokens[0].column) for name in names.split(",")]
    head_options, head_text = interpret(options)
    if head_text:
        raise GrammarError("put the text of a broadcast after <<", options[0].column)
    tail_options, text = interpret(tokens[at + 1 :])
    if not text:
        raise GrammarError("a broadcast needs a text after <<", tokens[at].column)
    return Broadcast(targets, text, tail_options.over(head_options))


def _addressees(words: "Sequence[Token]") -> "tuple[str, Sequence[Token]]":
    """Split `a, b -s` into the names, joined where blanks follow or precede a comma, and the other words."""
    names = words[0].text
    at = 1
    while at < len(words) and (names.endswith(",") or words[at].text.startswith(",")):
        names += words[at].text
        at += 1
    return names, words[at:]


def _target(text: str, column: int) -> Target:
    if not text:
        raise GrammarError("a target's name is missing", column)
    if not _is_target(text):
        raise GrammarError(f"{text!r} cannot be the name of a peer", column)
    if text[0] == "@":
        return Target(text[1:], "capability")
    if text.startswith("team:"):
        return Target(text[len("team:") :], "team")
    return Target(text)


def _is_target(text: str) -> bool:
    """Whether the text, without `@` or `team:`, has only letters, digits, `-`, `_` and `.`, and begins with a
    letter or digit. The name of a peer may be followed by `@` and that of its machine."""
    name = text.removeprefix("@") if text[:1] == "@" else text.removeprefix("team:")
    own, at, machine = name.partition("@") if name == text else (name, "", "")
    return _is_name(own) and (not at or _is_name(machine))


def _is_name(text: str) -> bool:
    return text[:1].isalnum() and all(char.isalnum() or char in "-_." for char in text)


def _reject_separators(raw: str, start: int) -> None:
    if found := find_separator(raw):
        operator, at = found
        raise GrammarError(f"{_stray(operator)}, or write each command on its own line", start + at + 1)


def _stray(operator: str) -> str:
    if operator == "<":
        return "write the input file before the peer: < FILE PEER"
    return f"an unquoted {operator} is not text here; quote it"
