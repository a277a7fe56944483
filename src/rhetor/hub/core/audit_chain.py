"""The chain of the audit: each entry has a MAC over the one before it, and a row counts the entries.

So a changed or missing entry is found. If the hub finds that the last ones are missing, an entry says so.
"""

from __future__ import annotations

import logging
import secrets as random
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from rhetor.domain import audit as a
from rhetor.domain.audit import AuditEntry, Count
from rhetor.domain.event import Position
from rhetor.errors import SealBroken, StateConflict
from rhetor.store.base import Draft, Expect, Row, Store

from .ids import Ids

KEY, COUNT = ("audit_key", "audit"), (a.COUNT, a.STREAM)  # kind and id of the rows of a hub alone
KEY_BYTES = 32
UNREADABLE = SealBroken, msgspec.MsgspecError, ValueError  # what somebody has changed
Timed = tuple[AuditEntry, int]  # an entry with its time, in milliseconds
log = logging.getLogger(__name__)


class AuditKey(msgspec.Struct, frozen=True):
    """The key of the chain, in hex, as its row has it. The store seals such rows."""

    key: str


class _Standing(msgspec.Struct):
    """The key, the last entry, and the version of the row that counts the entries; None for any."""

    key: bytes
    number: int
    chain: str
    version: int | None


class AuditChain:
    """The chain of one hub, to which one task at a time may append. `stream`: of its entries."""

    def __init__(self, store: Store, ids: Ids, stream: str) -> None:
        self.stream = stream
        self._store = store
        self._ids = ids
        self._standing: _Standing | None = None

    async def append(self, entries: Sequence[Timed]) -> int:
        """Chain entries, commit them, and return the number of the first one.

        Raises:
            StoreRefused: they cannot be written.
        """
        while True:
            standing, gap = (self._standing, ()) if self._standing else await self._found()
            drafts, after = _chained(standing, [*gap, *entries])
            count = Count.of(after.key, after.number, after.chain)
            rows = [Row(a.COUNT, self.stream, "kept", msgspec.json.encode(count))]
            expects = [Expect(a.COUNT, self.stream, version=standing.version)]
            try:
                committed = await self._store.commit(self.stream, drafts, rows=rows, expects=expects)
            except StateConflict:  # another writer was first
                self._standing = None
                continue
            except BaseException:  # the entries may have been written nevertheless
                self._standing = None
                raise
            self._standing = replace(after, version=committed.version)
            return committed.last - len(entries) + 1

    async def _found(self) -> tuple[_Standing, Sequence[Timed]]:
        """Return where the chain continues. If entries are missing, there is an entry that says so."""
        while True:
            version, count = await self._count()
            (key, is_new), head = await self._key(), await self._store.head(self.stream)
            number, chain = head.head if head else 0, ""
            if head and number >= head.earliest:
                chain = await self._chain(Position(head.epoch, number - 1))
            if (await self._count())[0] == version:  # no other hub has written an entry meanwhile
                break
        key = a.key_for(key, self.stream)
        standing = _Standing(key, number, chain, version)
        wrong = a.KEY_LOST if is_new and number else _difference(key, count, number, chain)
        if not wrong:
            return standing, ()
        log.error("the audit is not as the hub left it", extra={"reason": wrong})
        return standing, [(AuditEntry(a.GAP, "found", detail=wrong), self._ids.now())]

    async def _chain(self, after: Position) -> str:
        """Return the chain of the entry after a position; empty if it is unreadable."""
        try:
            (record,) = await self._store.page(self.stream, after, 1)
            entry = record.event.payload
        except UNREADABLE:
            return ""
        return entry.chain if isinstance(entry, AuditEntry) else ""

    async def _count(self) -> tuple[int | None, Count | None]:
        """Return what was counted, with the version of its row: None if it is unreadable, 0 if there is
        none."""
        try:
            row = await self._store.get(a.COUNT, self.stream)
            return (row.version, msgspec.json.decode(row.doc, type=Count)) if row else (0, None)
        except UNREADABLE:
            return None, Count(0, "")

    async def _key(self) -> tuple[bytes, bool]:
        """Return the key of the chain, and whether it is new. If it is unreadable, or was not restored, the
        chain continues with a new one, so that the hub can be used; the next entry says so."""
        expects = [Expect.absent(*KEY)]
        try:
            if row := await self._store.get(*KEY):
                return bytes.fromhex(msgspec.json.decode(row.doc, type=AuditKey).key), False
        except UNREADABLE as error:
            log.error("the key of the audit is unreadable, and a new one is used", exc_info=error)
            expects = []
        key = random.token_bytes(KEY_BYTES)
        row = Row(*KEY, "kept", msgspec.json.encode(AuditKey(key.hex())))
        try:
            await self._store.commit(self.stream, [], rows=[row], expects=expects)
        except StateConflict:  # another node was first
            return await self._key()
        return key, True


def _chained(standing: _Standing, entries: Sequence[Timed]) -> tuple[list[Draft], _Standing]:
    """Return what is to be committed, and where the chain is then."""
    number, chain, drafts = standing.number, standing.chain, []
    for entry, at in entries:
        number += 1
        chain = a.chain_of(standing.key, chain, number, at, entry)
        drafts.append(Draft(replace(entry, chain=chain), at=at))
    return drafts, _Standing(standing.key, number, chain, None)


def _difference(key: bytes, count: Count | None, number: int, chain: str) -> str:
    """Return how the last entry differs from what was counted; empty if it does not."""
    if count is None:
        return f"the count of the {number} entries is missing" if number else ""
    if not count.is_genuine(key):
        return "the count of the entries was changed"
    if count.number > number:
        return f"the entries {number + 1} to {count.number} are missing"
    if (count.number, count.chain) != (number, chain):
        return f"the last entry is not the one that was counted, number {count.number}"
    return ""
