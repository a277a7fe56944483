"""What agents' own files have in common: passages that are put together from lines, without I/O.

It knows no agent's format, and where the files are it refuses to know.
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

MAX_QUESTION = 1 << 20  # characters of what was asked that are taken
MAX_PART = 256 << 10  # characters of one text, call or result
MAX_PASSAGE = 8 << 20  # of all that came of one question
_CUT = "\n[…] (cut)"
_NO_TIME = 0


class Transcript(ABC):
    """One file, line by line. `conversation`, `cwd`, `model`: as far as they were said; `malformed`: lines
    that cannot be read; `is_foreign`: it is no conversation with a person, but a sub-agent's. What is not
    known is passed over, and nothing raises on what a file says."""

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
        """Whether a passage has begun that is not over."""
        return bool(self._id)

    def take(self, line: bytes | Cut, offset: int) -> list[Passage]:
        """The passages that are over with this line, which begins at `offset`."""
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
        """At the end of the file: the last passage, if it is over. `is_quiet`: nobody has written for long,
        so that no more of it will come."""
        if self.is_open and self._is_whole():
            self._close()
        elif self.is_open and is_quiet:
            self._close("interrupted", "its transcript ends before the answer is complete")
        done, self._done = self._done, []
        return done

    @abstractmethod
    def _take(self, found: dict[str, Any], offset: int) -> None:
        """What one line says."""

    @abstractmethod
    def _is_whole(self) -> bool:
        """Whether the passage has its answer, should nothing come any more."""

    # what subclasses say

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
        """Forget the passage that has begun."""
        self._id, self._content, self._outputs = "", [], []
        self._room, self._spoke = MAX_PASSAGE, False

    def _put(self, output: Plain, size: int) -> None:
        if self.is_open and size <= self._room:
            self._room -= size
            self._outputs.append(output)


def milliseconds(timestamp: str) -> int:
    """Of RFC 3339, since 1970; 0 where it is none."""
    try:
        found = datetime.fromisoformat(timestamp)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return max(0, int(found.timestamp() * 1000))
    except (ValueError, OverflowError):
        return _NO_TIME


def _short(said: str, most: int) -> str:
    return said if len(said) <= most else said[:most] + _CUT
