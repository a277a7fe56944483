"""Searching for plain words: splitting a text into words, ranking it, and marking the words in an excerpt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from .base import MARK_BEGIN, MARK_END

# close to the tokens of FTS5's unicode61: letters and digits, without the underscore
_WORD = re.compile(r"[^\W_]+")
_BEFORE, _AFTER = 60, 120


def words_of(text: str) -> list[str]:
    """Return the words of a text or a query; empty if it has no letter or digit."""
    return _WORD.findall(text)


def folded_word(word: str) -> str:
    """Return a word as it is compared: without case and diacritics."""
    if word.isascii():
        return word.lower()
    apart = unicodedata.normalize("NFD", word.casefold())
    return "".join(each for each in apart if not unicodedata.combining(each)) or word


def fts_expression(words: Sequence[str]) -> str:
    """Return an FTS5 expression that matches texts with all the words.

    The words are quoted, so that none is read as an operator.
    """
    return " AND ".join(f'"{word}"' for word in words)


def rank(text: str, words: Sequence[str]) -> int:
    """Return how often the words occur in the text; 0 if one of them does not occur."""
    found = [folded_word(word) for word in words_of(text)]
    counts = [found.count(folded_word(word)) for word in words]
    return sum(counts) if all(counts) else 0


def excerpt(text: str, words: Sequence[str]) -> str:
    """Return the text around the first matching word, with marks around all matching words."""
    wanted = {folded_word(word) for word in words}
    hits = (found for found in _WORD.finditer(text) if folded_word(found[0]) in wanted)
    first = next(iter(islice(hits, 1)), None)
    begin = max(0, first.start() - _BEFORE) if first else 0
    end = (first.end() if first else 0) + _AFTER
    part = _WORD.sub(lambda found: _marked(found[0], wanted), text[begin:end])
    return f"{'…' if begin else ''}{part}{'…' if end < len(text) else ''}"


def _marked(word: str, wanted: set[str]) -> str:
    return f"{MARK_BEGIN}{word}{MARK_END}" if folded_word(word) in wanted else word
