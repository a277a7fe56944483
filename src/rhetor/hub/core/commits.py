"""Commits of what has already happened, which are retried until the store accepts them, and command keys."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import (
    AnswerPermission,
    AnswerTool,
    MakeTeam,
    OpenSocket,
    Principal,
    SendMessage,
    StartPlan,
    StartSession,
)
from rhetor.errors import StateConflict, StoreRefused
from rhetor.store.base import Committed, Draft, Expect, Key, Row, SourceOffset, Store

Keyed = SendMessage | StartSession | StartPlan | AnswerTool | AnswerPermission | OpenSocket | MakeTeam

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
T = TypeVar("T")
log = logging.getLogger(__name__)


async def commit_until_accepted(
    store: Store,
    stream: str,
    drafts: Sequence[Draft],
    rows: Sequence[Row] = (),
    sources: Sequence[SourceOffset] = (),
    expects: Sequence[Expect] = (),
) -> Committed:
    """Commit; retry for as long as the store refuses.

    The caller reads nothing more from its peer meanwhile, so a store that stalls stops the reading of pipes
    and sockets, and nothing is dropped.

    Raises:
        StateConflict: one of `expects` does not hold.
    """
    return await until_accepted(
        lambda: store.commit(stream, drafts, expects=expects, rows=rows, sources=sources), stream
    )


async def until_accepted(attempt: Callable[[], Awaitable[T]], stream: str) -> T:
    """What `attempt` returns, once the store does not refuse it any more. It may read as well as commit."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except StoreRefused as refusal:
            log.warning("store refused", extra={"stream": stream, "why": refusal.detail})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


async def until_unchanged(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns, once nobody changes a row between its read and its commit.

    `attempt` reads what it changes anew each time. Every conflict means that another writer succeeded.
    """
    while True:
        try:
            return await attempt()
        except StateConflict:
            continue


def command_key(principal: Principal, command: Keyed, result: Any) -> Key | None:
    """The idempotency key that stores the command's `result`; None if the command has no `command_id`."""
    if command.command_id is None:
        return None
    body = msgspec.json.encode([type(command).__name__, replace(command, command_id=None)])
    digest = hashlib.sha256(body).hexdigest()
    return Key(principal.subject, command.command_id, digest, msgspec.json.encode(result))
