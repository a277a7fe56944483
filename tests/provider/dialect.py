"""The functions of a dialect; each dialect is a module."""

from typing import Any, NamedTuple, Protocol

import msgspec

from tests.provider.script import Asked, Failure, Script

Body = dict[str, Any]


class Frames(NamedTuple):
    """An encoded streamed answer: the part before the first chunk, the chunks, and the regular end."""

    opening: bytes
    chunks: tuple[bytes, ...]
    closing: bytes


class Dialect(Protocol):
    """Turns the JSON of a request into the bytes of an answer, without I/O."""

    def asked(self, body: Body, /) -> Asked: ...

    def answer(self, script: Script, asked: Asked, /) -> bytes: ...

    def frames(self, script: Script, asked: Asked, /) -> Frames: ...

    def refusal(self, failure: Failure, /) -> bytes: ...

    def stream_error(self, failure: Failure, /) -> bytes: ...

    def malformed(self) -> bytes: ...

    def models(self, names: tuple[str, ...], /) -> bytes: ...


class Counting(Dialect, Protocol):
    """A dialect that counts the tokens of a prompt, too."""

    def counted(self, asked: Asked, /) -> bytes: ...


def data(value: object) -> bytes:
    """Return an SSE event without a name."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def event(name: str, value: object) -> bytes:
    """Return a named SSE event."""
    return b"event: " + name.encode() + b"\n" + data(value)


def text_of(content: object) -> str:
    """Return the text of a message's content, which is a string or a list of parts, also in results."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "".join(str(part.get("text") or text_of(part.get("content"))) for part in parts)
