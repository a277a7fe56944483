"""The common part of agents' transcripts: assembles passages from lines, without I/O.

It knows neither the format of an agent nor where the files are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

import msgspec

from rhetor.codec.lines import Cut
from rhetor.domain.event import Channel
from rhetor.domain.output import Plain, Text, ToolResult, ToolUse, Usage
from rhetor.domain.transcript import Ending, Passage

from .records import object_of

MAX_QUESTION = 1 << 20  # characters of the user's message that are kept
MAX_PART = 256 << 10  # characters of one text, call or result that are kept
MAX_PASSAGE = 8 << 20  # characters of all outputs of a passage that are kept
_CUT = "\n[…] (cut)"
_NO_TIME = 0


class Transcript(ABC):
    """Decodes one file, line by line.

    `conversation` and `cwd` are empty, and `model` is None, until the file has named them. `malformed`: the
    number of lines that cannot be decoded. `is_foreign`: the conversation is a sub-agent's, not the user's.
    Lines of unknown types are skipped. Nothing in a file makes a method raise.
    """

    def __init__(self) -> None:
        self.conversation = ""
        self.cwd = ""
        self.model: str | None = None
        self.malformed = 0
        self.is_foreign = False
        self._id = ""
        self._content: list[str] = []
        self._outputs: list[Plain] = []
        self._room = MAX_PASSAGE
        self._at = self._until = _NO_TIME
        self._spoke = False
        self._done: list[Passage] = []

    @property
    def is_open(self) -> bool:
        """Whether a passage has begun and not ended."""
        return bool(self._id)

    def take(self, line: bytes | Cut, offset: int) -> list[Passage]:
        """Decode a line that begins at byte `offset`, and return the passages that it ends."""
        if isinstance(line, Cut):
            self.malformed += 1
        elif line.strip():
            found = object_of(line)
            if found is None:
                self.malformed += 1
            else:
                self._take(found, offset)
        done, self._done = self._done, []
        return done

    def finish(self, *, is_quiet: bool) -> list[Passage]:
        """Return the last passages at the end of the file. An incomplete passage is returned, as interrupted,
        only if `is_quiet`: the file was not written to for so long that the rest is not expected."""
        if self.is_open and self._is_whole():
            self._close()
        elif self.is_open and is_quiet:
            self._close("interrupted", "its transcript ends before the answer is complete")
        done, self._done = self._done, []
        return done

    @abstractmethod
    def _take(self, found: dict[str, Any], offset: int) -> None:
        """Decode the object of one line."""

    @abstractmethod
    def _is_whole(self) -> bool:
        """Return whether the open passage has a complete answer if no more lines follow."""

    # for subclasses

    def _note_time(self, timestamp: str) -> None:
        self._until = max(self._until, milliseconds(timestamp))

    def _begin(self, id: str, content: str, timestamp: str) -> None:
        self._id = id
        self._content = [_short(content, MAX_QUESTION)]
        self._at = self._until = milliseconds(timestamp)

    def _add_question(self, content: str) -> None:
        self._content.append(_short(content, MAX_QUESTION // 8))

    def _say(self, said: str, channel: Channel = "answer") -> None:
        if not (self.is_open and said):
            return
        said = _short(said, MAX_PART)
        if channel == "answer":
            said = f"\n\n{said}" if self._spoke else said
            self._spoke = True
        self._put(Text(said, channel), len(said))

    def _call(self, id: str, name: str, arguments: Any) -> None:
        size = len(msgspec.json.encode(arguments))
        if size > MAX_PART:
            arguments, size = {"cut": size}, 0
        self._put(ToolUse(id, name, arguments, "agent"), size)

    def _return(self, id: str, result: Any, is_error: bool = False) -> None:
        said = result if isinstance(result, str) else msgspec.json.encode(result).decode()
        said = _short(said, MAX_PART)
        self._put(ToolResult(id, said, is_error), len(said))

    def _use(self, usage: Usage) -> None:
        self._put(usage, 0)

    def _close(self, ending: Ending = "completed", detail: str = "") -> None:
        if not self.is_open:
            return
        content = "\n\n".join(part for part in self._content if part.strip())
        if content:
            self._done.append(
                Passage(
                    self._id,
                    self._at,
                    max(self._at, self._until),
                    content,
                    tuple(self._outputs),
                    ending,
                    detail,
                    self.model,
                )
            )
        self._drop()

    def _drop(self) -> None:
        """Discard the open passage."""
        self._id, self._content, self._outputs = "", [], []
        self._room, self._spoke = MAX_PASSAGE, False

    def _put(self, output: Plain, size: int) -> None:
        if self.is_open and size <= self._room:
            self._room -= size
            self._outputs.append(output)


def milliseconds(timestamp: str) -> int:
    """Return an RFC 3339 timestamp as Unix time in milliseconds; 0 if it is invalid."""
    try:
        found = datetime.fromisoformat(timestamp)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return max(0, int(found.timestamp() * 1000))
    except (ValueError, OverflowError):
        return _NO_TIME


def _short(said: str, most: int) -> str:
    return said if len(said) <= most else said[:most] + _CUT
