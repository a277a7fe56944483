"""The tokens that callers have used within the last hour, in steps of a minute.

They are counted only while `limits.tokens_per_hour` is set. The catalog has a row for each minute and caller,
so that they are still known after a restart. A commit that logs usage adds to these rows, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile

import msgspec

from rhetor.domain.usage import Amounts, Cell
from rhetor.store.base import Addition, Row, Store

from .programs import HUB_STREAM

KIND = "recent_tokens"
MINUTE = 60_000  # milliseconds
WINDOW = 60  # whole minutes, besides the current one
MOST_ROWS = 100_000
_numbers = msgspec.json.Decoder(tuple[int]).decode


class RecentTokens:
    """The sums in memory. `is_counting`: there is a limit. All times are Unix time in milliseconds."""

    def __init__(self) -> None:
        self.is_counting = False
        self._minutes: dict[str, dict[int, int]] = {}  # by caller; the oldest minute comes first
        self._swept = 0

    async def load(self, store: Store, now: int) -> None:
        """Read what was counted before, remove what is too old, and count from now on. Call this before
        anything is counted."""
        self.is_counting = True
        await self.sweep(store, now)
        for row in await store.find(KIND, limit=MOST_ROWS):
            self._add(row.owner, row.at // MINUTE, *_numbers(row.doc))

    def mirror(self, id: str, row: Row | None) -> None:
        """Use a row as it is stored. Rows are dropped when they count no more."""
        if not self.is_counting or row is None:
            return
        minutes = self._minutes.get(row.owner, {})
        (minutes[row.at // MINUTE],) = _numbers(row.doc)
        self._minutes[row.owner] = dict(sorted(minutes.items()))

    async def sweep(self, store: Store, now: int) -> None:
        """Once an hour, remove the rows that are too old."""
        oldest = _oldest(now)
        if not self.is_counting or oldest < self._swept + WINDOW:
            return
        self._swept = oldest
        rows = await store.find(KIND, limit=MOST_ROWS)
        old = [(KIND, row.id) for row in takewhile(lambda row: row.at // MINUTE < oldest, rows)]
        if old:
            await store.commit(HUB_STREAM, [], drop=old)
        for caller in list(self._minutes):
            self._forget(caller, oldest)

    def additions(self, amounts: Mapping[Cell, Amounts], at: int) -> Iterable[Addition]:
        """Return what to commit with usage that is logged at this time."""
        if not self.is_counting:
            return
        minute = at // MINUTE
        for caller, tokens in _by_caller(amounts):
            yield Addition(KIND, f"{minute}/{caller}", (tokens,), caller, at=minute * MINUTE)

    def note(self, amounts: Mapping[Cell, Amounts], at: int) -> None:
        """Count usage that was committed."""
        if self.is_counting:
            for caller, tokens in _by_caller(amounts):
                self._add(caller, at // MINUTE, tokens)

    def wait(self, caller: str, limit: int, now: int) -> int:
        """Return in how many milliseconds the caller will have used less than `limit` tokens within the last
        hour; 0 if that is so now."""
        minutes = self._forget(caller, _oldest(now))
        used, below_at = sum(minutes.values()), now
        for minute, tokens in minutes.items():
            if used < limit:
                break
            used, below_at = used - tokens, (minute + WINDOW + 1) * MINUTE
        return below_at - now

    def _add(self, caller: str, minute: int, tokens: int) -> None:
        minutes = self._minutes.setdefault(caller, {})
        minutes[minute] = minutes.get(minute, 0) + tokens

    def _forget(self, caller: str, oldest: int) -> dict[int, int]:
        """Forget what a caller has used before the minute `oldest`, and return the rest."""
        minutes = self._minutes.get(caller, {})
        for minute in list(takewhile(lambda each: each < oldest, minutes)):
            del minutes[minute]
        if not minutes:
            self._minutes.pop(caller, None)
        return minutes


def _oldest(now: int) -> int:
    """Return the oldest minute that counts."""
    return now // MINUTE - WINDOW


def _by_caller(amounts: Mapping[Cell, Amounts]) -> Iterable[tuple[str, int]]:
    for cell, more in amounts.items():
        if tokens := more.input_tokens + more.output_tokens:
            yield cell.caller, tokens
