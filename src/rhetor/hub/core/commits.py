"""Commits that are retried until the store accepts them, and the idempotency keys of commands."""

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
    SendMessage,
    StartPlan,
    StartSession,
)
from rhetor.domain.principal import Principal
from rhetor.errors import StateConflict, StoreRefused
from rhetor.store.base import Addition, Committed, Draft, Expect, Key, Row, SourceOffset, Store

KeyedCommand = SendMessage | StartSession | StartPlan | AnswerTool | AnswerPermission | OpenSocket | MakeTeam

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
    adds: Sequence[Addition] = (),
) -> Committed:
    """Commit, and retry while the store rejects the commit.

    Use it for events that have already happened. The caller reads nothing from its peer while it waits, so a
    store that stalls applies back pressure to pipes and sockets, and no output is lost.

    Raises:
        StateConflict: a row no longer meets a condition in `expects`.
    """
    return await until_accepted(
        lambda: store.commit(stream, drafts, expects=expects, rows=rows, adds=adds, sources=sources), stream
    )


async def until_accepted(
    attempt: Callable[[], Awaitable[T]], stream: str, gives_up: Callable[[], bool] = lambda: False
) -> T:
    """Call `attempt` until it does not raise `StoreRefused`, and return its result.

    The pause between calls doubles from `FIRST_PAUSE` to `LONGEST_PAUSE` seconds. `attempt` may read as well
    as commit.

    Raises:
        StoreRefused: `gives_up` returned True after a refusal.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except StoreRefused as refusal:
            if gives_up():
                raise
            log.warning(
                "store rejected a request; retrying", extra={"stream": stream, "reason": refusal.detail}
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


async def until_unchanged(attempt: Callable[[], Awaitable[T]]) -> T:
    """Call `attempt` until it does not raise `StateConflict`, and return its result.

    `attempt` must read the rows that it changes again on each call. Each conflict means that another writer
    succeeded, so there is always progress.
    """
    while True:
        try:
            return await attempt()
        except StateConflict:
            continue


def command_key(principal: Principal, command: KeyedCommand, result: Any) -> Key | None:
    """Return the idempotency key that stores the command's `result`; None if there is no `command_id`."""
    if command.command_id is None:
        return None
    return Key(principal.subject, command.command_id, fingerprint(command), msgspec.json.encode(result))


def fingerprint(command: KeyedCommand) -> str:
    """Return the digest by which a command that is sent again is known to be the same."""
    body = msgspec.json.encode([type(command).__name__, replace(command, command_id=None)])
    return hashlib.sha256(body).hexdigest()
