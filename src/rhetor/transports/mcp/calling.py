"""A call of one of the hub's tools: from its arguments to its result, or its error in words."""

from __future__ import annotations

import logging
from typing import Any

from rhetor.errors import RhetorError

from .arguments import decoded
from .caller import API, McpCaller, Outcome
from .tools import BY_NAME

log = logging.getLogger(__name__)


async def called(caller: McpCaller, name: str, arguments: dict[str, Any] | None) -> Outcome:
    """Run a tool that exists. Every failure is a result, so that the model sees it."""
    tool = BY_NAME[name]
    try:
        caller.node.charge(caller.who, API)
        outcome: Outcome = await tool.run(caller, decoded(tool.arguments, arguments))
    except RhetorError as error:
        return _failure(caller, error)
    except Exception as error:  # a bug of the hub, of which the client sees no more than that
        log.error("MCP request failed", exc_info=error, extra={"what": name})
        return _failure(caller, RhetorError("internal error; the hub's log has the details"))
    return outcome


def _failure(caller: McpCaller, error: RhetorError) -> Outcome:
    """Return an error as the result of a tool: in words, and with its code."""
    caller.node.tally.fault(API, error.code)
    known = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
    return Outcome(_worded(error), {**error.data, **known}, is_error=True)


def _worded(error: RhetorError) -> str:
    hint = error.data.get("hint")
    return (
        f"{error.detail}; {hint}"
        if isinstance(hint, str) and hint and hint not in error.detail
        else error.detail
    )
