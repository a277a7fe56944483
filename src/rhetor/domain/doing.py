"""What a peer does in a turn, as one short line: `answers`, `thinks`, `calls Bash: npm test`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rhetor.errors import one_line

from .output import Output, Permission, Reasoned, Text, ToolResult, ToolUse
from .tool_subject import subject_of

MOST_CHARACTERS = 120
Plain = Literal["answers", "thinks", "works"]
_PAUSED = {"quota": "waits: its usage limit is reached", "budget": "waits: a budget is used up"}


class Doing:
    """What a peer does in one turn. `current`: changes exactly if the line changes; None until it has done
    something."""

    __slots__ = ("_asked", "_using", "current")

    def __init__(self) -> None:
        self.current: Plain | ToolUse | Permission | None = None
        self._using: dict[str, ToolUse] = {}
        self._asked: dict[str, Permission] = {}

    def note(self, output: Output) -> None:
        """Note an output that the turn records."""
        match output:
            case Text(channel="answer"):
                self.current = "answers"
            case Text(channel="reasoning") | Reasoned():
                self.current = "thinks"
            case ToolUse(call_id, runs_at="hub" | "agent" | "client"):
                self.current = self._using[call_id] = output
            case ToolResult(call_id):
                self.over(call_id)

    def ask(self, asked: Permission) -> None:
        """Note that the turn waits for an answer."""
        self.current = self._asked[asked.request_id] = asked

    def over(self, id: str) -> None:
        """Note that a tool call has returned, or that a request was answered."""
        ended: ToolUse | Permission | None = self._using.pop(id, None) or self._asked.pop(id, None)
        if ended is not None and ended is self.current:
            left: list[ToolUse | Permission] = [*self._using.values(), *self._asked.values()]
            self.current = left[-1] if left else "works"

    @property
    def line(self) -> str | None:
        """The line; None until the peer has done something."""
        return _line(self.current)

    @property
    def waits(self) -> str:
        """The line of a turn that waits for an answer."""
        called = [use for use in self._using.values() if use.runs_at == "client"]
        asked: list[ToolUse | Permission] = [*called, *self._asked.values()]
        return (_line(asked[-1]) if asked else None) or "waits for an answer"


def _line(current: Plain | ToolUse | Permission | None) -> str | None:
    match current:
        case ToolUse(name=name, arguments=arguments, runs_at=runs_at):
            verb = "waits for" if runs_at == "client" else "calls"
            return _cut(f"{verb} {_with_subject(name, arguments)}")
        case Permission(tool="quota" | "budget" as cause, detail={"paused": _}):
            return _PAUSED[cause]
        case Permission(tool=tool, questions=questions):
            return _cut("waits for an answer" if questions else f"waits for permission: {one_line(tool)}")
    return current


def _with_subject(name: str, arguments: Any) -> str:
    subject = subject_of(arguments, _shown)
    return f"{one_line(name)}: {subject}" if subject else one_line(name)


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        value = "" if value is None else msgspec.json.encode(value).decode()
    return " ".join(value[: 4 * MOST_CHARACTERS].split())


def _cut(line: str) -> str:
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1].rstrip()}…"
