"""Continue's `cn serve`, as version 1.5 was seen to do: its state, asked for again and again, as what is new.

Whoever runs it polls `GET /state` and gives each answer's body to `take`, as a line; what this writes are
requests, each an object with `method`, `path` and `body`: `POST /message {message}`, `POST /permission
{requestId, approved}`, `POST /pause`. A state holds the whole history, so not states are kept as records
but each entry of the history, once, where it is first seen. There are no deltas: an answer comes whole.

Seen, and relied on: `/message` has its message in the history, and is processing, before it answers.
`/pause` says at once that nothing runs. A provider's error is an answer without `usage` that begins with
`Error: `. A tool that is to be asked for (`--ask`) is refused instead, with the end of the turn:
`pendingPermission` was read in its source, and not seen. A conversation ends with its process: there is no
way to go on with it, nor with a copy.

It listens on every interface, asks nobody for a key, and ends after 300 s without a request (`--timeout`).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Permission, Plain, Record, Text, ToolResult, ToolUse, Usage, Withdrawn
from rhetor.errors import TurnFailure

from .failures import Interrupted, refused
from .records import count, object_of, record_of, rows, table, text
from .speech import Heard, Opening, Speech

AGENT = "continue"
_OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
_RETURNED = ("done", "errored", "canceled")
_ERROR = re.compile(r"Error: (?:(\d{3})\b)?")


class ContinueServe(Speech):
    """`memory`: `session_id`; `turns`, how many there were; `begun`, whether the running one is in the
    history; `seen`, how many of its entries are done with; of the next one `said` (characters), `told` and
    `returned` (ids of calls), `kept` (whether as a record), `used` (whether its usage was told); `failed`,
    why the turn did."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._in_turn = False
        self._stopping = False
        self._asked: str | None = None

    def arguments(self) -> tuple[str, ...]:
        return ()

    def open(self) -> tuple[bytes, ...]:
        self.memory = {"turns": count(self.memory, "turns"), "seen": 0}
        return ()

    def reopen(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self._in_turn = in_turn
        self._asked = next(iter(asked), None)

    def say(self, content: str) -> tuple[bytes, ...]:
        self._in_turn, self._stopping = True, False
        self.memory["turns"] = count(self.memory, "turns") + 1
        self.memory["begun"] = False
        return (_request("/message", {"message": content}),)

    def take(self, line: bytes) -> Heard:
        state = object_of(line)
        if state is None or not isinstance(state.get("session"), dict):
            return Heard((record_of(line, state),))
        session = state["session"]
        self._follow(text(session, "sessionId"))
        idle = state.get("isProcessing") is not True and not count(state, "messageQueueLength")
        outputs = self._news(rows(session, "history"), idle)
        if not (self._in_turn and idle and self.memory.get("begun")):
            return Heard((*outputs, *self._question(state)))
        self._in_turn = False
        self._asked = None
        failure: TurnFailure | None = Interrupted(AGENT) if self._stopping else self._failure()
        return Heard(tuple(outputs), ended=True, failure=failure)

    def answer(self, request_id: str, option_id: str | None) -> tuple[bytes, ...]:
        if request_id != self._asked:
            return ()
        self._asked = None
        body = {"requestId": request_id.partition("-")[2], "approved": option_id == "allow"}
        return (_request("/permission", body),)

    def interrupt(self) -> tuple[bytes, ...]:
        if not self._in_turn:
            return ()
        self._stopping = True
        left = () if self._asked is None else self.answer(self._asked, None)
        return (_request("/pause", {}), *left)

    def _follow(self, session_id: str) -> None:
        if session_id != self.memory.get("session_id"):
            self.memory |= {"session_id": session_id, "seen": 0}
            self._next_entry()

    def _news(self, history: list[dict[str, Any]], idle: bool) -> list[Plain]:
        outputs: list[Plain] = []
        if len(history) < count(self.memory, "seen"):  # it was made shorter, to fit the model
            self.memory["seen"] = len(history)
            self._next_entry()
        for index in range(count(self.memory, "seen"), len(history)):
            outputs += self._entry(history[index])
            if index + 1 < len(history) or idle:
                self.memory["seen"] = index + 1
                self._next_entry()
        return outputs

    def _entry(self, entry: dict[str, Any]) -> list[Plain]:
        message, outputs = table(entry, "message"), list[Plain]()
        if not self.memory.get("kept"):
            self.memory["kept"] = True
            outputs.append(Record(entry))
        role = text(message, "role")
        if role == "user" and self._in_turn and not self.memory.get("begun"):
            self.memory |= {"begun": True, "failed": None}
        if role != "assistant" or not (self._in_turn and self.memory.get("begun")):
            return outputs  # what an earlier turn left behind is not of this one
        said = _words(message)
        if _ERROR.match(said) and not isinstance(message.get("usage"), dict):
            self.memory["failed"] = said
            return outputs
        return [*outputs, *self._text(said), *self._calls(entry, message), *self._usage(message)]

    def _text(self, said: str) -> list[Plain]:
        new = said[count(self.memory, "said") :]
        self.memory["said"] = max(len(said), count(self.memory, "said"))
        return [Text(new)] if new else []

    def _calls(self, entry: dict[str, Any], message: dict[str, Any]) -> list[Plain]:
        outputs: list[Plain] = []
        states = {text(state, "toolCallId"): state for state in rows(entry, "toolCallStates")}
        for call in rows(message, "toolCalls"):
            id = text(call, "id")
            state = states.get(id, {})
            if self._is_new("told", id):
                outputs.append(
                    ToolUse(id, text(table(call, "function"), "name"), _arguments(call, state), "agent")
                )
            status = text(state, "status")
            if status in _RETURNED and self._is_new("returned", id):
                result = "".join(text(piece, "content") for piece in rows(state, "output"))
                outputs.append(ToolResult(id, result, status != "done"))
        return outputs

    def _usage(self, message: dict[str, Any]) -> list[Plain]:
        usage = table(message, "usage")
        if not usage or self.memory.get("used"):
            return []
        self.memory["used"] = True
        taken, given = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
        cached = count(table(usage, "prompt_tokens_details"), "cached_tokens") or None
        return [Usage(text(usage, "model") or None, taken, given, cached, _cost(usage.get("cost_cents")))]

    def _question(self, state: dict[str, Any]) -> list[Plain]:
        pending = table(state, "pendingPermission")
        request_id = f"{count(self.memory, 'turns')}-{text(pending, 'requestId')}"
        if not pending and self._asked is not None:
            gone, self._asked = self._asked, None
            return [Withdrawn(gone)]
        if not pending or not self._in_turn or self._stopping or request_id == self._asked:
            return []
        self._asked = request_id
        tool = text(pending, "toolName") or "tool"
        return [Record(pending), Permission(request_id, tool, pending, _OPTIONS)]

    def _is_new(self, key: str, id: str) -> bool:
        known = self.memory.setdefault(key, [])
        if id in known:
            return False
        self.memory[key] = [*known, id]
        return True

    def _next_entry(self) -> None:
        for key in ("said", "told", "returned", "kept", "used"):
            self.memory.pop(key, None)

    def _failure(self) -> TurnFailure | None:
        said = text(self.memory, "failed")
        status = _ERROR.match(said)
        if status is None:
            return None
        return refused(AGENT, said.removeprefix("Error: "), int(status[1]) if status[1] else None, None)


def _request(path: str, body: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"method": "POST", "path": path, "body": body})


def _words(message: dict[str, Any]) -> str:
    """Its content is a text, or parts of which some are."""
    return text(message, "content") or "".join(text(part, "text") for part in rows(message, "content"))


def _arguments(call: dict[str, Any], state: dict[str, Any]) -> Any:
    parsed = state.get("parsedArgs")
    return parsed if parsed is not None else text(table(call, "function"), "arguments")


def _cost(cents: Any) -> str | None:
    """USD; None where the price is not known, which they write as 0."""
    if isinstance(cents, bool) or not isinstance(cents, int | float) or cents <= 0:
        return None
    return f"{Decimal(str(cents)) / 100:f}"
