"""The audit."""

from __future__ import annotations

from msgspec import Struct

from .common import Time


class AuditEntry(Struct):
    """An entry. `outcome`: `begun` before an action is executed; its end has the number of that entry in
    `of`, and as outcome `done`, `cancelled` or the code of the error. `node`: which has numbered it; empty
    for a hub alone."""

    node: str
    number: int
    at: Time
    subject: str
    credential: str
    address: str
    api: str
    action: str
    target: str
    detail: str
    outcome: str
    of: int | None
    chain: str


class Audit(Struct):
    entries: list[AuditEntry]
