"""Aliases: names for lines of the shell, each of its owner."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from .grammar import Pipeline, Stage, parse
from .grammar.lists import split_list


class Alias(Struct, frozen=True, gc=False):
    """A name for a line, in which `$1`, `$*` and `$@` are the arguments. `at`: Unix time in milliseconds.
    `calls`: what `called` found in the line."""

    owner: str
    name: str
    command: str
    description: str = ""
    at: int = 0
    calls: tuple[str, ...] = ()


def called(command: str) -> tuple[str, ...]:
    """Return the first words of all stages of a line, which could be aliases. A long line takes a while.

    Raises:
        GrammarError: the syntax of the line is invalid.
    """
    return tuple(sorted(set(_words(command))))


def _words(command: str) -> Iterator[str]:
    for line in split_list(command):
        parsed = parse(line.text)
        if isinstance(parsed, Pipeline):
            yield from (stage.word for stage in parsed.stages if isinstance(stage, Stage))
