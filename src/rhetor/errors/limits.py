"""The caller has reached a limit: of a rate, a number at once, or a size."""

from __future__ import annotations

from .base import LIMIT_REACHED, RhetorError


class RateExceeded(RhetorError):
    """One caller sent too many messages; `data` has the limits `per_second` and `burst` (at once), and
    `retry_after` in seconds."""

    code, status, rpc, close = "rate_exceeded", 429, LIMIT_REACHED, 4013
    retryable = True
    hint = "wait for the time in Retry-After, or raise limits.messages_per_second"

    def __init__(self, per_second: float, burst: int, retry_after: float) -> None:
        detail = f"too many messages; at most {per_second:g} per second and {burst} at once are accepted"
        super().__init__(detail, per_second=per_second, burst=burst, retry_after=retry_after)


class BytesExceeded(RhetorError):
    """One caller sent too many bytes; `data` has the limit `per_second`, and `retry_after` in seconds."""

    code, status, rpc, close = "bytes_exceeded", 429, LIMIT_REACHED, 4013
    retryable = True
    hint = "wait for the time in Retry-After, or raise limits.bytes_per_second"

    def __init__(self, per_second: int, retry_after: float) -> None:
        detail = f"too many bytes; at most {per_second} per second are accepted"
        super().__init__(detail, per_second=per_second, retry_after=retry_after)


class TooManyTurns(RhetorError):
    """As many turns of one caller are running as may run at once. The message was not accepted;
    `data["retry_after"]` is in seconds."""

    code, status, rpc = "too_many_turns", 429, LIMIT_REACHED
    retryable, retry_after = True, 1.0
    hint = "wait until one of them has ended, or raise limits.turns_at_once"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} of your turns are running, which is the limit", limit=limit)


class TokensExceeded(RhetorError):
    """One caller has used as many tokens within an hour as it may. The message was not accepted;
    `data["retry_after"]` is in seconds."""

    code, status, rpc = "tokens_exceeded", 429, LIMIT_REACHED
    retryable = True
    hint = "wait for the time in Retry-After, or raise limits.tokens_per_hour"

    def __init__(self, caller: str, limit: int, retry_after: float) -> None:
        detail = f"{caller} has used {limit} tokens or more within an hour, which is the limit"
        super().__init__(detail, limit=limit, retry_after=retry_after)


class BlobsFull(RhetorError):
    """The caller has stored as much binary content as it may. `data["limit"]` is in bytes."""

    code, status, rpc = "blobs_full", 413, LIMIT_REACHED
    hint = "end sessions that are not needed and set retention, or raise limits.blob_bytes"

    def __init__(self, caller: str, limit: int) -> None:
        super().__init__(
            f"{caller} has stored {limit} bytes of binary content, which is the limit", limit=limit
        )


class TooManyConnections(RhetorError):
    """One caller opened too many connections; `data["retry_after"]` is in seconds."""

    code, status, close = "too_many_connections", 429, 4013
    retryable = True
    hint = "close connections that are not needed, or raise limits.connections_at_once"

    def __init__(self, what: str, limit: int, retry_after: float) -> None:
        super().__init__(
            f"at most {limit} connections {what} are allowed", limit=limit, retry_after=retry_after
        )


class TooManyInvalid(RhetorError):
    """The client sent too many invalid messages on one connection."""

    code, status, close = "too_many_invalid", 400, 4501
    hint = "the reply to each invalid message says what is wrong with it"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} invalid messages on one connection", limit=limit)


class TooManyAtOnce(RhetorError):
    """The connection has reached its limit of concurrent work, which is in `data["limit"]`."""

    code, status, rpc = "too_many_at_once", 429, LIMIT_REACHED
    retryable, retry_after = True, 1.0
    hint = "wait until one of them has ended"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"a connection may have at most {limit} {what} at once", limit=limit)


class TooManyBytes(RhetorError):
    """The bodies of all requests that are being received or answered are too large together, and so are the
    messages on WebSockets; `data["limit"]` is in bytes. Small requests are still accepted."""

    code, status, rpc, close = "too_many_bytes", 503, LIMIT_REACHED, 4013
    retryable, retry_after = True, 1.0
    hint = "repeat the request in a moment, or send a smaller one"

    def __init__(self, limit: int) -> None:
        super().__init__(f"all requests together have more than {limit} bytes at once", limit=limit)


class TooManyTokens(RhetorError):
    """As many tokens as allowed are valid; `data["limit"]` has their number."""

    code, status, rpc = "too_many_tokens", 429, LIMIT_REACHED
    hint = "revoke tokens that are not needed: rhetor token list, rhetor token revoke NAME"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} tokens are valid; the hub issues no more", limit=limit)


class TooManySchedules(RhetorError):
    """The caller has as many schedules as allowed; `data["limit"]` has their number."""

    code, status, rpc = "too_many_schedules", 429, LIMIT_REACHED
    hint = "remove schedules that are not needed: aish schedule list, aish schedule remove NAME"

    def __init__(self, limit: int) -> None:
        super().__init__(f"you have {limit} schedules, which is the limit", limit=limit)


class TooSlow(RhetorError):
    """The client reads too slowly, so that its unread output is no longer kept. It can reconnect and continue
    at its position."""

    code, status, close = "too_slow", 408, 4008
    retryable = True
    hint = "connect again and continue at the last cursor"


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
