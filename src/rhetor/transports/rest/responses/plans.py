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


class PreviewedStep(Struct):
    """A step of a line. `peer`: who would answer now; null for a team, and if nobody would. `members`: of the
    team, each of which answers as the step `STEP.MEMBER`. `label`: the target as it is written. `start`,
    `length`: of the step in the line, in characters."""

    step: str
    peer: str | None
    kind: Literal["peer", "capability", "team", "shell"]
    label: str
    members: list[str]
    depends_on: list[str]
    start: int
    length: int


class LineProblem(Struct):
    """What is wrong at a place of a line. `hint`: what to do; may be empty."""

    start: int
    length: int
    detail: str
    hint: str


class LinePreview(Struct):
    """What a line would do. Without problems, it can run."""

    steps: list[PreviewedStep]
    problems: list[LineProblem]


class LineCandidate(Struct):
    text: str
    kind: Literal["peer", "capability", "team", "session", "model", "option", "operator"]
    detail: str


class LineCompletion(Struct):
    """What can replace the characters of the line from `start` to `end`."""

    start: int
    end: int
    candidates: list[LineCandidate]


class Result(Struct):
    status: Literal["success", "failed", "skipped"]
    response: str | None
    ai: str | None
    execution_time: float


class Results(Struct):
    results: dict[str, Result]
