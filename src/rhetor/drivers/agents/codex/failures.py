"""Turns an error of Codex into a typed failure (observed: app-server 0.169, usage limits: 0.171)."""

from __future__ import annotations

from typing import Any

from rhetor.drivers.agents.failures import Interrupted, failed, refused
from rhetor.drivers.agents.records import count, table, text
from rhetor.errors import TurnFailure

AGENT = "codex"

# Codex's code for a provider's error → the equivalent HTTP status; None: there was no response
_STATUS: dict[str, int | None] = {
    "contextWindowExceeded": 413,
    "rateLimitExceeded": 429,
    "flexUnavailable": 429,
    "policyCapacityUnavailable": 429,
    "serverOverloaded": 529,
    "modelNotFound": 404,
    "internalServerError": 500,
    "unauthorized": 401,
    "badRequest": 400,
    "sessionBudgetExceeded": 402,
    "httpConnectionFailed": None,
    "responseStreamConnectionFailed": None,
    "responseStreamDisconnected": None,
    "responseTooManyFailedAttempts": None,
}


def failure_of(turn: dict[str, Any], model: str | None, resets_at: float | None = None) -> TurnFailure | None:
    """Return the failure of a turn, from its `turn/completed`, or None if the turn has an answer.
    `resets_at`: when the usage limits that are used up reset, if Codex has reported any (Unix time)."""
    status = text(turn, "status")
    if status == "completed":
        return None
    if status == "interrupted":
        return Interrupted(AGENT)
    error = table(turn, "error")
    said = text(error, "message")
    kind, http = _kind(error.get("codexErrorInfo"))
    if kind == "usageLimitExceeded":
        return refused(AGENT, said, 402, model, resets_at)
    if kind in _STATUS:
        return refused(AGENT, said, http or _STATUS[kind], model)
    # a lost connection has the code "other", but it can be retried
    return refused(AGENT, said, None, model) if "disconnected" in said else failed(AGENT, said)


def not_started(said: str) -> TurnFailure:
    """Return the failure if Codex has rejected the conversation or the message."""
    return failed(AGENT, said)


def reset_of(limits: dict[str, Any]) -> float | None:
    """Return when the usage limits that are used up reset (Unix time); None if none is. `limits`: from
    `account/rateLimits/updated`. The limits of two windows apply at the same time, so the later one counts.
    """
    windows = [table(limits, name) for name in ("primary", "secondary")]
    used_up = [
        w for w in windows if isinstance(w.get("usedPercent"), int | float) and w["usedPercent"] >= 100
    ]
    return max(
        (float(count(window, "resetsAt")) for window in used_up if count(window, "resetsAt")), default=None
    )


def _kind(info: Any) -> tuple[str, int | None]:
    """Return an error's code and HTTP status. `info` is the code, or an object whose only key is the code."""
    if isinstance(info, str):
        return info, None
    word = next(iter(info), "") if isinstance(info, dict) else ""
    return word, count(table(info, word), "httpStatusCode") or None
