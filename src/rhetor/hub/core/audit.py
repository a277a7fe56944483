"""Writes the audit. What is written before an action is durable before the action is executed.

Entries that arrive while others are being written are committed together. The entry for a refusal is written
in the background, after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from rhetor.domain import audit as a
from rhetor.domain.audit import AuditEntry
from rhetor.domain.event import Position
from rhetor.domain.principal import Principal
from rhetor.domain.secrets import Secrets
from rhetor.errors import Forbidden, RhetorError
from rhetor.store.base import Record, Store

from .audit_chain import AuditChain
from .background import Background
from .commits import until_accepted
from .ids import Ids
from .refusals import RefusalLimit

MOST_NODES = 1_000
MOST_AT_ONCE = 256
log = logging.getLogger(__name__)


class Action(msgspec.Struct):
    """An action that is being executed. `detail`: for the entry about its end."""

    detail: str = ""


class _Waiting(msgspec.Struct):
    """An entry that is to be written. `number`: of the entry, when it is durable."""

    entry: AuditEntry
    at: int
    number: asyncio.Future[int]


@dataclass(slots=True, eq=False, repr=False)
class Audit:
    """The audit of one hub. `node`: its name, if it shares its database with others."""

    store: Store
    background: Background
    ids: Ids
    secrets: Secrets
    node: str = ""
    _chain: AuditChain = field(init=False)
    _waiting: list[_Waiting] = field(default_factory=list)
    _writing: asyncio.Task[None] | None = None
    _strangers: RefusalLimit = field(default_factory=RefusalLimit)
    _callers: RefusalLimit = field(default_factory=RefusalLimit)

    def __post_init__(self) -> None:
        self._chain = AuditChain(self.store, self.ids, self.stream)

    @asynccontextmanager
    async def action(
        self, who: Principal, action: str, target: str = "", detail: str = "", *, api: str = ""
    ) -> AsyncIterator[Action]:
        """Write an entry, then let the caller execute the action, then write how it ended.

        Raises:
            StoreRefused: the entry cannot be written, so the action must not be executed.
        """
        begun = self._entry(who, action, a.BEGUN, target, detail, api)
        number = await self._write(begun)
        acting = Action()
        try:
            yield acting
        except asyncio.CancelledError:
            end = self._end(begun, number, a.CANCELLED, acting)
            self.background.start(self._write_end(end), f"audit {number}")
            raise
        except BaseException as error:  # whatever it is, the action has ended
            if isinstance(error, Forbidden):
                error.is_noted = True
            code = error.code if isinstance(error, RhetorError) else RhetorError.code
            await self._write_end(self._end(begun, number, code, acting))
            raise
        await self._write_end(self._end(begun, number, a.DONE, acting))

    async def note(
        self,
        who: Principal,
        action: str,
        target: str = "",
        detail: str = "",
        *,
        api: str = "",
        outcome: str = a.DONE,
    ) -> None:
        """Write an entry about something that needs no second one.

        Raises:
            StoreRefused: it cannot be written.
        """
        await self._write(self._entry(who, action, outcome, target, detail, api))

    def refused(
        self, who: Principal, action: str, error: RhetorError, target: str = "", *, api: str = ""
    ) -> None:
        """Write an entry for a refusal in the background, unless the caller has had many. `who` has no
        subject if the caller is unknown."""
        if isinstance(error, Forbidden):
            error.is_noted = True
        now = asyncio.get_running_loop().time()
        limit, name = (self._callers, who.subject) if who.subject else (self._strangers, host_of(who.address))
        if limit.admits(name, now):
            entry = self._entry(who, action, error.code, target, "", api)
            self.background.start(self._write_end(entry), "audit of a refusal")

    async def sum_up(self, *, is_last: bool = False) -> None:
        """Write how many refusals have no entries of their own, once an hour or if it is the last time."""
        now = None if is_last else asyncio.get_running_loop().time()
        for limit, whose in ((self._strangers, "unknown callers"), (self._callers, "known callers")):
            if count := limit.left_out(now):
                detail = f"{count} more of {whose}, without entries of their own"
                await self._write_end(AuditEntry("refusals", "refused", detail=detail))

    async def begin(self, who: Principal, detail: str) -> None:
        """Write that the hub has started, so that actions without an end have an unknown outcome."""
        await until_accepted(lambda: self.note(who, a.STARTED, detail=detail), self.stream)

    @property
    def stream(self) -> str:
        """The stream of this hub's entries."""
        return a.stream_of(self.node)

    async def nodes(self) -> list[str]:
        """Return the names of the nodes that have entries; one is empty if a hub alone has written some."""
        rows = await self.store.find(a.COUNT, limit=MOST_NODES)
        return sorted(a.node_of(row.id) for row in rows)

    async def last(self, limit: int) -> Sequence[Record]:
        """Return the last entries of all nodes, in the order of their times."""
        pages = [await self.page(node=node, limit=limit) for node in await self.nodes()]
        found = sorted((record for page in pages for record in page), key=lambda record: record.at)
        return found[-limit:]

    async def page(
        self, *, node: str | None = None, after: int | None = None, before: int | None = None, limit: int
    ) -> Sequence[Record]:
        """Return up to `limit` entries of a node, this one by default, in their order: those after a number,
        or the last ones, or the last ones before a number."""
        stream = self.stream if node is None else a.stream_of(node)
        head = await self.store.head(stream)
        if head is None:
            return []
        end = head.head + 1 if before is None else min(before, head.head + 1)
        if after is None:
            after = max(end - limit - 1, head.earliest - 1)
        limit = min(limit, end - after - 1)
        if limit <= 0:
            return []
        return await self.store.page(stream, Position(head.epoch, max(after, head.earliest - 1)), limit)

    def _entry(
        self, who: Principal, action: str, outcome: str, target: str, detail: str, api: str
    ) -> AuditEntry:
        return AuditEntry(
            action,
            outcome,
            self._text(who.subject),
            self._text(who.credential),
            self._text(who.address),
            api,
            self._text(target),
            self._text(detail),
        )

    def _end(self, begun: AuditEntry, number: int, outcome: str, acting: Action) -> AuditEntry:
        detail = self._text(acting.detail)
        return AuditEntry(begun.action, outcome, begun.subject, target=begun.target, detail=detail, of=number)

    def _text(self, text: str) -> str:
        """Return a text as it is stored, without secrets."""
        return a.shortened(self.secrets.mask(text))

    async def _write_end(self, entry: AuditEntry) -> None:
        """Write an entry after what it describes, which nothing can undo."""
        try:
            await self._write(entry)
        except RhetorError as error:
            log.error("writing the audit failed", extra={"action": entry.action, "reason": error.detail})

    async def _write(self, entry: AuditEntry) -> int:
        """Return the number of the entry when it is durable."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(entry, self.ids.now(), loop.create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = self.background.start(self._write_all(), "audit")
        try:
            return await waiting.number
        finally:
            del waiting  # a failure refers to this frame

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._write_batch(batch)
        finally:
            self._writing = None

    async def _write_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            first = await self._chain.append([(each.entry, each.at) for each in batch])
        except Exception as error:  # noqa: BLE001  # each caller gets it, whatever it is
            for each in batch:
                if not each.number.done():
                    each.number.set_exception(error)
        else:
            for number, each in enumerate(batch, start=first):
                if not each.number.done():
                    each.number.set_result(number)


def host_of(address: str) -> str:
    """Return an address without the port, which each connection can choose."""
    return address.rpartition(":")[0] or address
