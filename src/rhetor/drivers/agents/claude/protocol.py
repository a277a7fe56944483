"""Claude Code's own protocol: stream-json on stdin and stdout, as observed with version 2.1.197.

Each line becomes a `Record`, except for the `content_block_delta` events of text, thinking, signatures and
tool input, whose content is in the outputs made from them or in the complete `assistant` line that follows,
and for the answer to `initialize`, which has details of the user's account. The lines of a sub-agent
(`parent_tool_use_id`) become records and tool calls, but its text is not part of the answer.

Observed, and relied on: `system/init` comes in every turn. A user's message is replayed before the `result`
of its turn; slash commands and messages that a hook stopped are not, and have `num_turns` 0. When a
background task ends, the agent begins a turn by itself, without a replay. If a stream breaks off, the
complete answer comes again, and the text that was already output cannot be withdrawn."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rhetor.domain.output import Permission, Plain, Text, ToolResult, ToolUse, Withdrawn
from rhetor.drivers.agents import reports
from rhetor.drivers.agents.failures import is_of_lost_conversation
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.drivers.agents.records import StreamedText, count, object_of, record_of, rows, table, text

from .permissions import answer_to, options_of
from .results import failure_of, finish_reason_of, usage_of

ARGUMENTS = (
    *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--include-partial-messages", "--permission-prompt-tool", "stdio", "--replay-user-messages"),
)
_READY = "rhetor-ready"  # the id of our `initialize` request; its answer shows that the agent is ready
_PLAIN = (
    *("--tools", "", "--strict-mcp-config", "--disable-slash-commands", "--no-session-persistence"),
    *("--setting-sources", "user", "--settings", '{"disableAllHooks": true}'),
)
_SYNTHETIC = "<synthetic>"  # the model in messages that no model wrote
_MAX_BLOCKS = 256  # blocks of one message whose complete lines have not arrived yet

_Spoken = Literal["answer", "reasoning"]
_CHANNELS: dict[str, _Spoken] = {"text": "answer", "thinking": "reasoning"}


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None


class _Head(msgspec.Struct):
    """The fields that are decoded first. Most lines are deltas, which need no others."""

    type: str = ""
    event: _Event | None = None
    parent_tool_use_id: str | None = None


_HEADS = msgspec.json.Decoder(_Head)


class ClaudeCode(AgentProtocol):
    """A conversation with Claude Code.

    `memory` has `session_id`, `model` and, for the current process, `spent`, its cost so far in USD, and
    `replays`, which is set when the process has replayed a message.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._asked: dict[str, dict[str, Any]] = {}
        self._orders = 0  # the number of interrupts sent
        self._blocks: dict[_Spoken, deque[StreamedText]] = {"answer": deque(), "reasoning": deque()}
        self._catching_up = False  # the current message began under an earlier hub
        self._await_replay = False  # the running turn may be one that the agent began by itself
        self._stopped = False
        self._spoke = False  # a part of this turn's answer was output
        self._is_busy = False
        self._is_ready = not opening.fork
        self._foreign = False  # the agent's own turn runs before ours: its text is not our answer

    def can_fork(self) -> bool:
        return True

    def arguments(self) -> tuple[str, ...]:
        known = text(self.opening.memory, "session_id")
        if known.startswith("-"):
            known = ""  # it would be read as an option
        resume = ("--resume", known) if known else ()
        fork = ("--fork-session",) if known and self.opening.fork else ()
        persona = self.opening.persona
        plain = () if persona is None else (*_PLAIN, f"--system-prompt={persona}")
        return (
            *ARGUMENTS,
            *plain,
            *resume,
            *fork,
            *(("--model", self.opening.model) if self.opening.model else ()),
        )

    def opening_lines(self) -> tuple[bytes, ...]:
        for old in ("spent", "replays"):
            self.memory.pop(old, None)
        return (_order(_READY, "initialize"),) if self.opening.fork else ()

    @property
    def has_copy(self) -> bool:
        """Whether the agent has answered `initialize`: it has read the original by then. It reports the id of
        the copy only in its first turn."""
        return self._is_ready

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self._asked = {id: detail for id, detail in asked.items() if isinstance(detail, dict)}
        self._catching_up = self._spoke = in_turn

    def prompt(self, content: str) -> tuple[bytes, ...]:
        self._rest_up()
        self._foreign = self._is_busy
        if self.opening.persona is not None and content.startswith("/"):
            content = f"\n{content}"  # otherwise the program would run it as a command
        self._await_replay = "replays" in self.memory and not content.startswith("/")
        message = {"role": "user", "content": [{"type": "text", "text": content}]}
        return (msgspec.json.encode({"type": "user", "message": message}),)

    def decode(self, line: bytes) -> Decoded:
        if (heard := self._delta(line)) is not None:
            return heard
        found = object_of(line)
        record = record_of(line, found)
        if found is None:
            return Decoded((record,))
        match text(found, "type"):
            case "control_response" if text(table(found, "response"), "request_id") == _READY:
                self._is_ready = True
                return Decoded()  # it describes the user and the machine, not the conversation
            case "result":
                return self._result(found, record)
            case "control_request":
                return self._requested(found, record)
            case "control_cancel_request":
                return Decoded((record, *self._withdrawn(text(found, "request_id"))))
            case "stream_event":
                self._stream_event(found)
            case "system":
                self._system(found)
            case "user":
                if found.get("isReplay") is True:
                    self.memory["replays"] = True
                    self._await_replay = self._foreign = False
                return Decoded((record, *_results(found)))
            case "assistant":
                return Decoded((record, *self._message(found)))
        return Decoded((record,))

    def answer(self, request_id: str, option_id: str | None) -> tuple[bytes, ...]:
        request = self._asked.pop(request_id, None)
        return () if request is None else (_response(request_id, answer_to(request, option_id)),)

    def interrupt(self) -> tuple[bytes, ...]:
        """Return the interrupt. Open permission requests get no answer: the agent withdraws them itself
        (`control_cancel_request`), and would continue first if they were answered."""
        self._stopped = True
        self._asked.clear()
        self._orders += 1
        return (_order(f"interrupt-{self._orders}", "interrupt"),)

    def _rest_up(self) -> None:
        self._await_replay = self._stopped = self._spoke = False

    def _delta(self, line: bytes) -> Decoded | None:
        try:
            head = _HEADS.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        event = head.event
        if head.type != "stream_event" or event is None or event.type != "content_block_delta":
            return None
        match event.delta:
            case _Delta("text_delta", text=said):
                return self._said(head, "answer", said)
            case _Delta("thinking_delta", thinking=said):
                return self._said(head, "reasoning", said)
            case _Delta("input_json_delta" | "signature_delta"):
                return Decoded()
        return None

    def _said(self, head: _Head, channel: _Spoken, piece: str) -> Decoded:
        if head.parent_tool_use_id is not None or not piece:
            return Decoded()
        blocks = self._blocks[channel]
        if not blocks:
            blocks.append(StreamedText())
        blocks[-1].add(piece)
        return Decoded((self._told(piece, channel),))

    def _stream_event(self, found: dict[str, Any]) -> None:
        if found.get("parent_tool_use_id") is not None:
            return
        event = table(found, "event")
        if event.get("type") == "message_start":
            self._catching_up = False
            for blocks in self._blocks.values():
                blocks.clear()
        elif event.get("type") == "content_block_start":
            self._block(text(table(event, "content_block"), "type"))

    def _block(self, kind: str) -> None:
        if (channel := _CHANNELS.get(kind)) is not None and len(self._blocks[channel]) < _MAX_BLOCKS:
            self._blocks[channel].append(StreamedText())

    def _system(self, found: dict[str, Any]) -> None:
        if found.get("subtype") == "init":
            self._is_busy = True
            self.reported |= reports.of_claude(found)
            for kept in ("session_id", "model"):
                if known := text(found, kept):
                    self.memory[kept] = known

    def _message(self, found: dict[str, Any]) -> list[Plain]:
        message = table(found, "message")
        is_ours = found.get("parent_tool_use_id") is None
        outputs: list[Plain] = []
        for block in rows(message, "content"):
            kind = text(block, "type")
            if kind.endswith("tool_use"):
                outputs.append(ToolUse(text(block, "id"), text(block, "name"), block.get("input"), "agent"))
            elif kind.endswith("tool_result"):
                outputs.append(_result_of(block))
            elif is_ours and (channel := _CHANNELS.get(kind)) is not None:
                outputs += self._rest(channel, text(block, kind), text(message, "model") == _SYNTHETIC)
        return outputs

    def _rest(self, channel: _Spoken, whole: str, is_synthetic: bool) -> list[Plain]:
        """Return the part of a complete block that its deltas did not contain."""
        if not is_synthetic:
            if self._catching_up:
                return []
            if blocks := self._blocks[channel]:
                whole = blocks.popleft().rest(whole)
        return [self._told(whole, channel)] if whole else []

    def _told(self, said: str, channel: _Spoken) -> Text:
        if self._foreign:
            return Text(said, "reasoning")
        self._spoke = self._spoke or channel == "answer"
        return Text(said, channel)

    def _requested(self, found: dict[str, Any], record: Plain) -> Decoded:
        id, request = text(found, "request_id"), table(found, "request")
        if request.get("subtype") != "can_use_tool":
            error = {"subtype": "error", "request_id": id, "error": "not supported"}
            return Decoded((record,), (msgspec.json.encode({"type": "control_response", "response": error}),))
        self._asked[id] = request
        return Decoded((record, Permission(id, text(request, "tool_name"), request, options_of(request))))

    def _withdrawn(self, id: str) -> list[Plain]:
        return [] if self._asked.pop(id, None) is None else [Withdrawn(id)]

    def _result(self, found: dict[str, Any], record: Plain) -> Decoded:
        self._is_busy = self._foreign = False
        outputs = [record, *usage_of(found, self.memory)]
        failure = failure_of(found, self._stopped, self.memory.get("model"))
        if is_of_lost_conversation(failure):
            self.memory.pop("session_id", None)
            self.opening = replace(self.opening, memory={})
        if self._await_replay and not self._stopped and failure is None and count(found, "num_turns"):
            return Decoded(tuple(outputs))  # a turn that the agent began by itself; ours follows
        if failure is None and not self._spoke and (said := text(found, "result")):
            outputs.append(Text(said))
        self._asked.clear()
        self._catching_up = False
        self._rest_up()
        return Decoded(tuple(outputs), ended=True, failure=failure, finish_reason=finish_reason_of(found))


def _order(request_id: str, what: str) -> bytes:
    request = {"type": "control_request", "request_id": request_id, "request": {"subtype": what}}
    return msgspec.json.encode(request)


def _response(request_id: str, answer: dict[str, Any]) -> bytes:
    response = {"subtype": "success", "request_id": request_id, "response": answer}
    return msgspec.json.encode({"type": "control_response", "response": response})


def _results(found: dict[str, Any]) -> list[Plain]:
    """Return the tool results in a `user` line; its other text comes from the user or the program itself."""
    content = rows(table(found, "message"), "content")
    return [_result_of(block) for block in content if text(block, "type").endswith("tool_result")]


def _result_of(block: dict[str, Any]) -> ToolResult:
    return ToolResult(text(block, "tool_use_id"), block.get("content"), block.get("is_error") is True)
