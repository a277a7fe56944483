"""The Agent Client Protocol, version 1, as observed with `opencode acp` 1.18 and `gemini --acp` 0.61.

Each line becomes a `Record`, except for the chunks of text and thoughts, whose content is in the outputs made
from them, for the history that an agent repeats while it loads a conversation, which the log already has, and
for the answers to our barriers.

The hub offers the agent neither files nor terminals: the agent uses its own, and a request for ours is
rejected. The ids of our requests name their purpose, so that a later hub understands the answers too.

Observed, and relied on: history may come after the answer to `session/load`, so a request that changes
nothing (a barrier) follows it, and everything before its answer is history; `session/resume` repeats nothing.
The rest of an answer may come after the response to its prompt, so a barrier follows that too. What comes
even later, within the next turn, is told apart by the ids of messages and tool calls. An agent may request a
permission after it was interrupted.

A barrier is a request for the list of sessions, or one with an unknown method if the agent has no list:
opencode prints each unknown method as an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rhetor.domain.output import Permission, Plain, Withdrawn
from rhetor.domain.parts import TAKES, Take
from rhetor.domain.questions import Answers
from rhetor.drivers.agents import plans, reports
from rhetor.drivers.agents.failures import Interrupted, failed, is_of_lost_conversation, refused
from rhetor.drivers.agents.jsonrpc import Outgoing
from rhetor.drivers.agents.parts import acp_part, require_taken, texts
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.drivers.agents.records import object_of, record_of, rows, table, text
from rhetor.drivers.base import Attachment
from rhetor.drivers.resets import named_in
from rhetor.errors import InputUnsupported, TurnFailure

from . import permissions, updates
from .messages import Messages

VERSION = 1
# how long the rest of an answer may take after the response to its prompt, in seconds: some agents (opencode
# 1.15 to 1.17) send both from different tasks
TAIL_SECONDS = 0.25
BARRIER_SECONDS = 1.0  # for the answer to the request that follows the end of a prompt
MAX_ASKED = 64  # open permission requests at a time; further ones are answered as cancelled

CANCELLED = -32800  # the error code for a request that the agent itself has cancelled
_LOGIN_WANTED = -32000
_FINISH = {"max_tokens": "length"}
_CUT_SHORT = {
    "max_turn_requests": "it reached its limit of model calls in a turn",
    "refusal": "it refuses to continue this conversation",
}

_State = Literal["opening", "ready", "refused"]


class Acp(AgentProtocol):
    """A conversation with an ACP agent.

    `memory` has `session_id`; `prompts`, the number of prompts so far; `open`, whether this process has
    opened the conversation; `takes`, what the agent takes besides text; `forks`, whether it can continue a
    copy; `lists`, whether it lists its sessions; `model`; `cost`, the cost of the whole conversation in USD;
    and `answered`, the number of the last prompt that was answered.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._state: _State = "opening"
        self._agent = "the agent"
        self._can: dict[str, Any] = {}
        self._ways_in: list[str] = []
        self._lines = Outgoing()
        self._step = _initialize()  # the request that was sent last to open the conversation
        self._steps: list[bytes] = []  # the requests to send after it
        self._repeats = True  # whether the agent repeats the history while it opens the conversation
        self._waiting: tuple[str, Sequence[Attachment]] | None = None
        self._in_turn = False
        self._stopping = False
        self._asked: dict[str, int | str] = {}
        self._calls = updates.Calls()
        self._messages = Messages()
        self._cost: str | None = None
        self._finish_reason = "stop"
        self._has_barriers = True  # the agent answers requests with an unknown method

    def can_fork(self) -> bool:
        return self.memory.get("forks") is not False

    @property
    def place(self) -> tuple[str, int] | None:
        return (self._session_id, self._prompts) if self._session_id else None

    def arguments(self) -> tuple[str, ...]:
        return ()

    def opening_lines(self) -> tuple[bytes, ...]:
        self.memory["open"] = False
        return (self._step,)

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self._state = "ready" if self.memory.get("open") else "opening"
        self._in_turn = in_turn
        if in_turn and self.memory.get("answered") == self._prompts:
            self.settle_after = TAIL_SECONDS
        self._asked = {id: own for id in asked if (own := permissions.agents_id(id)) is not None}

    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        if self._state == "ready":
            require_taken(attachments, self._takes, self._agent)
        self._in_turn, self._stopping = True, False
        if self.opening.persona is not None:  # the protocol has no field for it
            content = f"{self.opening.persona}\n\n{content}"
        if self._state == "ready":
            return (self._prompt(content, attachments),)
        self._waiting = content, attachments
        if self._state == "opening":
            return ()
        self._state = "opening"
        return (self._step,)

    def decode(self, line: bytes) -> Decoded:
        message = object_of(line)
        record = record_of(line, message)
        if message is None:
            return Decoded((record,))
        method = text(message, "method")
        if method == "session/update":
            return self._updated(table(table(message, "params"), "update"), record)
        if method == "$/cancel_request":
            return self._withdrawn(table(message, "params").get("requestId"), record)
        if method and "id" in message:
            return self._requested(message["id"], method, table(message, "params"), record)
        if not method and "id" in message:
            return self._responded(message["id"], message, record)
        return Decoded((record,))

    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
        asked = self._asked.pop(request_id, None)
        if asked is None:
            return ()
        return (self._lines.reply(asked, permissions.outcome(option_id)),)

    def interrupt(self) -> tuple[bytes, ...]:
        if not self._in_turn:
            return ()
        self._stopping = True
        if self._state != "ready":
            return ()
        # this comes first: otherwise the cancelled permissions make an agent call its model again
        cancel = self._lines.notification("session/cancel", {"sessionId": self._session_id})
        return (cancel, *(line for id in list(self._asked) for line in self.answer(id, None)))

    def settle(self) -> Decoded:
        """End the turn: the rest of its answer has arrived."""
        self._has_barriers = self._has_barriers and self.settle_after != BARRIER_SECONDS
        self.settle_after = None
        rest = (*self._calls.over(), *self._messages.over(self.turn, answered=True))
        return Decoded(rest, self._at_rest(), ended=True, finish_reason=self._finish_reason)

    @property
    def _session_id(self) -> str:
        return text(self.memory, "session_id")

    # requests from the agent

    def _requested(self, id: Any, method: str, params: dict[str, Any], record: Plain) -> Decoded:
        if method != "session/request_permission":
            return Decoded((record,), (self._lines.refusal(id, f"{method[:100]} is not supported"),))
        call, offered = table(params, "toolCall"), permissions.options(params)
        request_id = permissions.request_id(self._prompts, id)
        mute = not self._in_turn or self._stopping or len(self._asked) >= MAX_ASKED
        if mute or not offered or request_id is None:
            return Decoded((record,), (self._lines.reply(id, permissions.outcome(None)),))
        self._asked[request_id] = id
        # not the title: the model chooses it, and it is usually the command itself
        tool = text(call, "kind") or "other"
        return Decoded((record, *self._calls.asked(call), Permission(request_id, tool, call, offered)))

    def _withdrawn(self, id: Any, record: Plain) -> Decoded:
        """Withdraw a request that the agent has cancelled, which must still be answered
        (https://agentclientprotocol.com/rfds/request-cancellation)."""
        gone = [ours for ours, own in self._asked.items() if own == id and type(own) is type(id)]
        for ours in gone:
            del self._asked[ours]
        refusals = tuple(self._lines.refusal(id, "the request was cancelled", CANCELLED) for _ in gone)
        return Decoded((record, *map(Withdrawn, gone)), refusals)

    # updates from the agent

    def _updated(self, update: dict[str, Any], record: Plain) -> Decoded:
        kind = text(update, "sessionUpdate")
        self.reported |= reports.of_acp_update(update)
        if self._state != "ready" and (kind.endswith("_chunk") or kind.startswith(("tool_call", "plan"))):
            return Decoded()
        if (delta := updates.delta(update)) is not None:
            told = self._messages.take(delta, text(update, "messageId"), self.turn, in_turn=self._in_turn)
            return Decoded((*told,) if told else (record,))
        outputs = self._calls.take(update) if kind in ("tool_call", "tool_call_update") else []
        if kind == "usage_update":
            self._cost = updates.total_cost(update) or self._cost
        elif kind == "config_option_update":
            self._note_model(update)
        elif kind == "plan":
            outputs = [plans.of_acp(update)]
        return Decoded((record, *outputs))

    # answers to our requests

    def _responded(self, id: Any, message: dict[str, Any], record: Plain) -> Decoded:
        error = message.get("error")
        result = table(message, "result")
        if self._is_of_this_prompt(id) and self._in_turn and self.settle_after is None:
            return self._ended(result, error, record)
        if isinstance(id, str) and id.startswith("end-"):
            if self.settle_after is not None:
                self.settle_after = TAIL_SECONDS
            return Decoded()
        if self._state == "ready" or id not in ("initialize", "session", "model", "barrier"):
            return Decoded((record,))
        if error is not None and id != "barrier":
            return self._refused(self._failure(error), record)
        if id == "initialize":
            return self._initialized(result, record)
        if id == "barrier":
            return self._next_step()
        if id == "session":
            self._opened(result)
        elif id == "model":
            self.memory["model"] = updates.model_of(result) or self.opening.model
        return self._next_step(record)

    def _is_of_this_prompt(self, id: Any) -> bool:
        """Return whether the answer with this id is not that of an earlier prompt, which was interrupted."""
        number = id.removeprefix("prompt-") if isinstance(id, str) and id.startswith("prompt-") else ""
        # an earlier hub may have sent a prompt that its memory does not count yet
        return number.isdecimal() and int(number[:9]) >= self._prompts

    def _ended(self, result: dict[str, Any], error: Any, record: Plain) -> Decoded:
        reason = text(result, "stopReason")
        failure: TurnFailure | None = None
        if self._stopping or reason == "cancelled":
            failure = Interrupted(self._agent)
        elif error is not None:
            failure = self._failure(error)
        elif reason in _CUT_SHORT:
            failure = failed(self._agent, _CUT_SHORT[reason])
        outputs = (record, *self._calls.untold(), *self._usages(result))
        if failure is not None:
            self._calls.over()
            late = self._messages.over(self.turn, answered=False)
            return Decoded((*outputs, *late), self._at_rest(), ended=True, failure=failure)
        self.memory["answered"] = self._prompts
        self._finish_reason = _FINISH.get(reason, "stop")
        if not self._has_barriers:
            self.settle_after = TAIL_SECONDS
            return Decoded(outputs, self._cancel_asked())
        self.settle_after = BARRIER_SECONDS
        return Decoded(outputs, (*self._cancel_asked(), self._barrier(f"end-{self._prompts}")))

    def _barrier(self, id: str) -> bytes:
        if self.memory.get("lists"):
            return _request(id, "session/list", {"cwd": self.opening.cwd})
        return _request(id, "_rhetor/barrier", {})

    def _usages(self, result: dict[str, Any]) -> list[Plain]:
        before = text(self.memory, "cost") or None
        cost = updates.cost_between(before, self._cost)
        if self._cost is not None:
            self.memory["cost"] = self._cost
        return [*updates.usages(result, text(self.memory, "model") or None, cost)]

    def _at_rest(self) -> tuple[bytes, ...]:
        """Reset the state of the turn, and return the lines that cancel the open permission requests."""
        self._in_turn = self._stopping = False
        self._waiting = None
        return self._cancel_asked()

    def _cancel_asked(self) -> tuple[bytes, ...]:
        return tuple(line for id in list(self._asked) for line in self.answer(id, None))

    # opening the conversation

    def _initialized(self, result: dict[str, Any], record: Plain) -> Decoded:
        self._can = table(result, "agentCapabilities")
        sessions = table(self._can, "sessionCapabilities")
        self.memory["forks"] = isinstance(sessions.get("fork"), dict)
        self.memory["lists"] = isinstance(sessions.get("list"), dict)
        self._note_takes(table(self._can, "promptCapabilities"))
        self._agent = text(table(result, "agentInfo"), "name") or self._agent
        self._ways_in = [text(way, "name") or text(way, "id") for way in rows(result, "authMethods")]
        if result.get("protocolVersion") != VERSION:
            said = f"it speaks version {result.get('protocolVersion')!r:.20} of the protocol, not {VERSION}"
            return self._refused(failed(self._agent, said), record)
        request = self._opening_request()
        if isinstance(request, TurnFailure):
            return self._refused(request, record)
        return Decoded((record,), self._send_step(request))

    def _opening_request(self) -> bytes | TurnFailure:
        sessions = table(self._can, "sessionCapabilities")
        params: dict[str, Any] = {"cwd": self.opening.cwd, "mcpServers": []}
        earlier = text(self.opening.memory, "session_id") if self.opening.fork else self._session_id
        if not earlier:
            self._repeats = False
            return _request("session", "session/new", params)
        params["sessionId"] = earlier
        if self.opening.fork:
            if not self.can_fork():
                return failed(self._agent, "it cannot continue a copy of a conversation")
            return _request("session", "session/fork", params)
        if isinstance(sessions.get("resume"), dict):
            self._repeats = False
            return _request("session", "session/resume", params)
        if self._can.get("loadSession") is True:
            return _request("session", "session/load", params)
        return failed(self._agent, "it cannot resume a conversation")

    def _opened(self, result: dict[str, Any]) -> None:
        self.memory["session_id"] = text(result, "sessionId") or self._session_id
        self._note_model(result)
        self.reported |= reports.of_acp(result)
        wanted = self.opening.model
        self._steps.clear()
        if wanted is not None and wanted != self.memory.get("model"):
            self._steps.append(self._model_request(wanted, text(updates.model_option(result), "id")))
        if self._repeats:
            self._steps.append(self._barrier("barrier"))

    def _model_request(self, model: str, option: str) -> bytes:
        params = {"sessionId": self._session_id}
        if option:
            params |= {"configId": option, "value": model}
            return _request("model", "session/set_config_option", params)
        return _request("model", "session/set_model", params | {"modelId": model})

    def _next_step(self, *told: Plain) -> Decoded:
        if self._steps:
            return Decoded(told, self._send_step(self._steps.pop(0)))
        self._state = "ready"
        self.memory["open"] = True
        if not self._in_turn:
            return Decoded(told)
        if self._stopping:
            return Decoded(told, self._at_rest(), ended=True, failure=Interrupted(self._agent))
        if self._waiting is None:
            failure = TurnFailure(
                "the hub stopped before the message was delivered; send it again", retryable=True
            )
            return Decoded(told, self._at_rest(), ended=True, failure=failure)
        try:
            require_taken(self._waiting[1], self._takes, self._agent)
        except InputUnsupported as failure:
            return Decoded(told, self._at_rest(), ended=True, failure=failure)
        return Decoded(told, (self._prompt(*self._waiting),))

    def _send_step(self, step: bytes) -> tuple[bytes, ...]:
        self._step = step
        return (step,)

    def _refused(self, failure: TurnFailure, record: Plain) -> Decoded:
        """Handle an agent that rejects the opening of the conversation. The next message repeats the rejected
        step, or begins a new conversation if the old one is lost."""
        self._state = "refused"
        self.refused = failure
        if is_of_lost_conversation(failure):
            self.memory.pop("session_id", None)
            self.opening = replace(self.opening, memory={}, fork=False)
            request = self._opening_request()
            self._step = request if isinstance(request, bytes) else self._step
        if not self._in_turn:
            return Decoded((record,))
        return Decoded((record,), self._at_rest(), ended=True, failure=failure)

    def _note_takes(self, can: dict[str, Any]) -> None:
        if takes := [kind for kind in ("image", "audio") if can.get(kind) is True]:
            self.memory["takes"] = takes
        else:
            self.memory.pop("takes", None)

    @property
    def _takes(self) -> frozenset[Take]:
        found = self.memory.get("takes")
        return frozenset(take for take in TAKES if isinstance(found, list) and take in found)

    def _note_model(self, result: dict[str, Any]) -> None:
        if model := updates.model_of(result):
            self.memory["model"] = model

    # prompts and their failures

    @property
    def _prompts(self) -> int:
        prompts = self.memory.get("prompts")
        return prompts if isinstance(prompts, int) else 0

    def _prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> bytes:
        self._waiting = None
        self._calls.over()  # those that the agent began by itself, between the turns
        self.memory["prompts"] = self._prompts + 1
        params = {"sessionId": self._session_id, "prompt": [*map(acp_part, attachments), *texts(content)]}
        return _request(f"prompt-{self._prompts}", "session/prompt", params)

    def _failure(self, error: Any) -> TurnFailure:
        code = error.get("code") if isinstance(error, dict) else None
        data = table(error, "data")
        more = text(error, "data") or text(data, "details") or text(data, "message")
        said = " ".join(filter(None, (text(error, "message"), more)))
        if code == _LOGIN_WANTED:
            ways = ", ".join(self._ways_in) or "none listed"
            return failed(self._agent, f"it requires a login: {said} (options: {ways})")
        if isinstance(code, int) and 400 <= code < 600:
            at = named_in(data, time())
            return refused(self._agent, said, code, text(self.memory, "model") or None, at)
        return failed(self._agent, said)


def _request(id: str, method: str, params: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def _initialize() -> bytes:
    # no mention of files: gemini requests them if they are mentioned, even with `false`
    client = {"name": "rhetor", "title": "Rhetor", "version": "1"}
    params = {"protocolVersion": VERSION, "clientCapabilities": {}, "clientInfo": client}
    return _request("initialize", "initialize", params)
