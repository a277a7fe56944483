"""What a peer says while it answers: a closed union that drivers yield and turns take in."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .event import Channel, PermissionOption, RunsAt, StepDone, StepFailed, StepStarted


class Began(Struct, frozen=True, gc=False):
    """Which model is asked now, where a driver knows; again for each one that is asked after it failed."""

    model: str


class Text(Struct, frozen=True, gc=False):
    text: str
    channel: Channel = "answer"


class ToolUse(Struct, frozen=True, gc=False):
    call_id: str
    name: str
    arguments: Any
    runs_at: RunsAt


class ToolResult(Struct, frozen=True, gc=False):
    call_id: str
    result: Any
    is_error: bool = False


class Permission(Struct, frozen=True, gc=False):
    """`tool`: the program's own name for what it is to be used, never words that a model may choose: rules go
    by it. What a person is to know besides is in `detail`."""

    request_id: str
    tool: str
    detail: Any
    options: tuple[PermissionOption, ...]
    expires_at: str | None = None


class Withdrawn(Struct, frozen=True, gc=False):
    """The peer does not wait any more for the answer to that request for permission."""

    request_id: str


class Usage(Struct, frozen=True, gc=False):
    """Tokens of one call to a model. `cost`: USD as a decimal string, None where the price is not known."""

    model: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    cost: str | None = None


class Record(Struct, frozen=True, gc=False):
    """A program's own JSON object as it came; where it was none, `raw`: its bytes as base64."""

    record: Any = None
    raw: str | None = None


class Shared(Struct, frozen=True, gc=False):
    """What became of one member's part, of several that answer together."""

    event: StepStarted | StepDone | StepFailed


class Remembered(Struct, frozen=True, gc=False):
    """What a driver needs to go on with this conversation in another process, or under another hub: small,
    and JSON. The last one counts; it is kept with the session, and is no event."""

    memory: dict[str, Any]


class Done(Struct, frozen=True, gc=False):
    """The answer is whole. `finish_reason` as OpenAI names them: stop, length, tool_calls, content_filter."""

    finish_reason: str = "stop"


class Spooled(Struct, frozen=True, gc=False):
    """What a program's spool held up to `offset` (bytes), so that both go into the log together: each byte
    once, whoever dies in between."""

    source: str
    offset: int
    outputs: tuple[Plain, ...] = ()


Plain = (
    Began | Text | ToolUse | ToolResult | Permission | Withdrawn | Usage | Record | Shared | Remembered | Done
)
Output = Plain | Spooled
