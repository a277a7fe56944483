"""Scripted answers as values, independent of dialects and without I/O.

All of them can be sent as JSON to a provider in its own process.
"""

import re

import msgspec
from msgspec.structs import replace


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the provider reports them; `cached` and `written` (to the cache, only with Anthropic)
    are part of `input`, `reasoning` of `output`."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0
    written: int = 0


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failed call: `body` unchanged, or else the dialect's own message for `status` and `reason`.

    `reason` is "" or one of context_overflow, quota, unknown_model.
    """

    status: int
    reason: str = ""
    headers: dict[str, str] = {}
    body: str | None = None


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call at the end of the answer. `arguments` are sent unchanged, JSON or not, in pieces of
    `piece` characters, one per chunk. `namespace`: the group of tools that has it, in the dialect of OpenAI's
    responses."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"
    piece: int = 1 << 16
    namespace: str = ""

    @property
    def pieces(self) -> tuple[str, ...]:
        starts = range(0, len(self.arguments), self.piece)
        return tuple(self.arguments[start : start + self.piece] for start in starts)


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one call is answered. Chunks are counted from 0: those of `reasoning` come first, those of
    `tool_calls` (one with the name, then the arguments; only one with Gemini) last. `signature`: of the
    reasoning, and `redacted`: reasoning that cannot be read, one block each, after the other; both only with
    Anthropic. `interleaved`: the pieces of several calls alternate; only in OpenAI's chat completions.

    `hold` names a gate to wait at before a chunk is written: -1 is before the headers, 0 after the
    headers and whatever the dialect sends before the first chunk; the number of chunks is before the
    dialect's closing events, and one more before the end of the body. `head_delay`, `first_delay` (before
    chunk 0) and `delay` (between chunks) are seconds; so is `trickle`, between single bytes. `burst`
    chunks go out in one write.

    At most one of these ends the stream early, after that many chunks: `cut_after` closes the
    connection, `end_after` ends the body in good order but without the dialect's closing events,
    `error_after` sends `failure` as an event of the stream, `malformed_after` sends an event that is
    no JSON (and then goes on). A `failure` without `error_after` is the answer's status.

    `finish`: `stop_sequence=WORD` is a stop sequence that ended a stream, only with Anthropic.

    `key`: None takes any key, "" needs none, anything else is the only one taken. `recalls`: the answer is
    those of these words that the request contains, after the chunks.
    """

    chunks: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    signature: str = "c2ln"
    redacted: tuple[str, ...] = ()
    interleaved: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    usage: Usage | None = None
    head_delay: float = 0.0
    first_delay: float = 0.0
    delay: float = 0.0
    trickle: float = 0.0
    burst: int = 1
    hold: dict[int, str] = {}
    failure: Failure | None = None
    cut_after: int | None = None
    end_after: int | None = None
    error_after: int | None = None
    malformed_after: int | None = None
    key: str | None = None
    recalls: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """What a dialect reads from a request; `words` is the number of words in the whole prompt."""

    model: str
    text: str
    words: int
    stream: bool
    include_usage: bool = True


def recalled(script: Script, request: str) -> Script:
    """Return the script with the words that it recalls among its chunks."""
    known = [word for word in script.recalls if word in request]
    return replace(script, chunks=(*script.chunks, ", ".join(known))) if script.recalls else script


def echo(asked: Asked) -> Script:
    """Return the answer without a script: the model and the last user message, one chunk per word."""
    return Script(chunks=tuple(re.findall(r"\S+\s*", f"{asked.model}: {asked.text}")))


def usage_of(script: Script, asked: Asked) -> Usage:
    """Return the scripted usage, or one token per word of the prompt and one per chunk of the answer."""
    return script.usage or Usage(asked.words, len(script.reasoning) + len(script.chunks))
