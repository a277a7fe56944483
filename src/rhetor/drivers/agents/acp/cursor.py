"""Cursor's own protocol, `cursor-agent -p --output-format stream-json`: one process per turn.

**Not observed**: no package registry has the program, so this follows its documentation
(https://cursor.com/docs/cli/reference/output-format): `system/init` with `session_id` and `model`, `user`,
`assistant` with a complete piece of the answer, `tool_call` `started` and `completed`, `thinking` deltas, and
one `result` at the end. A turn that fails has no `result`: the process ends, and writes the reason to stderr.

The prompt is a command-line argument, so the process of the conversation is `run_per_turn.py`, which starts
Cursor for each turn. Cursor does not ask for permissions: without `--force` in its configured arguments it
does not change files. An interrupt ends its process. Conversations cannot be forked. Each line becomes a
`Record`, except for the deltas of `thinking`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from rhetor.domain.output import Plain, Text, ToolResult, ToolUse
from rhetor.domain.parts import TEXT_ONLY
from rhetor.domain.questions import Answers
from rhetor.drivers.agents.failures import Interrupted, failed
from rhetor.drivers.agents.parts import require_taken
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.drivers.agents.records import count, object_of, record_of, rows, table, text
from rhetor.drivers.base import Attachment
from rhetor.errors import TurnFailure

AGENT = "cursor"
RUN_PER_TURN = Path(__file__).parents[1] / "run_per_turn.py"


class Cursor(AgentProtocol):
    """A conversation with Cursor.

    `memory` has `session_id`; `turns`, the number of turns so far; and `model`, the last one reported.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._in_turn = False
        self._stopping = False
        self._said = False
        self._turn = 0  # the number of the running turn, or a lower one

    @property
    def place(self) -> tuple[str, int] | None:
        known = text(self.memory, "session_id")
        return (known, count(self.memory, "turns")) if known else None

    def command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return (sys.executable, "-I", "-S", str(RUN_PER_TURN), *argv, *self.arguments())

    def arguments(self) -> tuple[str, ...]:
        return ("-p", "--output-format", "stream-json")

    def turn_arguments(self, content: str) -> tuple[str, ...]:
        """Return the arguments that a turn with this message needs in addition to `arguments`."""
        model = () if self.opening.model is None else ("--model", self.opening.model)
        earlier = text(self.memory, "session_id")
        resume = ("--resume", earlier) if earlier and earlier[0] != "-" else ()
        return (*model, *resume, "--", content)

    def opening_lines(self) -> tuple[bytes, ...]:
        return ()

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self._in_turn = in_turn
        # the running turn may not be in the memory yet; the next one must have another number
        self._turn = count(self.memory, "turns")
        self.memory["turns"] = self._turn + 1
        # the earlier text is unknown, and `result` repeats it: leave it out rather than output it twice
        self._said = in_turn

    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        require_taken(attachments, TEXT_ONLY, AGENT)
        self._in_turn, self._stopping, self._said = True, False, False
        self._turn = self.memory["turns"] = count(self.memory, "turns") + 1
        return (msgspec.json.encode({"turn": self._turn, "arguments": self.turn_arguments(content)}),)

    def decode(self, line: bytes) -> Decoded:
        found = object_of(line)
        record = record_of(line, found)
        kind = text(found, "type")
        if kind == "thinking" and text(found, "subtype") == "delta" and text(found, "text"):
            return Decoded((Text(text(found, "text"), "reasoning"),))
        if session_id := text(found, "session_id"):
            self.memory["session_id"] = session_id
        if kind == "system" and text(found, "model"):
            self.memory["model"] = text(found, "model")
        if kind == "result" and self._in_turn:
            return self._ended(found, record)
        if kind == "process.exited" and self._in_turn and count(found, "turn") >= self._turn:
            return self._over(record, self._without_result(found))
        if kind == "tool_call":
            return Decoded((record, *_call(found)))
        if kind == "assistant":
            return Decoded((record, *self._text(_words(found))))
        return Decoded((record,))

    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
        return ()

    def interrupt(self) -> tuple[bytes, ...]:
        self._stopping = self._in_turn
        return (msgspec.json.encode({"stop": True}),) if self._in_turn else ()

    def _text(self, words: str) -> list[Plain]:
        self._said = self._said or bool(words)
        return [Text(words)] if words else []

    def _ended(self, found: Any, record: Plain) -> Decoded:
        whole = text(found, "result")
        is_error = found.get("is_error") is True or text(found, "subtype") not in ("", "success")
        failure: TurnFailure | None = None
        if self._stopping:
            failure = Interrupted(AGENT)
        elif is_error:
            failure = failed(AGENT, whole)
        rest = [] if failure or self._said else self._text(whole)
        return self._over(record, failure, *rest)

    def _without_result(self, found: Any) -> TurnFailure:
        if self._stopping:
            return Interrupted(AGENT)
        last = text(found, "said").strip().rpartition("\n")[2]
        return failed(AGENT, last or "it ended without a result")

    def _over(self, record: Plain, failure: TurnFailure | None, *rest: Plain) -> Decoded:
        self._in_turn = self._stopping = False
        return Decoded((record, *rest), ended=True, failure=failure)


def _words(found: Any) -> str:
    return "".join(text(part, "text") for part in rows(table(found, "message"), "content"))


def _call(found: Any) -> list[Plain]:
    """Return the call or the result in a `tool_call` line.

    Its shape is `{"readToolCall": {"args": …, "result": …}}` or `{"function": {"name": …, "arguments": …}}`.
    """
    id = text(found, "call_id")
    named = [(key, value) for key, value in table(found, "tool_call").items() if isinstance(value, dict)]
    if not id or not named:
        return []
    key, call = named[0]
    if text(found, "subtype") == "started":
        name = text(call, "name") or key.removesuffix("ToolCall")
        return [ToolUse(id, name, call.get("args", call.get("arguments")), "agent")]
    if text(found, "subtype") == "completed":
        result = table(call, "result")
        succeeded = result.get("success")
        return [ToolResult(id, call.get("result") if succeeded is None else succeeded, succeeded is None)]
    return []
