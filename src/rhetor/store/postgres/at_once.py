"""A transaction of one statement, for what is appended most: events of streams whose heads are known.

It saves the round trips of several statements, so groups are smaller and callers wait less.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from rhetor.store.base import Committed
from rhetor.store.commit import Append
from rhetor.store.requests import Landed, Request

from .connection import LOST
from .statements import sql
from .transaction import Outdated, Transaction, columns


class AtOnce(Transaction):
    """Appends of events alone, each to a stream that is in `known`. Nothing decides about them but the heads
    of their streams. `is_alone`: when they were written, the database had no other node."""

    is_alone = False

    def prepare(self, requests: Sequence[Request]) -> list[Landed] | None:
        """Return the outcomes of the commits; None if one statement cannot write them."""
        appends = [each for each in requests if isinstance(each, Append) and self._is_plain(each)]
        if len(appends) < len(requests):
            return None
        self._streams = {each.stream: self._known[each.stream] for each in appends}
        outcomes = [self._landed(append) for append in appends]
        return None if self.texts or self.sealing.new_keys else outcomes

    async def execute(self, fence: int) -> None:
        """Write the events in one statement, which commits: if it fails, it has written nothing.

        Raises:
            Outdated: it has failed; an ordinary transaction finds out why.
            OSError, …: the connection was lost, and perhaps it has committed.
        """
        values = *columns(self.events), *columns(self.moved(), 4), self._owners.own, fence
        try:
            [(_, others)] = await self._connection.fetch(sql("append_at_once"), *values)
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            raise Outdated from error
        self.is_alone = not others

    def _landed(self, append: Append) -> Landed:
        before = self.touched.get(append.stream) or self._known[append.stream]
        records = self._add_events(before, append)
        after = before.grown(len(records))
        self.touch(after)
        return Landed(
            Committed(before.epoch, before.head + 1, after.head), append.stream, after.standing(), records
        )

    def _is_plain(self, append: Append) -> bool:
        decided = append.key or append.expects or append.base
        more = append.rows or append.adds or append.drop or append.sources
        return bool(append.entries) and not decided and not more and append.stream in self._known
