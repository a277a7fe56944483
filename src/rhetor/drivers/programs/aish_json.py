"""Programs on pipes that speak `aish-json`: one JSON object per line in both directions.

The hub writes `{"type": "command", "content", "context": {from, turn_id, purpose, via}, "session_id"}`. If
there is context, it first writes `{"type": "context_injection", "prompts", "metadata": {source, timestamp,
origin}}`. At the start it writes `{"type": "capability_query", "version"}`. The program writes `chunk` (a
piece of an answer), `response` (the whole answer, or its end after chunks), `done` or `error`. An object
with `content` but no type is a response; one with `capabilities` declares what the program is good at.
Other objects are recorded as they are. The format is described on the configuration page of the
documentation.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from rhetor.codec.lines import Cut, Lines
from rhetor.domain.event import ContextInjected
from rhetor.domain.output import Done, Plain, Record, Spooled, Text
from rhetor.drivers.base import Prompt
from rhetor.errors import TurnFailure

from .host.failures import HostLost, HostSilent, ProgramOver
from .host.feed import Stderr
from .host.values import Chunk, Exited
from .program import clock, of_stderr
from .stdio import StdioProgram

MAX_CAPABILITIES, MAX_NAME = 100, 100
SOURCE = "apollo-rhetor"
QUERY = {"type": "capability_query", "version": "1.0"}
_TEXTS = ("content", "text", "message", "data", "detail")


class JsonProgram(StdioProgram):
    """A program that speaks aish-json, and so marks the end of its answers itself."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lines = Lines()
        self._error: str | None = None
        self._asked = self.feed.offset > 0
        self._capabilities: dict[str, float] = {}

    @property
    def capabilities(self) -> Mapping[str, float]:
        return self._capabilities

    async def listen(self) -> AsyncGenerator[Spooled, None]:
        await self._ask_for_capabilities()
        while self.ended is None:
            item = await self.feed.next_unclaimed(None)
            if item is None:
                return
            if isinstance(item, Stderr):
                yield of_stderr(self.source, item)
                continue
            said = self._taken(item)
            yield self._spooled([output for line in said for output in self._meant(line)[0]])

    async def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        envelopes = b"".join(map(_injection, message.context)) + _command(message)
        await self.link.write(envelopes, "text")
        finished, heard, spoken, self._error = False, clock(), "", None
        while not finished:
            item = await self.feed.next(self.stuck_deadline(heard))
            if isinstance(item, Stderr):
                yield of_stderr(self.source, item)
                continue
            if item is None:
                self.set_status("stuck", f"no output for {clock() - heard:.0f} s in a running turn")
                heard = clock()
                continue
            heard, outputs = clock(), list[Plain]()
            for line in self._taken(item):
                meant, ends = self._meant(line, spoken)
                outputs += meant
                spoken += "".join(output.text for output in meant if isinstance(output, Text))
                finished = finished or ends
            yield self._spooled(outputs)
            if self.ended is not None and not finished:
                raise self.failure()
        if self._error is not None:
            raise TurnFailure(f"{self.peer.name}: {self._error}")
        yield Done()

    def _taken(self, item: Chunk | Exited | HostLost) -> list[bytes | Cut]:
        if isinstance(item, Chunk):
            return self._lines.feed(item.data)
        self.note_end(item)
        return self._lines.finish()

    def _spooled(self, outputs: list[Plain]) -> Spooled:
        return Spooled(self.source, self.feed.offset - self._lines.held, tuple(outputs))

    def _meant(self, line: bytes | Cut, spoken: str = "") -> tuple[list[Plain], bool]:
        """Return the outputs of a line, and whether it ends the answer. `spoken` is the answer so far."""
        said = _object(line)
        if said is None:
            return [_unread(line)] if line else [], False
        text = next((value for key in _TEXTS if isinstance(value := said.get(key), str)), "")
        match said.get("type", "response" if "content" in said else ""):
            case "chunk" | "content":
                return [Text(text), Record(said)], False
            case "response" | "result":
                return [Text("" if spoken and spoken == text else text), Record(said)], True
            case "done":
                return [Record(said)], True
            case "error":
                self._error = text or "the program reported an error"
                return [Record(said)], True
        self._note_capabilities(said.get("capabilities"))
        return [Record(said)], False

    def _note_capabilities(self, said: Any) -> None:
        if isinstance(said, dict):
            for name, score in said.items():
                known = len(self._capabilities) < MAX_CAPABILITIES or name in self._capabilities
                if known and isinstance(score, bool | int | float) and 0 <= score <= 1:
                    self._capabilities[str(name)[:MAX_NAME].replace("_", "-")] = float(score)

    async def _ask_for_capabilities(self) -> None:
        if not self._asked:
            self._asked = True
            try:
                await self.link.write(msgspec.json.encode(QUERY) + b"\n", "text")
            except (HostLost, HostSilent, ProgramOver):
                pass  # the reader of its output reports that it has ended


def _injection(context: ContextInjected) -> bytes:
    """Return the line for a context. Programs read a fixed `source`, and the time as a number of seconds;
    where the context comes from is its `origin`."""
    given = dict(context.metadata)
    origin, at = given.pop("source", None), given.pop("timestamp", None)
    metadata = {"source": SOURCE, "timestamp": _seconds(at), "origin": origin, **given}
    said = {"type": "context_injection", "prompts": context.prompts, "metadata": metadata}
    return msgspec.json.encode(said) + b"\n"


def _seconds(at: Any) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except (TypeError, ValueError):
        return time.time()


def _command(message: Prompt) -> bytes:
    origin = message.origin
    context: dict[str, Any] = {}
    if origin is not None:
        context = {
            "from": origin.sender,
            "turn_id": origin.turn_id,
            "purpose": origin.purpose,
            "via": origin.via,
        }
    said = {
        "type": "command",
        "content": message.content,
        "context": context,
        "session_id": origin.session_id if origin is not None else None,
    }
    return msgspec.json.encode(said) + b"\n"


def _object(line: bytes | Cut) -> dict[str, Any] | None:
    if isinstance(line, Cut):
        return None
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unread(line: bytes | Cut) -> Record:
    """Return the record of a line that is not a JSON object, or is too long."""
    start = line.start if isinstance(line, Cut) else line
    note = {"cut": line.bytes} if isinstance(line, Cut) else None
    return Record(note, base64.b64encode(start).decode())
