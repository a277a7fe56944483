"""What a scripted call answers, as values: they know no dialect and do no I/O.

All of them can be sent as JSON to a provider that runs as a process of its own.
"""

import re

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token figures as the provider reports them; `cached` is a part of `input`, `reasoning` of `output`."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refused call: `body` as it stands, or else the dialect's own words for `status` and `reason`.

    `reason` is "" or one of context_overflow, quota, unknown_model.
    """

    status: int
    reason: str = ""
    headers: dict[str, str] = {}
    body: str | None = None


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that the answer ends with. `arguments` go out as they stand, JSON or not, in pieces of
    `piece` characters, each a chunk."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"
    piece: int = 1 << 16

    @property
    def pieces(self) -> tuple[str, ...]:
        starts = range(0, len(self.arguments), self.piece)
        return tuple(self.arguments[start : start + self.piece] for start in starts)


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one call is answered; chunks are counted from 0: those of `reasoning` come first, those of
    `tool_calls` (one that names it, then its arguments; with Gemini one in all) last.

    `hold` names a gate to wait at before a chunk is written: -1 is before the headers, 0 after the
    headers and whatever the dialect sends ahead of the first chunk; the number of chunks is before the
    dialect's closing events, and one more before the end of the body. `head_delay`, `first_delay` (before
    chunk 0) and `delay` (between chunks) are seconds; so is `trickle`, between single bytes. `burst`
    chunks go out in one write.

    At most one of these ends the stream early, after that many chunks: `cut_after` closes the
    connection, `end_after` ends the body in good order but without the dialect's closing events,
    `error_after` sends `failure` as an event of the stream, `malformed_after` sends an event that is
    no JSON (and then goes on). A `failure` without `error_after` is the answer's status.

    `key`: None takes any key, "" needs none, anything else is the only one taken.
    """

    chunks: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
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


class Asked(msgspec.Struct, frozen=True):
    """What a dialect reads out of a request; `words` counts those of the whole prompt."""

    model: str
    text: str
    words: int
    stream: bool
    include_usage: bool = True


def echo(asked: Asked) -> Script:
    """The answer when nothing is scripted: the model and the last user message, a chunk a word."""
    return Script(chunks=tuple(re.findall(r"\S+\s*", f"{asked.model}: {asked.text}")))


def usage_of(script: Script, asked: Asked) -> Usage:
    """The scripted figures, else one token a word asked and one a chunk said."""
    return script.usage or Usage(asked.words, len(script.reasoning) + len(script.chunks))
