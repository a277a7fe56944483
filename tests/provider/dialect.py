"""What the server asks of a dialect; each is a module with these functions."""

from typing import Any, NamedTuple, Protocol

import msgspec

from tests.provider.script import Asked, Failure, Script

Body = dict[str, Any]


class Frames(NamedTuple):
    """A streamed answer, encoded: what comes ahead of the first chunk, the chunks, the proper end."""

    opening: bytes
    chunks: tuple[bytes, ...]
    closing: bytes


class Dialect(Protocol):
    """Pure: a request's JSON in, the bytes of an answer out."""

    def asked(self, body: Body, /) -> Asked: ...

    def answer(self, script: Script, asked: Asked, /) -> bytes: ...

    def frames(self, script: Script, asked: Asked, /) -> Frames: ...

    def refusal(self, failure: Failure, /) -> bytes: ...

    def stream_error(self, failure: Failure, /) -> bytes: ...

    def malformed(self) -> bytes: ...

    def models(self, names: tuple[str, ...], /) -> bytes: ...


def data(value: object) -> bytes:
    """One SSE event without a name."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def event(name: str, value: object) -> bytes:
    """One named SSE event."""
    return b"event: " + name.encode() + b"\n" + data(value)


def text_of(content: object) -> str:
    """The text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
