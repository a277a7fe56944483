"""A memory store that fails as a test requires, like a store with a full disk or a locked database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rhetor.domain.event import Payload
from rhetor.errors import StoreRefused
from rhetor.store.base import Committed, Draft, Row
from rhetor.store.memory import MemoryStore

NOW = 1_700_000_000_000
Fault = Exception | type[Exception]


class RefusingStore(MemoryStore):
    """`faults`: the exceptions that the next calls of a method raise, in order. Only calls from tasks whose
    name begins with `tasks` are affected. `refused_payloads`: the same for commits with a payload of that
    type. `before_commit` is awaited before each commit."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: NOW)
        self.faults: dict[str, list[Fault]] = {}
        self.tasks = ""
        self.refused_payloads: dict[type[Payload], list[Fault]] = {}
        self.before_commit: Callable[[str, Sequence[Draft], Sequence[Row]], Any] | None = None

    async def commit(self, stream: str, drafts: Sequence[Draft], **more: Any) -> Committed:
        for draft in drafts:
            if faults := self.refused_payloads.get(type(draft.payload)):
                raise faults.pop(0)
        if self.before_commit is not None:
            await self.before_commit(stream, drafts, more.get("rows", ()))
        self._may("commit")
        return await super().commit(stream, drafts, **more)

    async def find(self, kind: str, **more: Any) -> Sequence[Row]:
        self._may(f"find {kind}")
        return await super().find(kind, **more)

    async def get(self, kind: str, id: str) -> Row | None:
        self._may(f"get {kind}")
        return await super().get(kind, id)

    async def page(self, *args: Any, **more: Any) -> Any:
        self._may("page")
        return await super().page(*args, **more)

    def _may(self, method: str) -> None:
        task = asyncio.current_task()
        named = task is not None and task.get_name().startswith(self.tasks)
        if named and (faults := self.faults.get(method)):
            raise faults.pop(0)


def refusals(count: int) -> list[Fault]:
    """Return the exceptions that a store raises for `count` calls while it cannot write."""
    return [StoreRefused("the disk is full") for _ in range(count)]
