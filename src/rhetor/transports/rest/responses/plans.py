"""Plans and bulk requests."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .common import Cursor


class Plan(Struct):
    id: str
    status: str
    steps: list[dict[str, Any]]
    head: int | None
    cursor: Cursor | None


class PlanStarted(Struct):
    """A started plan. Its events follow `cursor`."""

    plan_id: str
    cursor: Cursor


class PlanStopped(Struct):
    id: str
    status: str


class Result(Struct):
    status: Literal["success", "failed", "skipped"]
    response: str | None
    ai: str | None
    execution_time: float


class Results(Struct):
    results: dict[str, Result]
