"""Aliases: names for lines of the shell, each of its owner."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from .grammar import Pipeline, Stage, parse
from .grammar.lists import split_list


class Alias(Struct, frozen=True, gc=False):
    """A name for a line, in which `$1`, `$*` and `$@` are the arguments. `at`: Unix time in milliseconds."""

    owner: str
    name: str
    command: str
    description: str = ""
    at: int = 0

    @property
    def words(self) -> frozenset[str]:
        """The first words of all stages of the line, which could be aliases.

        Raises:
            GrammarError: the syntax of the line is invalid.
        """
        return frozenset(_words(self.command))


def _words(command: str) -> Iterator[str]:
    for line in split_list(command):
        parsed = parse(line.text)
        if isinstance(parsed, Pipeline):
            yield from (stage.word for stage in parsed.stages if isinstance(stage, Stage))
