"""Appending what has already happened: it cannot be refused, so it waits until the store takes it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

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
from rhetor.errors import StoreRefused
from rhetor.store.base import Committed, Draft, Expect, Key, Row, SourceOffset, Store

Keyed = SendMessage | StartSession | StartPlan | AnswerTool | AnswerPermission | OpenSocket | MakeTeam

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
log = logging.getLogger(__name__)


async def commit_until_accepted(
    store: Store,
    stream: str,
    drafts: Sequence[Draft],
    rows: Sequence[Row] = (),
    sources: Sequence[SourceOffset] = (),
    expects: Sequence[Expect] = (),
) -> Committed:
    """Commit, again and again while the store refuses. Who waits here reads nothing more from its peer, so
    a store that stalls stops the reading of pipes and sockets, and nothing is dropped."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await store.commit(stream, drafts, expects=expects, rows=rows, sources=sources)
        except StoreRefused as refusal:
            log.warning("append refused", extra={"stream": stream, "why": refusal.detail})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


def command_key(principal: Principal, command: Keyed, result: Any) -> Key | None:
    """The key under which the command's `result` is kept; None where the caller gave no `command_id`."""
    if command.command_id is None:
        return None
    body = msgspec.json.encode([type(command).__name__, replace(command, command_id=None)])
    digest = hashlib.sha256(body).hexdigest()
    return Key(principal.subject, command.command_id, digest, msgspec.json.encode(result))
