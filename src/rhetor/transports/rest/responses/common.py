"""What the responses of several nouns share, and errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NewType

from msgspec import Meta, Struct

Html = NewType("Html", str)
Cursor = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}:[0-9]+$")]
Time = Annotated[str, Meta(description="RFC 3339 in UTC, with milliseconds")]
Cost = Annotated[str | None, Meta(description="USD as a decimal string; null if the price is unknown")]
SessionState = Literal["active", "paused", "waiting", "stopped", "failed", "expired"]


class Problem(Struct):
    """An error (RFC 9457). The error's own data are additional members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool


class OpenAIErrorDetail(Struct):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(Struct):
    """An error in the shape of OpenAI. `param`: the parameter that is wrong; `code`: OpenAI's code for the
    error, or the hub's if it has none."""

    error: OpenAIErrorDetail


class AnthropicErrorDetail(Struct):
    """`details`: what the clients need to send the request in another way."""

    type: str
    message: str
    details: dict[str, Any] | None = None


class AnthropicError(Struct):
    """An error in the shape of Anthropic."""

    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str


class Frame(Struct):
    """One event of a stream. `data`: JSON in one line; `event`: `reset` if the position was lost, `error` if
    the hub ended the stream early."""

    data: str
    id: Cursor | None = None
    event: str | None = None


class Status(Struct):
    status: str
