"""What can go wrong at the hub, on the way to it, or in a turn: one class for each thing to be done about it.

They mirror the hub's codes (docs/reference/rest.md, Errors); a code without a class of its own has that of
its HTTP status, or `HubError` itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HubError(Exception):
    """The root. `code` is the hub's; `retryable`: the same may succeed later; `data`: the members of the
    error besides these; `status`: of HTTP, 0 where it did not come over HTTP."""

    codes: tuple[str, ...] = ()

    def __init__(
        self,
        detail: str,
        code: str = "",
        *,
        status: int = 0,
        retryable: bool = False,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or next(iter(self.codes), "internal")
        self.status = status
        self.retryable = retryable
        self.data = dict(data or {})


class HubUnreachable(HubError):
    """There is no hub, it does not start, or it did not come back within `patience` seconds."""

    codes = ("unreachable",)


class Denied(HubError):
    """A wrong token, or what only a person (the owner) may do."""

    codes = ("unauthenticated", "forbidden", "misdirected")


class UnknownPeer(HubError):
    """No peer, capability or team is called so."""

    codes = ("unknown_peer", "no_capable_peer", "unknown_team")


class NotFound(HubError):
    """There is no such session, plan or request; or it is somebody else's."""

    codes = ("not_found",)


class SessionOver(HubError):
    """The session was stopped or has expired: it can be read, and takes no message."""

    codes = ("session_over",)


class NameTaken(HubError):
    codes = ("name_taken",)


class PeerBusy(HubError):
    """With `if_busy="refuse"`: a turn runs."""

    codes = ("peer_busy",)


class Conflict(HubError):
    """Somebody else was first: a request or a tool call was answered, or its turn is over."""

    codes = ("conflict", "key_reused")


class Invalid(HubError):
    """The request makes no sense, is too large, or cannot be read."""

    codes = (
        "malformed",
        "unprocessable",
        "too_large",
        "malformed_cursor",
        "hop_limit",
        "head_too_large",
        "unsupported_media",
        "program_missing",
        "program_refused",
        "not_running",
        "no_terminal",
    )


class TooMuch(HubError):
    """More at once, or a second, than the hub takes from one client."""

    codes = ("rate_exceeded", "too_many_at_once", "too_many_invalid")


class HubRefuses(HubError):
    """The hub cannot take it now (its disk is full, it ends). Nothing was stored."""

    codes = (
        "store_refused",
        "shutting_down",
        "store_damaged",
        "request_timeout",
        "too_slow",
        "environment_differs",
    )


class PositionLost(HubError):
    """A cursor is not part of the log any more: begin again from the session's messages, or without a cursor.

    `outcome` is the class in words; `epoch`, `head` and `earliest`: where the log is now.
    """

    codes = ("position_lost",)
    outcome = "gone"

    def __init__(self, detail: str, data: Mapping[str, Any]) -> None:
        super().__init__(detail, "position_lost", status=410, data=data)
        self.outcome = str(data.get("outcome", self.outcome))
        self.epoch = str(data.get("epoch", ""))
        self.head = int(data.get("head", 0))
        self.earliest = int(data.get("earliest", 0))


class Truncated(PositionLost):
    """Events behind the cursor are no longer kept; the log begins at `earliest`."""

    outcome = "truncated"


class EpochChanged(PositionLost):
    """The session was restored, or its log was salvaged: this is another incarnation of it."""

    outcome = "epoch_changed"


class Ahead(PositionLost):
    """The cursor is behind the end of the log: the hub's store came back older."""

    outcome = "ahead"


class TurnFailed(HubError):
    """A turn ended without its answer; `partial` is what it had said. Its message is not sent again by
    itself."""

    codes = ("turn_failed",)

    def __init__(self, detail: str, code: str, *, partial: str = "", **more: Any) -> None:
        super().__init__(detail, code, **more)
        self.partial = partial


class TurnCancelled(TurnFailed):
    codes = ("cancelled",)


class TurnInterrupted(TurnFailed):
    """Somebody interrupted it, or the hub ended while it ran."""

    codes = ("interrupted",)


def _leaves(kind: type[HubError]) -> dict[str, type[HubError]]:
    found = dict.fromkeys(kind.codes, kind)
    for inner in kind.__subclasses__():
        found |= {} if issubclass(inner, PositionLost | TurnFailed) else _leaves(inner)
    return found


_OF_CODE = _leaves(HubError)
_OF_OUTCOME: dict[str, type[PositionLost]] = {kind.outcome: kind for kind in (Truncated, EpochChanged, Ahead)}
_OF_STATUS = {
    **dict.fromkeys((400, 413, 415, 422, 431), Invalid),
    **dict.fromkeys((401, 403, 421), Denied),
    **dict.fromkeys((408, 503), HubRefuses),
    404: NotFound,
    409: Conflict,
    429: TooMuch,
}
_SAID = ("type", "title", "status", "detail", "code", "retryable")


def error_of(problem: Mapping[str, Any], status: int = 0) -> HubError:
    """The error that a problem of the hub says."""
    code, detail = str(problem.get("code", "")), str(problem.get("detail", f"the hub answered {status}"))
    data = {name: value for name, value in problem.items() if name not in _SAID}
    if code == "position_lost":
        return position_lost(data)
    kind = _OF_CODE.get(code) or _OF_STATUS.get(status, HubError)
    retryable = problem.get("retryable") is True
    return kind(detail, code, status=status, retryable=retryable, data=data)


def position_lost(data: Mapping[str, Any]) -> PositionLost:
    """What the answer to a subscription says where its `outcome` is not ok."""
    kind = _OF_OUTCOME.get(str(data.get("outcome")), PositionLost)
    return kind(f"the position cannot be resumed: {data.get('outcome')}", data)
