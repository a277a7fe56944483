"""How a turn of Codex came to nothing, from its `turn/completed` (seen: app-server 0.169)."""

from __future__ import annotations

from typing import Any

from rhetor.drivers.agents.failures import Interrupted, failed, refused
from rhetor.drivers.agents.records import count, table, text
from rhetor.errors import TurnFailure

AGENT = "codex"

# its word for a provider's error → the HTTP status that says the same; None: there was no answer
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
    "usageLimitExceeded": 402,
    "sessionBudgetExceeded": 402,
    "httpConnectionFailed": None,
    "responseStreamConnectionFailed": None,
    "responseStreamDisconnected": None,
    "responseTooManyFailedAttempts": None,
}


def failure_of(turn: dict[str, Any], model: str | None) -> TurnFailure | None:
    """Why a turn has no answer, None where it has one."""
    status = text(turn, "status")
    if status == "completed":
        return None
    if status == "interrupted":
        return Interrupted(AGENT)
    error = table(turn, "error")
    said = text(error, "message")
    kind, http = _kind(error.get("codexErrorInfo"))
    if kind in _STATUS:
        return refused(AGENT, said, http or _STATUS[kind], model)
    # the word is "other", but this is the one that passes
    return refused(AGENT, said, None, model) if "disconnected" in said else failed(AGENT, said)


def not_started(said: str) -> TurnFailure:
    """The failure where Codex did not take the conversation, or the message."""
    return failed(AGENT, said)


def _kind(info: Any) -> tuple[str, int | None]:
    """A word, or an object whose one key is the word and that may have an HTTP status."""
    if isinstance(info, str):
        return info, None
    word = next(iter(info), "") if isinstance(info, dict) else ""
    return word, count(table(info, word), "httpStatusCode") or None
