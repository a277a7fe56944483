"""Decodes the `result` that ends a turn of Claude Code: its failure, finish reason, usage and cost.

Observed (2.1.197): `usage` is for the turn, but `total_cost_usd` is for the process, and starts at 0 even
after `--resume`. A provider's error is a `success` with `is_error`, an interrupted turn an
`error_during_execution`."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from rhetor.domain.output import Usage
from rhetor.drivers.agents.failures import Interrupted, failed, refused
from rhetor.drivers.agents.records import count, table, text
from rhetor.errors import TurnFailure

AGENT = "claude-code"
_MAX_USD = 1e9
_FINISH = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "content_filter"}
_NO_CONNECTION = re.compile(r"connect|network|socket|timed out|terminated", re.IGNORECASE)


def failure_of(
    result: dict[str, Any], was_stopped: bool, model: str | None, resets_at: float | None = None
) -> TurnFailure | None:
    """Return the failure of the turn, or None if it has an answer. `was_stopped`: we interrupted it.
    `resets_at`: when the usage limit that was reached in this turn resets, if one was (Unix time)."""
    kind, said = text(result, "subtype"), text(result, "result")
    if kind == "success":
        return _refusal(result, said, model, resets_at) if result.get("is_error") is True else None
    if was_stopped or text(result, "terminal_reason").startswith("aborted"):
        return Interrupted(AGENT)
    errors = result.get("errors")
    told = [str(error) for error in errors] if isinstance(errors, list) else []
    return failed(AGENT, "; ".join(told) or said or kind)


def finish_reason_of(result: dict[str, Any]) -> str:
    return _FINISH.get(text(result, "stop_reason"), "stop")


def usage_of(result: dict[str, Any], memory: dict[str, Any]) -> list[Usage]:
    """Return the tokens and the cost of the turn; empty if no model was called. Updates `memory["spent"]`,
    the cost of the process so far in USD."""
    usage = table(result, "usage")
    cached = count(usage, "cache_read_input_tokens")
    given = count(usage, "input_tokens") + count(usage, "cache_creation_input_tokens") + cached
    said, cost = count(usage, "output_tokens"), _cost(result.get("total_cost_usd"), memory)
    if not (given or said or cost not in (None, "0")):
        return []
    return [Usage(memory.get("model"), given, said, cached, cost)]


def reset_of(event: dict[str, Any]) -> float | None:
    """Return when the limit resets that a `rate_limit_event`, or the `api_error_params` of an `assistant`
    line, reports (Unix time); None if it was not reached.

    Claude Code reports the limits of a plan in this way (observed: 2.1.332): `allowed` and `allowed_warning`
    are information, and a call that is `rejected` fails."""
    info = table(event, "rate_limit_info")  # the same in both
    at = info.get("resetsAt")
    is_reached = text(info, "status") == "rejected" and info.get("isUsingOverage") is not True
    is_time = isinstance(at, int | float) and not isinstance(at, bool)
    return float(at) if is_reached and is_time and at is not None else None


def is_limit(assistant: dict[str, Any]) -> bool:
    """Return whether an `assistant` line only says that a usage limit was reached: no model wrote it."""
    return text(assistant, "error") == "rate_limit"


def _refusal(result: dict[str, Any], said: str, model: str | None, resets_at: float | None) -> TurnFailure:
    status = result.get("api_error_status")
    if resets_at is not None and status in (None, 429):
        return refused(AGENT, said, 429, model, resets_at)
    if type(status) is int:
        return refused(AGENT, said, status, model)
    return refused(AGENT, said, None, model) if _NO_CONNECTION.search(said) else failed(AGENT, said)


def _cost(total: Any, memory: dict[str, Any]) -> str | None:
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 <= total < _MAX_USD:
        return None
    now, before = _usd(total), _usd(memory.get("spent", 0))
    memory["spent"] = f"{now:f}"
    # a smaller total has started from 0 again
    return f"{(now - before if now >= before else now).normalize():f}"


def _usd(amount: Any) -> Decimal:
    """Return the amount, rounded to a millionth of a cent: sums of floats have meaningless last digits."""
    try:
        return round(Decimal(str(amount)), 8)
    except InvalidOperation:
        return Decimal(0)
