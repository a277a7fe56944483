"""The steps of a line with their places in it, also if the line is not finished or not valid.

`lines` says what a valid line means. This module is for a client that shows a line while it is typed: it
reads each stage by itself, and collects what is wrong instead of stopping at the first error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from rhetor.errors import Unprocessable

from .grammar import Broadcast, Call, GrammarError, Group, Stage, parse, parse_targets
from .grammar.lists import split_list
from .grammar.words import WORD, Token, tokenize
from .lines import step_of, steps_of_line
from .plan import Step

MOST_STAGES = 200
_CLOSINGS = ("", '"', "'")  # what may end a line that is not finished
_FILES = "`<` and `>` work only in the shell: the hub does not open files"


class Problem(Struct, frozen=True):
    """What is wrong at a place of the line, which may be empty only if the line is."""

    start: int
    length: int
    detail: str
    hint: str = ""


class Placed(Struct, frozen=True):
    """A step of the line. `start`, `length`: of its stage, or of its name in a group or before `<<`; `name`
    and `name_start`: of its target as it is written. `step`: None if the stage is not valid."""

    id: str
    name: str
    name_start: int
    start: int
    length: int
    needs: tuple[str, ...]
    step: Step | None


class Reading(Struct):
    """What a line means as far as it can be read."""

    steps: list[Placed] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(line: str) -> Reading:
    """Return the steps of a line with their places, and what is wrong with it."""
    found = Reading()
    if not line.strip():
        found.problems.append(Problem(0, len(line), "the line is empty", "write a peer and a message"))
        return found
    try:
        if len(split_list(line)) > 1:
            found.problems.append(Problem(0, len(line), "it is more than one line"))
            return found
    except GrammarError:
        pass  # found again below
    tokens = _tokens(line, found)
    broadcast = next((at for at, token in enumerate(tokens) if token.kind != WORD), None)
    if broadcast and tokens[broadcast].kind == "<<":
        _read_broadcast(line, tokens, broadcast, found)
    else:
        _read_pipeline(line, tokens, found)
    if not found.problems:
        _read_whole(line, found)
    return found


def _read_whole(line: str, found: Reading) -> None:
    """Find what is wrong with the whole line although each stage by itself is right."""
    try:
        steps_of_line(line)
    except Unprocessable as error:
        if isinstance(error.__cause__, GrammarError):
            found.problems.append(_problem(line, error.__cause__))
        else:
            found.problems.append(Problem(0, len(line), error.detail, str(error.data.get("hint", ""))))


def _tokens(line: str, found: Reading) -> list[Token]:
    """Return the words and operators, with an open quote closed at the end of the line."""
    for closing in _CLOSINGS:
        try:
            return tokenize(line + closing)
        except GrammarError as error:
            if not closing:
                found.problems.append(_problem(line, error))
    return []


def _problem(line: str, error: GrammarError, begin: int = 0) -> Problem:
    """Return a problem at the word that an error names. `begin`: where the text that was parsed begins."""
    start = min(begin + error.column - 1, max(len(line) - 1, 0))
    end = start
    while end < len(line) and not line[end].isspace() and line[end] != "|":
        end += 1
    return Problem(start, max(1, end - start), error.message)


def _read_broadcast(line: str, tokens: Sequence[Token], at: int, found: Reading) -> None:
    options_and_text: Broadcast | None = None
    for closing in _CLOSINGS:
        try:
            parsed = parse(line + closing)
        except GrammarError as error:
            if not closing and not found.problems:
                found.problems.append(_problem(line, error))
            continue
        options_and_text = parsed if isinstance(parsed, Broadcast) else None
        break
    begin, end = tokens[0].start, tokens[at].start
    for number, (name, start) in enumerate(_names(line, begin, end), 1):
        step = None
        if options_and_text is not None and number <= len(options_and_text.targets):
            target = options_and_text.targets[number - 1]
            call = Call(target, options_and_text.text, options_and_text.options)
            step = _step(f"s{number}", call, (), Problem(begin, end - begin, ""), found)
        found.steps.append(Placed(f"s{number}", name, start, start, len(name), (), step))


def _names(line: str, begin: int, end: int, separator: str = ",") -> Iterator[tuple[str, int]]:
    """Yield the names between two places, with the place of each. What follows the first word after the last
    separator is options."""
    at = begin
    for part in line[begin:end].split(separator):
        name = part.split()[0] if part.split() else ""
        if name:
            yield name, at + part.index(name)
        at += len(part) + 1


def _read_pipeline(line: str, tokens: Sequence[Token], found: Reading) -> None:
    tokens = _without_files(line, tokens, found)
    parts = _parts(tokens)
    if len(parts) > MOST_STAGES:
        problem = Problem(0, len(line), f"it has more than {MOST_STAGES} stages")
        found.problems.append(problem)
        return
    needs: tuple[str, ...] = ()
    for number, part in enumerate(parts, 1):
        if not part:
            if number == len(parts) > 1:
                detail = "a stage is missing after |"
            else:
                detail = "a stage is missing before |"
            bar = _bar(tokens, number, len(parts))
            found.problems.append(Problem(bar, 1, detail, "write a peer, or a group such as {apollo|athena}"))
            continue
        steps = _stage(line, number, part, needs, found)
        found.steps += steps
        needs = tuple(step.id for step in steps)


def _bar(tokens: Sequence[Token], number: int, count: int) -> int:
    bars = [token.start for token in tokens if token.kind == "|"]
    return bars[min(number, count - 1) - 1]


def _without_files(line: str, tokens: Sequence[Token], found: Reading) -> Sequence[Token]:
    """Return the tokens without the redirections at the beginning and the end."""
    if tokens and tokens[0].kind == "<":
        found.problems.append(Problem(tokens[0].start, 1, _FILES))
        tokens = tokens[2:]
    for back in (1, 2):
        if len(tokens) >= back and tokens[-back].kind in (">", ">>"):
            found.problems.append(Problem(tokens[-back].start, len(tokens[-back].kind), _FILES))
            return tokens[:-back]
    return tokens


def _parts(tokens: Sequence[Token]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "|":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts if len(parts) > 1 or parts[0] else []


def _stage(
    line: str, number: int, tokens: Sequence[Token], needs: tuple[str, ...], found: Reading
) -> list[Placed]:
    begin, end = tokens[0].start, min(tokens[-1].end, len(line))
    id, text, place = f"s{number}", line[begin:end], Problem(begin, end - begin, "")
    step: Step | None = None
    try:
        parsed = _parsed(text)
        if isinstance(parsed, Group):
            return _group(line, id, begin, end, needs, found)
        step = _step(id, parsed.call(), needs, place, found)
    except GrammarError as error:
        found.problems.append(_problem(line, error, begin))
    name = line[begin : min(tokens[0].end, end)]
    return [Placed(id, name, begin, begin, end - begin, needs, step)]


def _parsed(text: str) -> Stage | Group:
    """Return the only stage of a text, of which a quote may be open."""
    for closing in _CLOSINGS:
        try:
            pipeline = parse(text + closing)
        except GrammarError as error:
            if not error.unfinished or closing == _CLOSINGS[-1]:
                raise
            continue
        assert not isinstance(pipeline, Broadcast)
        return pipeline.stages[0]
    raise AssertionError("the last closing returns or raises")


def _group(line: str, id: str, begin: int, end: int, needs: tuple[str, ...], found: Reading) -> list[Placed]:
    members = []
    for number, (name, start) in enumerate(_names(line, begin + 1, end - 1, "|"), 1):
        target = parse_targets(name)[0]
        step = _step(f"{id}.{number}", Call(target), needs, Problem(start, len(name), ""), found)
        members.append(Placed(f"{id}.{number}", name, start, start, len(name), needs, step))
    return members


def _step(id: str, call: Call, needs: tuple[str, ...], place: Problem, found: Reading) -> Step | None:
    try:
        return step_of(id, call, needs)
    except Unprocessable as error:
        found.problems.append(
            Problem(place.start, place.length, error.detail, str(error.data.get("hint", "")))
        )
        return None
