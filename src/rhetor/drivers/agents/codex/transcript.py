"""Codex's own transcript of a conversation (a rollout), as observed with version 0.169.

`task_started` begins a passage, and `task_complete` or `turn_aborted` ends it. Older versions write neither,
and the user's message begins the passage. Text is in events; tool calls and results are in items of the
model's protocol. The usage includes the conversation's total, which is repeated when nothing was used.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain.output import Usage
from rhetor.domain.transcript import Ending
from rhetor.drivers.agents.records import count, rows, table, text
from rhetor.drivers.agents.transcript import Transcript

_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "web_search_call")
_ENDS = ("task_complete", "turn_complete")
_STOPS = ("turn_aborted", "task_aborted")


class CodexTranscript(Transcript):
    def __init__(self) -> None:
        super().__init__()
        self._turn = ""
        self._total = (0, 0, 0)
        self._last = ""  # the last text: some versions write it twice, as two types of events
        self._asked = ""

    def _take(self, found: dict[str, Any], offset: int) -> None:
        payload, at = table(found, "payload"), text(found, "timestamp")
        kind = text(payload, "type")
        match text(found, "type"):
            case "session_meta":
                self._meta(payload)
            case "turn_context":
                self.model = text(payload, "model") or self.model
                self.cwd = self.cwd or text(payload, "cwd")
            case "event_msg":
                self._note_time(at)
                self._event(kind, payload, at, offset)
            case "response_item":
                self._item(kind, payload)

    def _is_whole(self) -> bool:
        return not self._turn and self._spoke  # for versions that do not mark the end

    def _meta(self, payload: dict[str, Any]) -> None:
        if self.conversation:
            return  # this line is from the conversation that this one was copied from
        self.conversation = text(payload, "id") or text(payload, "session_id")
        self.cwd = text(payload, "cwd")
        self.is_foreign = isinstance(payload.get("source"), dict)

    def _event(self, kind: str, payload: dict[str, Any], at: str, offset: int) -> None:
        if kind in ("task_started", "turn_started"):
            self._close("interrupted", "another message came first")
            self._turn = text(payload, "turn_id")
        elif kind == "user_message":
            self._person(text(payload, "message"), at, offset)
        elif kind == "item_completed":
            self._completed(table(payload, "item"), at, offset)
        elif kind == "agent_message":
            self._once(text(payload, "message"))
        elif kind == "agent_reasoning":
            self._once(text(payload, "text"), reasoning=True)
        elif kind == "token_count":
            self._tokens(table(payload, "info"))
        elif kind in _ENDS:
            error = text(table(payload, "error"), "message")
            self._close("failed" if error else "completed", error)
        elif kind in _STOPS:
            self._close("interrupted", f"it was {text(payload, 'reason') or 'stopped'}")

    def _completed(self, item: dict[str, Any], at: str, offset: int) -> None:
        match text(item, "type"):
            case "UserMessage":
                self._person(_words(item), at, offset)
            case "AgentMessage":
                self._once(_words(item))
            case "Reasoning":
                self._once(_list(item, "summary_text") or _list(item, "raw_content"), reasoning=True)

    def _person(self, said: str, at: str, offset: int) -> None:
        if not said.strip() or (self.is_open and said == self._asked):
            return
        if self.is_open and self._turn:
            self._add_question(said)  # sent while the turn was running
        else:
            if self.is_open:
                self._close()
            self._begin(self._turn or f"at-{offset}", said, at)
            self._last = ""
        self._asked = said

    def _once(self, said: str, *, reasoning: bool = False) -> None:
        if said != self._last:
            self._say(said, "reasoning" if reasoning else "answer")
        self._last = said

    def _item(self, kind: str, payload: dict[str, Any]) -> None:
        id = text(payload, "call_id") or text(payload, "id")
        if kind in _CALLS:
            name = text(payload, "name") or kind.removesuffix("_call")
            self._call(id, name, _arguments(payload))
        elif kind.endswith("_call_output"):
            output = payload.get("output")
            said = text(output, "content") if isinstance(output, dict) else output
            failed = isinstance(output, dict) and output.get("success") is False
            self._return(id, said, failed)

    def _tokens(self, info: dict[str, Any]) -> None:
        total, last = _stats(table(info, "total_token_usage")), _stats(table(info, "last_token_usage"))
        if any(last) and total != self._total:
            self._use(Usage(self.model, *last))
        self._total = total if any(total) else self._total

    def _close(self, ending: Ending = "completed", detail: str = "") -> None:
        super()._close(ending, detail)
        self._turn = self._asked = ""


def _stats(usage: dict[str, Any]) -> tuple[int, int, int]:
    names = ("input_tokens", "output_tokens", "cached_input_tokens")
    given, said, cached = (count(usage, name) for name in names)
    return given, said, cached


def _words(item: dict[str, Any]) -> str:
    parts = (text(part, "text") or f"[{text(part, 'type')}]" for part in rows(item, "content"))
    return "\n".join(parts)


def _list(item: dict[str, Any], name: str) -> str:
    found = item.get(name)
    return "\n".join(part for part in found if isinstance(part, str)) if isinstance(found, list) else ""


def _arguments(payload: dict[str, Any]) -> Any:
    """Return the arguments of a call, decoded if they are JSON."""
    given = payload.get("arguments", payload.get("input", payload.get("action")))
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError):
        return given
