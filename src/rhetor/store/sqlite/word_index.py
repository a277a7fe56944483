"""The index of words in memory, for a database in which messages are sealed: there, none may be on the disk.

It is made by the first search, and each search adds what was said since. It has the words, but not the texts.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from rhetor.domain.event import Position
from rhetor.errors import SealBroken
from rhetor.store.base import MARK_BEGIN, MARK_END, Among, Hit
from rhetor.store.sealed import Sealing
from rhetor.store.search import fts_expression

from .among import Chooser
from .connection import atomic
from .queries import EXCERPT_TOKENS

AT_ONCE = 500
WORD_BYTES = 20  # about, of the index for each word of a text
_ORIGIN = "coalesce(i.sealed_as, i.epoch)"
_EXCERPTS = (
    f"SELECT rowid, snippet(shown, 0, '{MARK_BEGIN}', '{MARK_END}', '…', {EXCERPT_TOKENS}) FROM shown"
    " WHERE shown MATCH ?"
)
_Text = tuple[int, str, str, str, int, str, str, Any, int]
log = logging.getLogger(__name__)


class WordIndex:
    """The words of all messages. It is used by one thread at a time; others wait."""

    def __init__(self, sealing: Sealing) -> None:
        self._sealing = sealing
        self._lock = threading.Lock()
        self._index: sqlite3.Connection | None = None
        self._last = 0  # the id of the last text in the index
        self._size = 0
        self._used = 0.0

    def search(
        self,
        connection: sqlite3.Connection,
        words: Sequence[str],
        among: Among,
        limit: int,
    ) -> Sequence[Hit]:
        """Search as `Log.search` does. `connection`: to the database, in a transaction."""
        with self._lock:
            self._used = monotonic()
            index = self._index or self._begin()
            self._catch_up(connection, index)
            expression = fts_expression(words)
            found: list[_Text] = []
            chooser = Chooser(connection, self._sealing, among)
            for ids in self._matching(index, expression):
                found += self._texts(connection, ids, chooser)
                if len(found) >= limit:
                    break
            return self._shown(index, expression, found[:limit])

    def forget_unused(self, seconds: float) -> int:
        """Free the memory if nobody has searched for so long. Return about how many bytes it took."""
        if (
            self._index is None
            or self._used > monotonic() - seconds
            or not self._lock.acquire(blocking=False)
        ):
            return 0
        try:
            freed = self._size
            self._index.close()
            self._index, self._last, self._size = None, 0, 0
            return freed
        finally:
            self._lock.release()

    def _begin(self) -> sqlite3.Connection:
        self._index = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._index.execute("PRAGMA temp_store = MEMORY")
        self._index.execute("CREATE VIRTUAL TABLE words USING fts5 (content, content='')")
        # of the texts that are shown, one answer at a time: an index without texts has no excerpts
        self._index.execute("CREATE VIRTUAL TABLE shown USING fts5 (content)")
        return self._index

    def _catch_up(self, connection: sqlite3.Connection, index: sqlite3.Connection) -> None:
        query = (
            f"SELECT t.id, {_ORIGIN}, t.seq, t.content FROM texts t JOIN incarnations i ON i.id = t.inc"
            " WHERE t.id > ? ORDER BY t.id"
        )
        last, size = self._last, self._size
        with atomic(index):
            for id, origin, seq, content in connection.execute(query, (last,)):
                last = id
                try:
                    text = self._sealing.opened_text(origin, seq, content)
                except SealBroken as error:
                    log.error("unreadable message", extra={"text": id, "reason": error.detail})
                    continue
                index.execute("INSERT INTO words (rowid, content) VALUES (?, ?)", (id, text))
                size += WORD_BYTES * (1 + text.count(" "))
        self._last, self._size = last, size

    def _matching(self, index: sqlite3.Connection, expression: str) -> Iterator[list[int]]:
        """Yield the ids of the matching texts, best first, some at a time."""
        query = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank, rowid DESC"
        cursor = index.execute(query, (expression,))
        while found := cursor.fetchmany(AT_ONCE):
            yield [id for (id,) in found]

    def _texts(self, connection: sqlite3.Connection, ids: Sequence[int], chooser: Chooser) -> Iterator[_Text]:
        """Yield those of the texts that exist and are wanted."""
        cursor = connection.execute(
            f"""
            SELECT i.id, r.doc, t.id, i.stream, i.epoch, {_ORIGIN}, t.seq, t.turn_id, t.role, t.content, t.at
            FROM texts t JOIN incarnations i ON i.id = t.inc {chooser.join}
            WHERE t.id IN (SELECT value FROM json_each(:ids)) {chooser.where}
            """,
            {"ids": json.dumps(ids), **chooser.values},
        )
        found = {row[0]: row for inc, doc, *row in cursor if chooser.wants(inc, row[3], row[5], doc)}
        return (found[id] for id in ids if id in found)

    def _shown(self, index: sqlite3.Connection, expression: str, found: Sequence[_Text]) -> Sequence[Hit]:
        texts = [(id, self._sealing.opened_text(o, seq, text)) for id, _, _, o, seq, _, _, text, _ in found]
        try:
            index.executemany("INSERT INTO shown (rowid, content) VALUES (?, ?)", texts)
            excerpts = dict(index.execute(_EXCERPTS, (expression,)).fetchall())
        finally:
            index.execute("DELETE FROM shown")
        return [
            Hit(stream, Position(epoch, seq), turn_id or None, role, excerpts.get(id, ""), at)
            for id, stream, epoch, _, seq, turn_id, role, _, at in found
        ]
