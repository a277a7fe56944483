"""The words of messages, as the search index has them: the value of a `tsvector` as text.

They are made here, because the parser of the database splits a text otherwise than other stores do: it has
tokens for URLs, numbers and hyphenated words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from rhetor.store.commit import Append
from rhetor.store.messages import said
from rhetor.store.requests import Request
from rhetor.store.search import folded_word, words_of

MOST_POSITIONS = 16  # of a word, which decide about its rank
LAST_POSITION = 16_383
MOST_WORD_BYTES = 2_000  # a tsvector takes 2,046
MOST_BYTES = 900_000  # a tsvector takes 1 MiB; of a longer message, the first different words are found
SMALL = 32 << 10  # characters that are read in the event loop


async def words_of_messages(requests: Iterable[Request]) -> dict[str, str]:
    """Return the value of `words` for each message in the commits, by its text."""
    texts = {
        message[1]
        for request in requests
        if isinstance(request, Append)
        for entry in request.entries
        if (message := said(entry.payload))
    }
    if sum(map(len, texts)) <= SMALL:
        return {text: index_of(text) for text in texts}
    return await asyncio.to_thread(lambda: {text: index_of(text) for text in texts})


def index_of(text: str) -> str:
    """Return the words of a text with their positions. Words have only letters and digits."""
    found: dict[str, list[int]] = {}
    size = 0
    for number, word in enumerate(words_of(text), start=1):
        positions = found.setdefault(folded_word(word), [])
        if not positions:
            size += 4 * len(word) + 8
            if size > MOST_BYTES:
                break
        if len(positions) < MOST_POSITIONS:
            positions.append(min(number, LAST_POSITION))
    return " ".join(
        f"{word}:{','.join(map(str, positions))}"
        for word, positions in found.items()
        if positions and len(word.encode()) <= MOST_WORD_BYTES
    )


def query_of(words: Sequence[str]) -> str:
    """Return the query for messages that have all the words."""
    return " & ".join(folded_word(word) for word in words)
