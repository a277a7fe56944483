"""What can stand at the cursor in a line that the hub runs: targets, options, their values, and operators.

It knows the grammar, and no names: these are given. The completion of the shell, which knows commands, files
and programs too, reads the cursor with the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from .grammar.cursor import last_stage, open_quote, split, typed_word
from .grammar.purposes import PURPOSES

MOST = 50
Kind = Literal["peer", "capability", "team", "session", "model", "option", "operator"]
# the others show or read something, which only the shell does
OPTIONS = (
    *("-s", "--session-id", "-m", "-S", "-a", "--schema", "-x", "-d"),
    *("--if-idle", "--queue", "--interrupt", "--if-offline"),
)
_OF_SESSIONS = ("-s", "--session", "--session-id")
_OF_MODELS = ("-m", "--model")
_PIPE = ("|", "send the answer on to another peer")
_BROADCAST = ("<<", "send one text to all peers before it")


class Candidate(Struct, frozen=True, gc=False):
    """A word that can stand at the cursor. `detail`: what it means, in one line."""

    text: str
    kind: Kind
    detail: str = ""


class Completion(Struct, frozen=True):
    """`candidates` can replace the characters of the line from `start` to `end`."""

    start: int
    end: int
    candidates: tuple[Candidate, ...]


class Names(Struct, frozen=True):
    """Returns the names that there are. `sessions`: those with the target of the stage, or all if it is
    empty. A name with blanks or other special characters must be quoted."""

    targets: Callable[[], Iterable[Candidate]]
    sessions: Callable[[str], Iterable[Candidate]]
    models: Callable[[], Iterable[Candidate]]


def complete(line: str, at: int, names: Names) -> Completion:
    """Return what can stand at the cursor, which is before the character `at`."""
    text = line[:at]
    words, cursor = split(last_stage(text))
    if open_quote(text):  # within a message, or a value
        return Completion(at, at, ())
    typed = typed_word(text)
    head = _head(words, cursor)
    typed, wanted = typed[typed.rfind(head) + len(head) :] if head else typed, cursor[len(head) :]
    found = (each for each in _offered(words, cursor, names) if _fits(each, wanted))
    kept: dict[tuple[str, str], Candidate] = {}
    for candidate in found:
        kept.setdefault((candidate.kind, candidate.text), candidate)
        if len(kept) == MOST:
            break
    return Completion(at - len(typed), at, tuple(kept.values()))


def _fits(candidate: Candidate, wanted: str) -> bool:
    return candidate.text.lower().startswith(wanted.lower()) and candidate.text != wanted


def _head(words: list[str], cursor: str) -> str:
    """Return the beginning of the cursor's word that stays: the names of a list, or the name of an option."""
    if cursor[:1] == "-" and "=" in cursor:
        return cursor[: cursor.index("=") + 1]
    if _is_in_names(words) and "," in cursor:
        return cursor[: cursor.rindex(",") + 1]
    return ""


def _is_in_names(words: list[str]) -> bool:
    """Whether the cursor is in the names at the beginning of a stage."""
    return not words or words[-1].endswith(",")


def _offered(words: list[str], cursor: str, names: Names) -> Iterator[Candidate]:
    if _is_in_names(words):
        yield from names.targets()
        return
    name, joined, _ = cursor.partition("=")
    option = name if joined else words[-1]
    if option in _OF_SESSIONS and (joined or option != words[0]):
        yield from names.sessions(words[0])
    elif option in _OF_MODELS and (joined or option != words[0]):
        yield from names.models()
    if not joined and (not cursor or cursor[:1] == "-") and "--" not in words:
        if not cursor:
            yield from _operators(words)
        yield from _options(words)


def _operators(words: list[str]) -> Iterator[Candidate]:
    if "<<" in words:
        return
    yield Candidate(_PIPE[0], "operator", _PIPE[1])
    if "," in " ".join(words[:2]):
        yield Candidate(_BROADCAST[0], "operator", _BROADCAST[1])


def _options(words: list[str]) -> Iterator[Candidate]:
    for option in OPTIONS:
        if option not in words or option == "-a":
            yield Candidate(option, "option", PURPOSES[option])
