"""Every failure that a caller can act on, named by its condition.

Each class declares once its `code`, its HTTP status, its JSON-RPC code and the code that closes a
WebSocket (None: the socket stays open). What went wrong is in `detail` (one sentence for a person) and
`data` (JSON values for a program). Only transports turn these into answers.
"""

from __future__ import annotations

from typing import Any, Self

INVALID_REQUEST, INVALID_PARAMS, INTERNAL = -32600, -32602, -32603
PROVIDER_FAILED, TIMED_OUT, LIMIT_REACHED, STORE_REFUSES = -32001, -32002, -32003, -32010


class RhetorError(Exception):
    """The root. `retryable` says whether the same request may succeed later without being changed."""

    code: str = "internal"
    status: int = 500
    rpc: int = INTERNAL
    close: int | None = None
    retryable: bool = False

    def __init__(self, detail: str, **data: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data


class Malformed(RhetorError):
    """The request cannot be read: broken JSON, wrong types, a value out of its range."""

    code, status, rpc = "malformed", 400, INVALID_REQUEST


class Unprocessable(RhetorError):
    """The request can be read and makes no sense: a cycle, an unknown dependency, a double id."""

    code, status, rpc = "unprocessable", 422, INVALID_PARAMS


class TooLarge(RhetorError):
    code, status, rpc, close = "too_large", 413, LIMIT_REACHED, 1009

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} is larger than {limit} bytes", limit=limit)


class HeadTooLarge(RhetorError):
    """The target and the headers of a request together."""

    code, status = "head_too_large", 431

    def __init__(self, limit: int) -> None:
        super().__init__(f"the head of the request is larger than {limit} bytes", limit=limit)


class UnsupportedMedia(RhetorError):
    """The body says that it is something else than JSON, or does not say what it is."""

    code, status = "unsupported_media", 415

    def __init__(self, media_type: str) -> None:
        super().__init__("a body is JSON, with `Content-Type: application/json`", media_type=media_type[:100])


class Late(RhetorError):
    """The client did not send the rest of its request in time; nothing of it was done."""

    code, status = "late", 408

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} did not come within {seconds:g} s", seconds=seconds)


class UnknownPeer(RhetorError):
    code, status, rpc = "unknown_peer", 404, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"no peer is called {peer!r}", peer=peer)


class NoCapablePeer(RhetorError):
    code, status, rpc = "no_capable_peer", 404, INVALID_PARAMS

    def __init__(self, capability: str) -> None:
        super().__init__(f"No AI found for capability: {capability}", capability=capability)


class UnknownTeam(UnknownPeer):
    code = "unknown_team"

    def __init__(self, team: str) -> None:
        RhetorError.__init__(self, f"no team is called {team!r}", team=team)


class NotFound(RhetorError):
    """A session, plan, turn … that is not there, or not the caller's: the two look the same."""

    code, status, rpc = "not_found", 404, INVALID_PARAMS

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {id!r}", kind=kind, id=id)


class SessionOver(RhetorError):
    """The session was stopped or has expired: it can be read, and takes no message."""

    code, status, rpc = "session_over", 409, INVALID_PARAMS

    def __init__(self, session_id: str, state: str) -> None:
        super().__init__(f"session {session_id} is {state}", session_id=session_id, state=state)


class NameTaken(RhetorError):
    code, status, rpc = "name_taken", 409, INVALID_PARAMS

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is a {kind} called {name!r} already", kind=kind, name=name)


class TeamConfigured(RhetorError):
    """The team is one of the configuration: it is changed there, and nowhere else."""

    code, status, rpc = "team_configured", 409, INVALID_PARAMS

    def __init__(self, team: str) -> None:
        super().__init__(f"team {team!r} is part of the configuration", team=team)


class TextOnly(RhetorError):
    """Bytes were to be said to a peer that reads text, and nothing of them was kept."""

    code, status, rpc = "text_only", 415, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} takes text, no binary content", peer=peer)


class PeerBusy(RhetorError):
    code, status, rpc = "peer_busy", 409, LIMIT_REACHED
    retryable = True

    def __init__(self, peer: str, turn_id: str = "", why: str = "a message waits") -> None:
        why = f"with turn {turn_id}" if turn_id else f"({why})"
        super().__init__(f"{peer} is busy {why}", peer=peer, turn_id=turn_id)


class ProgramMissing(RhetorError):
    """A program is not on this machine, or not where it was looked for; `data["hint"]`: how to get it."""

    code, status, rpc = "program_missing", 422, INVALID_PARAMS

    def __init__(self, executable: str, hint: str = "") -> None:
        said = f"there is no program {executable!r} on the PATH"
        super().__init__(f"{said}: {hint}" if hint else said, executable=executable, hint=hint)


class ProgramRefused(RhetorError):
    """The system did not start a program; `detail` says why."""

    code, status, rpc = "program_refused", 422, INVALID_PARAMS


class TranscriptUnreadable(RhetorError):
    """A file that an agent's conversation was to be read from cannot be read, or is none."""

    code, status, rpc = "transcript_unreadable", 422, INVALID_PARAMS

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}", path=path, reason=reason)


class NotRunning(RhetorError):
    code, status, rpc = "not_running", 409, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"no program runs for {peer}", peer=peer)


class ForkUnsupported(RhetorError):
    """The peer's program cannot go on with a copy of a conversation."""

    code, status, rpc = "fork_unsupported", 409, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} cannot go on with a copy of a conversation", peer=peer)


class NoTerminal(RhetorError):
    """A peer that has no terminal was to be attached to."""

    code, status, rpc = "no_terminal", 409, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} has no terminal", peer=peer)


class TooSlow(RhetorError):
    """A reader left more unread than is kept for it; it may come again from where it is."""

    code, status, close = "too_slow", 408, 4008
    retryable = True


class RateExceeded(RhetorError):
    """More messages than are taken from one caller; `data["per_second"]`, and `burst` at once."""

    code, status, rpc, close = "rate_exceeded", 429, LIMIT_REACHED, 4013
    retryable = True

    def __init__(self, per_second: float, burst: int) -> None:
        said = f"at most {per_second:g} messages a second are taken, and {burst} at once"
        super().__init__(said, per_second=per_second, burst=burst)


class TooManyConnections(RhetorError):
    """More connections than one caller may open, or hold at once; `data["retry_after"]` in seconds."""

    code, status, close = "too_many_connections", 429, 4013
    retryable = True

    def __init__(self, what: str, limit: int, retry_after: float) -> None:
        super().__init__(f"at most {limit} connections {what}", limit=limit, retry_after=retry_after)


class TooManyAttempts(RhetorError):
    """Wrong tokens, cookies or codes, one after the other; `data["retry_after"]` in seconds."""

    code, status, close = "too_many_attempts", 429, 4013
    retryable = True

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(
            f"at most {limit} wrong credentials a minute are looked at", limit=limit, retry_after=retry_after
        )


class TooManyFaults(RhetorError):
    """A client sent one frame after the other that could not be understood."""

    code, status, close = "too_many_faults", 400, 4501

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} frames could not be understood", limit=limit)


class TooMuchAtOnce(RhetorError):
    """A connection has as much under way as it may; `data["limit"]`."""

    code, status, rpc = "too_much_at_once", 429, LIMIT_REACHED
    retryable = True

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"a connection has at most {limit} {what} at once", limit=limit)


class StateConflict(RhetorError):
    """Another writer was first: a commit's condition on a row no longer holds. `changed`: the row is there,
    but is not the version that was read."""

    code, status, rpc = "conflict", 409, INVALID_PARAMS

    def __init__(self, kind: str, id: str, state: str | None, *, changed: bool = False) -> None:
        now = "was changed at the same time" if changed else f"is {state or 'not there'}"
        super().__init__(f"{kind} {id} {now}", kind=kind, id=id, state=state)


class KeyReused(RhetorError):
    """An idempotency key came again with another body."""

    code, status, rpc = "key_reused", 409, INVALID_PARAMS

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used for another request", key=key)


class HopLimit(RhetorError):
    code, status, rpc = "hop_limit", 422, LIMIT_REACHED

    def __init__(self, hops: int, limit: int) -> None:
        super().__init__(
            f"the message would pass through {hops} peers; the limit is {limit}", hops=hops, limit=limit
        )


class MalformedCursor(RhetorError):
    code, status, rpc = "malformed_cursor", 400, INVALID_PARAMS

    def __init__(self, cursor: str) -> None:
        super().__init__('a cursor is "<epoch>:<seq>"', cursor=cursor[:100])


class PositionLost(RhetorError):
    """A reader's position is not part of the log as it is now: `outcome` says which way (reliability 3)."""

    code, status, rpc, close = "position_lost", 410, INVALID_PARAMS, 4010

    def __init__(self, outcome: str, *, epoch: str, head: int, earliest: int) -> None:
        super().__init__(
            f"the position cannot be resumed: {outcome}",
            outcome=outcome,
            recovered=False,
            epoch=epoch,
            head=head,
            earliest=earliest,
        )


class StoreRefused(RhetorError):
    """The store cannot take an append now (disk full, locked, I/O error). Nothing was stored."""

    code, status, rpc = "store_refused", 503, STORE_REFUSES
    retryable = True


class StoreDamaged(RhetorError):
    """The database file is not sound: `data` has its path and what the check found. Nothing was changed."""

    code, status, rpc = "store_damaged", 503, STORE_REFUSES

    def __init__(self, path: str, findings: list[str]) -> None:
        super().__init__(f"the database {path} is damaged", path=path, findings=findings)


class EnvironmentDiffers(RhetorError):
    """The caller's provider variables are not the hub's: hand them over and ask again."""

    code, status = "environment_differs", 409
    retryable = True


class Unauthenticated(RhetorError):
    code, status, rpc, close = "unauthenticated", 401, -32003, 4500


class LoginExpired(RhetorError):
    """What a browser got in with is too old; another login makes it good."""

    code, status, rpc, close = "login_expired", 401, -32003, 4001


class Forbidden(RhetorError):
    code, status, rpc, close = "forbidden", 403, -32003, 4003

    @classmethod
    def to_agents(cls, subject: str) -> Self:
        """A peer's program asks for what only a person may."""
        return cls("what runs as a peer may not do this: only a person may", subject=subject)


class Misdirected(RhetorError):
    """The Host header names a server that this is not (RFC 9110, 15.5.20)."""

    code, status, close = "misdirected", 421, 4003


class InvalidSettings(RhetorError):
    """The configuration does not hold up; `detail` names file, line, key and reason."""

    code, status = "invalid_settings", 422


class ShuttingDown(RhetorError):
    code, status, close = "shutting_down", 503, 1012
    retryable = True

    def __init__(self) -> None:
        super().__init__("the hub is shutting down")


class TurnFailure(RhetorError):
    """A turn ended without its answer. Its message was accepted: it is not sent again by itself."""

    code, status, rpc = "turn_failed", 502, PROVIDER_FAILED

    def __init__(self, detail: str, *, retryable: bool = False, **data: Any) -> None:
        super().__init__(detail, **data)
        self.retryable = retryable


class ProviderFailed(TurnFailure):
    """A model provider refused or broke off. `data` has provider, model, status (HTTP, if any) and hint."""

    code = "provider_failed"


class ProviderUnreachable(ProviderFailed):
    code = "provider_unreachable"


class ProviderCut(ProviderFailed):
    """The stream ended, or became unreadable, before the provider said that it was done."""

    code = "provider_cut"


class ProviderDenied(ProviderFailed):
    """Wrong or missing key, or no right to the model (401, 403)."""

    code = "provider_denied"


class RateLimited(ProviderFailed):
    """429 or 529; `data["retry_after"]` in seconds where the provider gave one."""

    code = "rate_limited"


class ProviderCooling(ProviderFailed):
    """It failed several turns in a row, so it was not asked; `data["retry_after"]`: seconds until it is."""

    code = "provider_cooling"


class ContextOverflow(ProviderFailed):
    code = "context_overflow"


class ProviderTimeout(ProviderFailed):
    """`data["phase"]`: connect, first_chunk, idle or total."""

    code, status, rpc = "timeout", 504, TIMED_OUT


class ModelUnknown(ProviderFailed):
    """The configured model names no provider that is there."""

    code = "model_unknown"


class ToolCallRefused(TurnFailure):
    """The model asked for tools in a way that cannot be passed on: too much, or not understood again and
    again."""

    code = "tool_call_refused"


class ToolUnanswered(TurnFailure):
    """The client did not give a tool's result in time."""

    code, status, rpc = "tool_unanswered", 504, TIMED_OUT


class ToolServerFailed(TurnFailure):
    """An MCP server of the peer cannot be used; `data` has its name and a hint."""

    code = "tool_server_failed"


class ProgramEnded(TurnFailure):
    """The peer's program ended, or was lost with its host, before its answer was complete; `data` has
    `exit_code` or `signal`."""

    code = "program_ended"


class ProgramBlocked(TurnFailure):
    """The program's screen shows a question that typed text would answer, so nothing was typed; `data` has
    the question."""

    code = "program_blocked"


class NotEchoed(TurnFailure):
    """The terminal did not show what was typed, so it was not submitted."""

    code = "not_echoed"
