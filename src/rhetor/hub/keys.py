"""Idempotency keys of commands."""

from __future__ import annotations

import hashlib
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
from rhetor.store.base import Key

Keyed = SendMessage | StartSession | StartPlan | AnswerTool | AnswerPermission | OpenSocket | MakeTeam


def command_key(principal: Principal, command: Keyed, result: Any) -> Key | None:
    """The key under which the command's `result` is kept; None where the caller gave no `command_id`."""
    if command.command_id is None:
        return None
    body = msgspec.json.encode([type(command).__name__, replace(command, command_id=None)])
    digest = hashlib.sha256(body).hexdigest()
    return Key(principal.subject, command.command_id, digest, msgspec.json.encode(result))
