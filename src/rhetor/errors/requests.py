"""Errors of the request itself: it cannot be decoded, contradicts itself, or conflicts with another one."""

from __future__ import annotations

from .base import INVALID_PARAMS, INVALID_REQUEST, LIMIT_REACHED, RhetorError


class Malformed(RhetorError):
    """The request cannot be decoded: invalid JSON, a wrong type, or a value out of range."""

    code, status, rpc = "malformed", 400, INVALID_REQUEST


class Unprocessable(RhetorError):
    """The request can be decoded, but contradicts itself: a cycle, an unknown dependency, a duplicate id."""

    code, status, rpc = "unprocessable", 422, INVALID_PARAMS


class CannotRunLine(Unprocessable):
    """The line has something that the hub cannot run by itself."""

    code = "cannot_run_line"
    hint = "the hub runs peers, broadcasts, joins, capabilities, teams and routes"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the hub cannot run the line: {why}")


class CannotSchedule(Unprocessable):
    """The line has something that the hub cannot run by itself."""

    code = "cannot_schedule"
    hint = "a schedule runs peers, broadcasts, joins, capabilities, teams and routes"

    def __init__(self, why: str) -> None:
        super().__init__(f"the line cannot be scheduled: {why}")


class TooLarge(RhetorError):
    """A body, message or value is too large; `data["limit"]` is in bytes."""

    code, status, rpc, close = "too_large", 413, LIMIT_REACHED, 1009

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} is larger than {limit} bytes", limit=limit)


class TooManyValues(RhetorError):
    """A body or message has too many JSON values; `data["limit"]` is their number."""

    code, status, rpc, close = "too_many_values", 413, LIMIT_REACHED, 1009

    def __init__(self, limit: int) -> None:
        super().__init__(f"the JSON has more than {limit} members, items, objects and lists", limit=limit)


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


class MalformedCursor(RhetorError):
    code, status, rpc = "malformed_cursor", 400, INVALID_PARAMS

    def __init__(self, cursor: str) -> None:
        super().__init__('invalid cursor; it must be "<epoch>:<seq>"', cursor=cursor[:100])


class KeyReused(RhetorError):
    """The idempotency key was used before, for a request with another body."""

    code, status, rpc = "key_reused", 409, INVALID_PARAMS
    hint = "use a new key for each request"

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was already used for another request", key=key)


class StateConflict(RhetorError):
    """Another writer was first: a commit's condition on a row no longer holds. `changed`: the row exists,
    but is not the version that was read."""

    code, status, rpc = "conflict", 409, INVALID_PARAMS

    def __init__(self, kind: str, id: str, state: str | None, *, changed: bool = False) -> None:
        now = "was changed at the same time" if changed else f"is {state or 'gone'}"
        super().__init__(f"{kind} {id} {now}", kind=kind, id=id, state=state)


class EnvironmentDiffers(RhetorError):
    """The caller's provider variables differ from the hub's; send them and repeat the request."""

    code, status = "environment_differs", 409
    retryable = True
