"""The exceptions of the client, one class for each reaction that a program can have.

They mirror the hub's error codes (docs/reference/rest.md, Errors). A code without a class of its own has the
class of its HTTP status, or `HubError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HubError(Exception):
    """The base class.

    `code` is the hub's error code. `retryable` means that the same call may succeed later. `data` has the
    other members of the error. `status` is the HTTP status, or 0 if the error did not come over HTTP.
    """

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

    @property
    def hint(self) -> str:
        """What to do next, if the hub says it and `detail` does not."""
        return str(self.data.get("hint") or "")

    def __str__(self) -> str:
        return f"{self.detail}; {self.hint}" if self.hint and self.hint not in self.detail else self.detail


class HubUnreachable(HubError):
    """No hub is running, it does not start, or it did not come back within `reconnect_timeout` seconds."""

    codes = ("unreachable",)


def unreachable(error: Exception, *, retryable: bool = False) -> HubUnreachable:
    """Return the exception for a connection that could not be opened, with the reason that the system has."""
    reason = getattr(getattr(error, "os_error", error), "strerror", "") or str(error) or type(error).__name__
    return HubUnreachable(f"cannot reach the hub: {reason}", retryable=retryable)


class Denied(HubError):
    """The token is invalid or has expired, or the caller may not do this."""

    codes = ("unauthenticated", "login_expired", "invalid_grant", "forbidden", "misdirected")


class UnknownPeer(HubError):
    """No peer, capability or team has this name."""

    codes = ("unknown_peer", "no_capable_peer", "unknown_team")


class NotFound(HubError):
    """There is no such session, plan or request, or it belongs to someone else."""

    codes = ("not_found",)


class SessionOver(HubError):
    """The session was stopped or has expired. It can be read, but accepts no message."""

    codes = ("session_over",)


class NameTaken(HubError):
    """Another session already has this name."""

    codes = ("name_taken",)


class PeerBusy(HubError):
    """A turn is running, and the message was sent with `if_busy="refuse"`."""

    codes = ("peer_busy",)


class MachineOffline(HubError):
    """The peer's machine is not connected, and the message was sent with `if_offline="refuse"`."""

    codes = ("machine_offline",)


class Conflict(HubError):
    """The request or tool call was answered already, or its turn has ended."""

    codes = ("conflict", "key_reused")


class Invalid(HubError):
    """The request is invalid or too large."""

    codes = (
        "malformed",
        "method_not_allowed",
        "unprocessable",
        "too_large",
        "too_many_values",
        "malformed_cursor",
        "hop_limit",
        "fanout_limit",
        "head_too_large",
        "unsupported_media",
        "program_missing",
        "program_refused",
        "not_running",
        "no_terminal",
    )


class LimitExceeded(HubError):
    """The client exceeded a limit, for example of requests per second, or of turns at once.
    If a retry may succeed, `data["retry_after"]` has the seconds to wait."""

    codes = (
        "rate_exceeded",
        "bytes_exceeded",
        "too_many_turns",
        "tokens_exceeded",
        "too_many_at_once",
        "too_many_invalid",
        "too_many_tokens",
    )


class Unavailable(HubError):
    """The hub cannot do what was requested now: its disk is full, it is shutting down, or a download has
    failed. Nothing was stored."""

    codes = (
        "answer_timeout",
        "store_refused",
        "shutting_down",
        "store_damaged",
        "keys_unavailable",
        "issuer_unavailable",
        "seal_broken",
        "request_timeout",
        "too_slow",
        "environment_differs",
        "download_failed",
    )


class PositionLost(HubError):
    """The cursor is no longer in the log. Start again from the session's messages, or without a cursor.

    `outcome` says why, in one word. `epoch`, `head` and `earliest` describe the log as it is now.
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
    """Events after the cursor were removed from the log, which now begins at `earliest`."""

    outcome = "truncated"


class EpochChanged(PositionLost):
    """The session was restored, or its log was salvaged, so it has a new epoch."""

    outcome = "epoch_changed"


class Ahead(PositionLost):
    """The cursor is after the end of the log, because an older store was restored."""

    outcome = "ahead"


class TurnFailed(HubError):
    """The turn ended without an answer. `partial` is the text that had arrived. The message is not sent
    again."""

    codes = ("turn_failed",)

    def __init__(self, detail: str, code: str, *, partial: str = "", **more: Any) -> None:
        super().__init__(detail, code, **more)
        self.partial = partial


class TurnCancelled(TurnFailed):
    """The turn was cancelled."""

    codes = ("cancelled",)


class TurnInterrupted(TurnFailed):
    """The turn was interrupted, or the hub stopped while it ran."""

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
    **dict.fromkeys((408, 503), Unavailable),
    404: NotFound,
    409: Conflict,
    429: LimitExceeded,
}
_KNOWN_MEMBERS = ("type", "title", "status", "detail", "code", "retryable")


def error_of(problem: Mapping[str, Any], status: int = 0) -> HubError:
    """Return the exception for a problem that the hub reports."""
    code, detail = (
        str(problem.get("code", "")),
        str(problem.get("detail", f"the hub answered with status {status}")),
    )
    data = {name: value for name, value in problem.items() if name not in _KNOWN_MEMBERS}
    if code == "position_lost":
        return position_lost(data)
    kind = _OF_CODE.get(code) or _OF_STATUS.get(status, HubError)
    retryable = problem.get("retryable") is True
    return kind(detail, code, status=status, retryable=retryable, data=data)


def position_lost(data: Mapping[str, Any]) -> PositionLost:
    """Return the exception for a reply to a subscription whose `outcome` is not ok."""
    kind = _OF_OUTCOME.get(str(data.get("outcome")), PositionLost)
    return kind(f"cannot resume from the cursor: {data.get('outcome')}", data)
