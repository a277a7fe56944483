"""Errors of sealed content and of its keys."""

from __future__ import annotations

from typing import Any

from .base import STORE_REFUSES, RhetorError


class KeysUnavailable(RhetorError):
    """The keys of sealed content cannot be read; `detail` says what to do. Nothing was changed."""

    code, status, rpc = "keys_unavailable", 503, STORE_REFUSES


class SealBroken(RhetorError):
    """A sealed value was changed, belongs to another place, or has a key that is missing."""

    code, status, rpc = "seal_broken", 503, STORE_REFUSES
    hint = "run rhetor check; if the value is lost, restore a backup"

    def __init__(self, detail: str = "a sealed value was changed, or belongs elsewhere", **data: Any) -> None:
        super().__init__(detail, **data)
