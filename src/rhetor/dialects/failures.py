"""The end of a turn that was not completed, as an error."""

from __future__ import annotations

from typing import Any

from rhetor.domain.event import TurnCancelled, TurnEnd, TurnFailed
from rhetor.errors import RhetorError, TurnFailure


def _statuses(kind: type[RhetorError]) -> dict[str, int]:
    found = {kind.code: kind.status}
    for inner in kind.__subclasses__():
        found |= _statuses(inner)
    return found


# a failed turn has the code of its cause, and therefore its status
_STATUS_OF = _statuses(RhetorError)


def failure_of(end: TurnEnd, **data: Any) -> TurnFailure:
    """Return the error for the end of a turn that was not completed, with this data besides its own."""
    match end:
        case TurnFailed():
            failure = TurnFailure(end.detail, retryable=end.retryable, **{**end.data, **data})
            failure.code = end.code  # the code of what happened, which is more precise than the class
            failure.status = _STATUS_OF.get(end.code, TurnFailure.status)
            return failure
        case TurnCancelled():
            failure = TurnFailure(f"cancelled by {end.by}", retryable=True, **data)
        case _:
            failure = TurnFailure(getattr(end, "reason", ""), retryable=True, **data)
    failure.code = end.type.removeprefix("turn.")
    return failure
