"""Every error that a caller can act on, named by its condition.

Each class declares its `code`, its HTTP status, its JSON-RPC code, and the code with which it closes a
WebSocket (None: the socket stays open). `detail` is one line for a person, `data` has JSON values for a
program; `data["hint"]` says what to do next, if `detail` does not. Only transports turn errors into answers.
"""

from __future__ import annotations

import re
from typing import Any, Self

INVALID_REQUEST, INVALID_PARAMS, INTERNAL = -32600, -32602, -32603
PROVIDER_FAILED, TIMED_OUT, LIMIT_REACHED, STORE_REFUSES = -32001, -32002, -32003, -32010


INTERNAL_HINT = "it is an error of the hub; hub.log has the details"
_LINE_END = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def one_line(text: str) -> str:
    """Return the text with its lines joined by blanks: texts of providers and programs may have several."""
    return _LINE_END.sub(" ", text.strip())


class RhetorError(Exception):
    """The base class. `retryable`: the same request may succeed later. `hint`: the `data["hint"]` of an error
    that has no better one."""

    code: str = "internal"
    status: int = 500
    rpc: int = INTERNAL
    close: int | None = None
    retryable: bool = False
    hint: str = ""

    def __init__(self, detail: str, **data: Any) -> None:
        self.detail = one_line(detail)
        super().__init__(self.detail)
        self.data = data
        if self.hint and not data.get("hint"):
            data["hint"] = self.hint


class Malformed(RhetorError):
    """The request cannot be decoded: invalid JSON, a wrong type, or a value out of range."""

    code, status, rpc = "malformed", 400, INVALID_REQUEST


class Unprocessable(RhetorError):
    """The request can be decoded, but contradicts itself: a cycle, an unknown dependency, a duplicate id."""

    code, status, rpc = "unprocessable", 422, INVALID_PARAMS


class TooLarge(RhetorError):
    """A body, message or value is too large; `data["limit"]` is in bytes."""

    code, status, rpc, close = "too_large", 413, LIMIT_REACHED, 1009

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} is larger than {limit} bytes", limit=limit)


class HeadTooLarge(RhetorError):
    """The URL and the headers of a request are too large together; `data["limit"]` is in bytes."""

    code, status = "head_too_large", 431

    def __init__(self, limit: int) -> None:
        super().__init__(f"the URL and headers of the request are larger than {limit} bytes", limit=limit)


class MethodNotAllowed(RhetorError):
    """The path does not support the method; `data["allowed"]` lists those that it supports."""

    code, status = "method_not_allowed", 405

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(f"this path supports only {', '.join(allowed)}", allowed=allowed)


class UnsupportedMedia(RhetorError):
    """The Content-Type of the body is not JSON, or is missing."""

    code, status = "unsupported_media", 415

    def __init__(self, media_type: str) -> None:
        super().__init__(
            "the body must be JSON, with `Content-Type: application/json`", media_type=media_type[:100]
        )


class RequestTimeout(RhetorError):
    """The client did not send the rest of its request in time. The request had no effect."""

    code, status = "request_timeout", 408

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} did not arrive within {seconds:g} s", seconds=seconds)


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
    """A session, plan, turn or the like does not exist, or belongs to another caller. Callers cannot tell the
    two cases apart."""

    code, status, rpc = "not_found", 404, INVALID_PARAMS

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {id!r}", kind=kind, id=id)


class SessionOver(RhetorError):
    """The session was stopped or has expired. It can still be read, but accepts no messages."""

    code, status, rpc = "session_over", 409, INVALID_PARAMS
    hint = "start a new session; this one can only be read"

    def __init__(self, session_id: str, state: str) -> None:
        super().__init__(f"session {session_id} is {state}", session_id=session_id, state=state)


class NameTaken(RhetorError):
    code, status, rpc = "name_taken", 409, INVALID_PARAMS
    hint = "choose another name"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"a {kind} called {name!r} already exists", kind=kind, name=name)


class TeamConfigured(RhetorError):
    """The team is defined in the configuration and can be changed only there."""

    code, status, rpc = "team_configured", 409, INVALID_PARAMS

    def __init__(self, team: str) -> None:
        super().__init__(f"team {team!r} is defined in the configuration; change it there", team=team)


class ToolServerConfigured(RhetorError):
    """The MCP server is defined in the configuration and can be changed only there."""

    code, status, rpc = "tool_server_configured", 409, INVALID_PARAMS

    def __init__(self, server: str) -> None:
        super().__init__(
            f"the MCP server {server!r} is defined in the configuration; change it there", server=server
        )


class TextOnly(RhetorError):
    """Binary content was sent to a peer that accepts text only. The content was not kept."""

    code, status, rpc = "text_only", 415, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} accepts text only, not binary content", peer=peer)


class PeerBusy(RhetorError):
    """A turn is running or queued, and the caller did not want to wait; or too many messages are queued."""

    code, status, rpc = "peer_busy", 409, LIMIT_REACHED
    retryable = True
    hint = "wait until it is idle, or send the message with if_busy: queue or interrupt"

    def __init__(
        self, peer: str, turn_id: str = "", why: str = "a message is queued", hint: str = hint
    ) -> None:
        why = f"with turn {turn_id}" if turn_id else f"({why})"
        turn = {"turn_id": turn_id} if turn_id else {}
        super().__init__(f"{peer} is busy {why}", peer=peer, hint=hint, **turn)


class ProgramMissing(RhetorError):
    """The program is not on the PATH; `data["hint"]`: how to install it."""

    code, status, rpc = "program_missing", 422, INVALID_PARAMS
    hint = "install it, or put it on the PATH"

    def __init__(self, executable: str, hint: str = "") -> None:
        detail = f"no program {executable!r} on the PATH"
        super().__init__(f"{detail}; {hint}" if hint else detail, executable=executable, hint=hint)


class ProgramRefused(RhetorError):
    """The operating system refused to start the program; `detail` says why."""

    code, status, rpc = "program_refused", 422, INVALID_PARAMS
    hint = "check that the program runs in a terminal, in the same folder"


class TranscriptUnreadable(RhetorError):
    """The file is not readable, or is not the transcript of a conversation."""

    code, status, rpc = "transcript_unreadable", 422, INVALID_PARAMS

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}", path=path, reason=reason)


class NotRunning(RhetorError):
    code, status, rpc = "not_running", 409, INVALID_PARAMS
    hint = "start it with aish tools launch, or wrap it again with aish ci-terminal or aish ci-tool"

    def __init__(self, peer: str) -> None:
        super().__init__(f"no program is running for {peer}", peer=peer)


class ForkUnsupported(RhetorError):
    """The peer's program cannot continue a copy of a conversation."""

    code, status, rpc = "fork_unsupported", 409, INVALID_PARAMS
    hint = "start a new session with it"

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} cannot continue a copy of a conversation", peer=peer)


class NoTerminal(RhetorError):
    """Only a program in a terminal can be attached to."""

    code, status, rpc = "no_terminal", 409, INVALID_PARAMS
    hint = "send it messages; only a program that was started in a terminal can be attached to"

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} has no terminal", peer=peer)


class TooSlow(RhetorError):
    """The client reads too slowly, so that its unread output is no longer kept. It can reconnect and continue
    at its position."""

    code, status, close = "too_slow", 408, 4008
    retryable = True
    hint = "connect again and continue at the last cursor"


class RateExceeded(RhetorError):
    """One caller sent too many messages; `data` has the limits `per_second` and `burst` (at once)."""

    code, status, rpc, close = "rate_exceeded", 429, LIMIT_REACHED, 4013
    retryable = True
    hint = "wait for the time in Retry-After, or raise limits.messages_per_second"

    def __init__(self, per_second: float, burst: int) -> None:
        detail = f"too many messages; at most {per_second:g} per second and {burst} at once are accepted"
        super().__init__(detail, per_second=per_second, burst=burst)


class TooManyConnections(RhetorError):
    """One caller opened too many connections; `data["retry_after"]` is in seconds."""

    code, status, close = "too_many_connections", 429, 4013
    retryable = True
    hint = "close connections that are not needed, or raise limits.connections_at_once"

    def __init__(self, what: str, limit: int, retry_after: float) -> None:
        super().__init__(
            f"at most {limit} connections {what} are allowed", limit=limit, retry_after=retry_after
        )


class TooManyAttempts(RhetorError):
    """One address sent too many invalid tokens, cookies or codes; `data["retry_after"]` is in seconds."""

    code, status, close = "too_many_attempts", 429, 4013
    retryable = True

    def __init__(self, limit: int, retry_after: float) -> None:
        detail = f"too many invalid credentials (more than {limit} per minute); wait {retry_after:.0f} s"
        super().__init__(detail, limit=limit, retry_after=retry_after)


class TooManyInvalid(RhetorError):
    """The client sent too many invalid messages on one connection."""

    code, status, close = "too_many_invalid", 400, 4501
    hint = "the reply to each invalid message says what is wrong with it"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} invalid messages on one connection", limit=limit)


class TooManyAtOnce(RhetorError):
    """The connection has reached its limit of concurrent work, which is in `data["limit"]`."""

    code, status, rpc = "too_many_at_once", 429, LIMIT_REACHED
    retryable = True
    hint = "wait until one of them has ended"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"a connection may have at most {limit} {what} at once", limit=limit)


class TooManyBytes(RhetorError):
    """The bodies of all requests that are being received or answered are too large together, and so are the
    messages on WebSockets; `data["limit"]` is in bytes. Small requests are still accepted."""

    code, status, rpc, close = "too_many_bytes", 503, LIMIT_REACHED, 4013
    retryable = True
    hint = "repeat the request in a moment, or send a smaller one"

    def __init__(self, limit: int) -> None:
        super().__init__(f"all requests together have more than {limit} bytes at once", limit=limit)


class StateConflict(RhetorError):
    """Another writer was first: a commit's condition on a row no longer holds. `changed`: the row exists,
    but is not the version that was read."""

    code, status, rpc = "conflict", 409, INVALID_PARAMS

    def __init__(self, kind: str, id: str, state: str | None, *, changed: bool = False) -> None:
        now = "was changed at the same time" if changed else f"is {state or 'gone'}"
        super().__init__(f"{kind} {id} {now}", kind=kind, id=id, state=state)


class KeyReused(RhetorError):
    """The idempotency key was used before, for a request with another body."""

    code, status, rpc = "key_reused", 409, INVALID_PARAMS
    hint = "use a new key for each request"

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was already used for another request", key=key)


class UnknownModel(RhetorError):
    """No provider knows the model that the caller named; `data["hint"]` names one that exists."""

    code, status, rpc = "unknown_model", 422, INVALID_PARAMS


class NotAnswered(RhetorError):
    """The answer was not complete within the time that the caller wanted to wait."""

    code, status, rpc = "answer_timeout", 504, TIMED_OUT
    retryable = True

    def __init__(self, peer: str, seconds: float, **data: Any) -> None:
        super().__init__(f"{peer} has not answered within {seconds:g} s", **data)


class HopLimit(RhetorError):
    code, status, rpc = "hop_limit", 422, LIMIT_REACHED
    hint = "end the loop of forwards (aish forward list), or raise limits.hops"

    def __init__(self, hops: int, limit: int) -> None:
        super().__init__(
            f"the message would pass through {hops} peers; the limit is {limit}", hops=hops, limit=limit
        )


class FanoutLimit(RhetorError):
    """Forwards and teams have delivered one message, and what follows from it, as often as allowed."""

    code, status, rpc = "fanout_limit", 422, LIMIT_REACHED
    hint = "end the loop of forwards (aish forward list), or raise limits.fanout"

    def __init__(self, limit: int) -> None:
        detail = f"forwards and teams deliver one message at most {limit} times in all; see limits.fanout"
        super().__init__(detail, limit=limit)


class MalformedCursor(RhetorError):
    code, status, rpc = "malformed_cursor", 400, INVALID_PARAMS

    def __init__(self, cursor: str) -> None:
        super().__init__('invalid cursor; it must be "<epoch>:<seq>"', cursor=cursor[:100])


class PositionLost(RhetorError):
    """The reader's position is not part of the current log; `outcome` says why."""

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
    """The store rejected an append (disk full, locked, I/O error). Nothing was stored."""

    code, status, rpc = "store_refused", 503, STORE_REFUSES
    retryable = True
    hint = "check the disk of the hub's state folder, and repeat the request"


class StoreDamaged(RhetorError):
    """The database file is damaged; `data` has its path and what the check found. Nothing was changed."""

    code, status, rpc = "store_damaged", 503, STORE_REFUSES

    def __init__(self, path: str, findings: list[str]) -> None:
        super().__init__(f"the database {path} is damaged", path=path, findings=findings)


class EnvironmentDiffers(RhetorError):
    """The caller's provider variables differ from the hub's; send them and repeat the request."""

    code, status = "environment_differs", 409
    retryable = True


class Unauthenticated(RhetorError):
    """No valid token, cookie or code was sent, or it is no longer valid."""

    code, status, rpc, close = "unauthenticated", 401, -32003, 4500


class LoginExpired(RhetorError):
    """The browser's login has expired; log in again."""

    code, status, rpc, close = "login_expired", 401, -32003, 4001


class Forbidden(RhetorError):
    """The caller is authenticated, but may not do this."""

    code, status, rpc, close = "forbidden", 403, -32003, 4003

    @classmethod
    def to_agents(cls, subject: str) -> Self:
        """Return the error for a program that runs as a peer and requests what only a person may do."""
        if subject == "agent:unidentified":
            detail = "only a person may do this, and the hub cannot tell which process called it"
            return cls(f"{detail}; set hub.trust_unidentified: true", subject=subject)
        return cls("only a person may do this, not a program that runs as a peer", subject=subject)


class Misdirected(RhetorError):
    """The Host header names another server (RFC 9110, 15.5.20)."""

    code, status, close = "misdirected", 421, 4003


class InvalidSettings(RhetorError):
    """The configuration is invalid; `detail` names the file, the line, the key and the reason, if known."""

    code, status = "invalid_settings", 422


class ShuttingDown(RhetorError):
    code, status, close = "shutting_down", 503, 1012
    retryable = True
    hint = "repeat the request in a moment"

    def __init__(self) -> None:
        super().__init__("the hub is shutting down")


class TurnFailure(RhetorError):
    """A turn ended without an answer. Its message was accepted, and is not sent again automatically."""

    code, status, rpc = "turn_failed", 502, PROVIDER_FAILED

    def __init__(self, detail: str, *, retryable: bool = False, **data: Any) -> None:
        super().__init__(detail, **data)
        self.retryable = retryable


class ProviderFailed(TurnFailure):
    """A model provider returned an error. `data` has provider, model, status (HTTP's, or null) and hint."""

    code = "provider_failed"


class ProviderUnreachable(ProviderFailed):
    """No connection to the provider could be made."""

    code = "provider_unreachable"


class ProviderCut(ProviderFailed):
    """The provider's stream ended early or became unreadable."""

    code = "provider_cut"


class EmptyAnswer(ProviderFailed):
    """The answer is complete, but has no text; `data["finish_reason"]` says why the model ended it."""

    code = "empty_answer"


class ProviderDenied(ProviderFailed):
    """The key is invalid or missing, or does not give access to the model (401, 403)."""

    code = "provider_denied"


class RateLimited(ProviderFailed):
    """The provider returned 429 or 529; `data["retry_after"]` is in seconds, if the provider sent it."""

    code = "rate_limited"


class ProviderCooling(ProviderFailed):
    """The provider was not called, because several turns in a row had failed there. `data["retry_after"]` is
    the number of seconds until the hub calls it again."""

    code = "provider_cooling"


class ContextOverflow(ProviderFailed):
    """The prompt is longer than the model accepts."""

    code = "context_overflow"


class ProviderTimeout(ProviderFailed):
    """The provider took too long; `data["phase"]` says in what: connect, first_chunk, idle or total."""

    code, status, rpc = "timeout", 504, TIMED_OUT


class ModelUnknown(ProviderFailed):
    """The model, or the provider that its name begins with, does not exist."""

    code = "model_unknown"


class ToolCallRefused(TurnFailure):
    """The model's tool calls cannot be executed: they are too large or too many, or repeatedly invalid."""

    code = "tool_call_refused"
    hint = "rephrase the message, or use another model"


class ToolUnanswered(TurnFailure):
    """The client did not return a tool's result in time."""

    code, status, rpc = "tool_unanswered", 504, TIMED_OUT


class ToolServerFailed(TurnFailure):
    """An MCP server of the peer is not usable; `data` has its name and a hint."""

    code = "tool_server_failed"


class ProgramEnded(TurnFailure):
    """The peer's program, or its host process, ended before the answer was complete; `data` has `exit_code`
    or `signal`."""

    code = "program_ended"


class HostSilent(TurnFailure):
    """The host process of a program does not answer: it is stopped, or hangs. Its program still runs. What
    was written to the host may take effect when it continues."""

    code, status, rpc = "host_silent", 504, TIMED_OUT

    def __init__(self, host_id: str) -> None:
        super().__init__(
            "the program's host process does not answer; continue it, or end the program with --force",
            retryable=True,
            host=host_id,
        )


class ProgramBlocked(TurnFailure):
    """The program's screen shows a question that typed text would answer. Nothing was typed; `data` has the
    question."""

    code = "program_blocked"
    hint = "answer it in the program (aish tools attach NAME), and send the message again"


class NotEchoed(TurnFailure):
    """The terminal did not echo the typed text, so the text was not submitted."""

    code = "not_echoed"
