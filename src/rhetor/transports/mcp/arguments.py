"""The arguments of the tools, as types. Their JSON Schemas are what clients see."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from rhetor.codec import typed_json
from rhetor.codec.forms import PLAIN

T = TypeVar("T", bound=Struct)


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all arguments. An unknown argument is an error, so that a model notices its mistake."""


def _named(description: str) -> Any:
    return Meta(min_length=1, max_length=200, pattern=PLAIN, description=description)


PeerName = Annotated[
    str, _named("The name of a peer, such as `apollo`; or `@capability`, or `team:NAME` (see list_peers).")
]
Message = Annotated[str, Meta(min_length=1, description="The message, in plain text.")]
SessionId = Annotated[str, _named("The id or the name of a session of yours.")]
Seconds = Annotated[float, Meta(gt=0, le=10**6, description="How many seconds to wait for the answer.")]
CapabilityName = Annotated[str, _named("A capability, such as `code-analysis`.")]
Score = Annotated[float, Meta(ge=0, le=1, description="The lowest score that counts, from 0 to 1.")]
Line = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64 << 10,
        description="A line of the shell's grammar with peers only, such as "
        '`apollo "design a cache" | athena "review it"`.',
    ),
]
Cursor = Annotated[
    str, Meta(max_length=200, description="Return the events after this cursor; without it, from the first.")
]


class Nothing(Arguments, frozen=True):
    pass


class AskPeer(Arguments, frozen=True):
    peer: PeerName
    message: Message
    session_id: SessionId | None = None
    timeout: Seconds | None = None


class SendToPeer(Arguments, frozen=True):
    peer: PeerName
    message: Message
    session_id: SessionId | None = None
    timeout: Seconds | None = None


class RunLine(Arguments, frozen=True):
    line: Line
    input: Annotated[str, Meta(description="Text that is appended to the first messages.")] = ""


class CreateSession(Arguments, frozen=True):
    peer: PeerName
    name: Annotated[str, _named("A name by which you can find the session again.")] | None = None
    context_window: (
        Annotated[int, Meta(ge=0, le=10_000, description="How many earlier messages the peer receives.")]
        | None
    ) = None


class OneSession(Arguments, frozen=True):
    session_id: SessionId


class ReadEvents(Arguments, frozen=True):
    session_id: SessionId
    cursor: Cursor | None = None


class FindCapability(Arguments, frozen=True):
    capability: CapabilityName
    threshold: Score = 0.7


class AssignTask(Arguments, frozen=True):
    description: Annotated[str, Meta(min_length=1, description="What is to be done.")]
    required_capabilities: Annotated[
        list[CapabilityName], Meta(min_length=1, max_length=20, description="All of these are required.")
    ]
    priority: Annotated[
        Literal["low", "normal", "high"],
        Meta(description="With `high`, a peer that is idle is chosen before a better one that is busy."),
    ] = "normal"


class TeamChat(Arguments, frozen=True):
    message: Message
    team: Annotated[str, _named("The name of a team; without it, all specialists.")] = "all"


def decoded(kind: type[T], arguments: dict[str, Any] | None) -> T:
    """Return the arguments as a `kind`.

    Raises:
        Unprocessable: an argument is missing, unknown or invalid.
    """
    try:
        return msgspec.convert(arguments or {}, kind)
    except msgspec.ValidationError as error:
        raise typed_json.unprocessable(**typed_json.fault("arguments", error)) from error


def schema(kind: type[Arguments]) -> dict[str, Any]:
    """Return the JSON Schema of the arguments.

    It has no patterns, because ours use lookaheads, which some implementations do not support. The hub checks
    them nevertheless.
    """
    _, found = msgspec.json.schema_components([kind])
    own: dict[str, Any] = found[kind.__name__]
    kept = {name: value for name, value in own.items() if name not in ("title", "description")}
    kept["properties"] = {name: _plain(value) for name, value in own["properties"].items()}
    return kept


def _plain(value: Any) -> Any:
    """Return the schema of an argument without patterns, and without null: it is left out instead."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if (choices := value.get("anyOf")) is not None:
        choices = [choice for choice in choices if choice != {"type": "null"}]
        if len(choices) == 1:
            return _plain(choices[0])
    return {
        name: _plain(each)
        for name, each in value.items()
        if name not in ("pattern", "default") or (name == "default" and each is not None)
    }
