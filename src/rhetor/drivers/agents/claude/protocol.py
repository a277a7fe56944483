"""Claude Code's own protocol: stream-json on stdin and stdout, as observed with version 2.1.197.

Each line becomes a `Record`, except for the `content_block_delta` events of text, thinking, signatures and
tool input, whose content is in the outputs made from them or in the complete `assistant` line that follows,
and for the answer to `initialize`, which has details of the user's account. The lines of a sub-agent
(`parent_tool_use_id`) become records and tool calls, but its text is not part of the answer.

Observed, and relied on: `system/init` comes in every turn. A user's message is replayed before the `result`
of its turn; slash commands and messages that a hook stopped are not, and have `num_turns` 0. When a
background task ends, the agent begins a turn by itself, without a replay. A resumed process first ends a turn
of its own if a background task was pending: its `result` has no text and `num_turns` 0 (2.1.196 to 2.1.260),
and in later versions an `origin`. So the text before the replay is held until it is known whose it is. If a
stream breaks off, the complete answer comes again, and the text that was already output cannot be withdrawn.
With `--fork-session --resume-session-at ID`, a copy ends with the message that has that `uuid`, a user's or
an assistant's. A copy in another folder is told the new one; 2.1.332 finds the original in any folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from rhetor.domain.output import Late, Plain, Text, ToolUse, Withdrawn
from rhetor.domain.questions import Answers
from rhetor.drivers.agents import reports
from rhetor.drivers.agents.failures import is_of_lost_conversation
from rhetor.drivers.agents.parts import anthropic_part, texts, without_contents
from rhetor.drivers.agents.protocol import Decoded, Opening, RewindingProtocol
from rhetor.drivers.agents.records import count, object_of, record_of, rows, table, text
from rhetor.drivers.base import Attachment

from . import lines
from .blocks import CHANNELS, Spoken, StreamedBlocks
from .permissions import answer_to
from .results import failure_of, finish_reason_of, is_limit, reset_of, usage_of

_READY = "rhetor-ready"  # the id of our `initialize` request; its answer shows that the agent is ready
_SYNTHETIC = "<synthetic>"  # the model in messages that no model wrote
_EMPTY_SECONDS = 10.0  # a result that looks like an agent's own is the answer if nothing follows it
_OWN_SECONDS = 3.0


class ClaudeCode(RewindingProtocol):
    """A conversation with Claude Code.

    `memory` has `session_id`, `model`, `last`, the id of the conversation's last message unless a turn runs,
    and, for the current process, `spent`, its cost so far in USD; `replays`, which is set when the process
    has replayed a message; and `awaits`, which is set while the running turn waits for its replay.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._asked: dict[str, dict[str, Any]] = {}
        self._orders = 0  # the number of interrupts sent
        self._blocks = StreamedBlocks()
        self._catching_up = False  # the current message began under an earlier hub
        self._await_replay = False  # the running turn may be one that the agent began by itself
        self._stopped = False
        self._resets_at: float | None = None  # the usage limit that was reached in this turn
        self._spoke = False  # a part of this turn's answer was output
        self._is_busy = False
        self._is_ready = not opening.fork
        self._foreign = False  # the agent's own turn runs before ours: its text is not our answer
        self._is_resumed = bool(text(opening.memory, "session_id"))  # and it has answered no message yet
        self._replayed = False  # the message of this turn was replayed
        self._notified = False  # a background task ended, so the agent may begin a turn by itself
        self._is_over = False  # our last turn has ended, and no other has begun
        self._held: list[str] = []  # text before the replay
        self._begins_message = False  # the next late text does
        self._doubtful: dict[str, Any] = {}  # a result that may be the answer
        self._last = ""  # the id of the last message of the conversation

    def arguments(self) -> tuple[str, ...]:
        return lines.arguments(self.opening)

    def opening_lines(self) -> tuple[bytes, ...]:
        for old in ("spent", "replays", "awaits"):
            self.memory.pop(old, None)
        return (lines.order(_READY, "initialize"),) if self.opening.fork else ()

    @property
    def has_copy(self) -> bool:
        """Whether the agent has answered `initialize`: it has read the original by then. It reports the id of
        the copy only in its first turn."""
        return self._is_ready

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self._asked = {id: detail for id, detail in asked.items() if isinstance(detail, dict)}
        self._is_resumed = False
        self._await_replay = in_turn and self.memory.get("awaits") is True
        self._catching_up = self._spoke = in_turn and not self._await_replay
        self._is_over = not in_turn

    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        self._rest_up()
        self._last = ""
        self.memory.pop("last", None)
        self._foreign = self._is_busy
        if self.opening.persona is not None and content.startswith("/"):
            content = f"\n{content}"  # otherwise the program would run it as a command
        if not content.startswith("/") and ("replays" in self.memory or self._is_resumed):
            self._await_replay = self.memory["awaits"] = True
        blocks = [*map(anthropic_part, attachments), *texts(content)]
        message = {"role": "user", "content": blocks}
        return (msgspec.json.encode({"type": "user", "message": message}),)

    def decode(self, line: bytes) -> Decoded:
        if (piece := self._blocks.delta(line)) is not None:
            return Decoded(tuple(self._told(piece.text, piece.channel)) if piece.text else ())
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
                if self._blocks.event(found):
                    self._catching_up = False
            case "system":
                return Decoded((record, *self._system(found)))
            case "user":
                self._note_last(found)
                if found.get("isReplay") is True:
                    replayed = {**found, "message": without_contents(table(found, "message"))}
                    return Decoded((record_of(line, replayed), *self._replay()))
                return Decoded((record, *lines.results_in(found)))
            case "assistant" if is_limit(found):
                self._resets_at = reset_of(table(found, "api_error_params")) or self._resets_at
            case "assistant":
                self._note_last(found)
                return Decoded((record, *self._message(found)))
            case "rate_limit_event":
                self._resets_at = reset_of(found) or self._resets_at
        return Decoded((record,))

    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
        request = self._asked.pop(request_id, None)
        return (
            () if request is None else (lines.response(request_id, answer_to(request, option_id, answers)),)
        )

    def interrupt(self) -> tuple[bytes, ...]:
        """Return the interrupt. Open permission requests get no answer: the agent withdraws them itself
        (`control_cancel_request`), and would continue first if they were answered."""
        self._stopped = True
        self._asked.clear()
        self._orders += 1
        return (lines.order(f"interrupt-{self._orders}", "interrupt"),)

    def settle(self) -> Decoded:
        """End the turn with the doubtful result: nothing followed it, so it was the answer."""
        self.settle_after = None
        return self._answered(self._doubtful, [])

    def _rest_up(self) -> None:
        self._await_replay = self._stopped = self._spoke = self._replayed = self._is_over = False
        self._resets_at = None
        self._held.clear()
        self.memory.pop("awaits", None)

    def _note_last(self, found: dict[str, Any]) -> None:
        """Note the id of a message, unless it is a sub-agent's."""
        if found.get("parent_tool_use_id") is None:
            self._last = text(found, "uuid")

    def _system(self, found: dict[str, Any]) -> list[Plain]:
        self._notified = self._notified or found.get("subtype") == "task_notification"
        if found.get("subtype") != "init":
            return []
        self._is_busy = True
        self.settle_after = None
        self.reported |= reports.of_claude(found)
        for kept in ("session_id", "model"):
            if known := text(found, kept):
                self.memory[kept] = known
        late = self._held_late()
        self._begins_message = True
        return late

    def _replay(self) -> list[Plain]:
        """Handle the replay of our message: the text since the beginning of this turn is ours."""
        self.memory["replays"] = self._replayed = True
        self.memory.pop("awaits", None)
        self._await_replay = self._foreign = self._is_resumed = self._notified = False
        self.settle_after = None
        return self._held_text()

    def _held_text(self) -> list[Plain]:
        held, self._held = self._held, []
        self._spoke = self._spoke or bool(held)
        return [Text(piece) for piece in held]

    def _held_late(self) -> list[Plain]:
        held, self._held = self._held, []
        return [self._late(piece) for piece in held]

    def _late(self, said: str) -> Late:
        new, self._begins_message = self._begins_message, False
        self._spoke = self._spoke or self._is_over
        return Late(said, new)

    def _message(self, found: dict[str, Any]) -> list[Plain]:
        message = table(found, "message")
        is_ours = found.get("parent_tool_use_id") is None
        outputs: list[Plain] = []
        for block in rows(message, "content"):
            kind = text(block, "type")
            if kind.endswith("tool_use"):
                outputs.append(ToolUse(text(block, "id"), text(block, "name"), block.get("input"), "agent"))
            elif kind.endswith("tool_result"):
                outputs.append(lines.result_of(block))
            elif is_ours and (channel := CHANNELS.get(kind)) is not None:
                outputs += self._rest(channel, text(block, kind), text(message, "model") == _SYNTHETIC)
        return outputs

    def _rest(self, channel: Spoken, whole: str, is_synthetic: bool) -> list[Plain]:
        """Return the part of a complete block that its deltas did not contain."""
        if not is_synthetic:
            if self._catching_up:
                return []
            whole = self._blocks.rest(channel, whole)
        return self._told(whole, channel) if whole else []

    def _told(self, said: str, channel: Spoken) -> list[Plain]:
        if channel != "answer":
            return [Text(said, channel)]
        if self._foreign or self._is_over:
            return [self._late(said)]
        if self._await_replay:
            self._held.append(said)
            return []
        self._spoke = True
        return [Text(said)]

    def _requested(self, found: dict[str, Any], record: Plain) -> Decoded:
        id, request = text(found, "request_id"), table(found, "request")
        if request.get("subtype") != "can_use_tool":
            return Decoded((record,), (lines.refusal(id),))
        self._asked[id] = request
        return Decoded((record, lines.permission(id, request)))

    def _withdrawn(self, id: str) -> list[Plain]:
        return [] if self._asked.pop(id, None) is None else [Withdrawn(id)]

    def _result(self, found: dict[str, Any], record: Plain) -> Decoded:
        self._is_busy = self._foreign = False
        self._blocks.clear()
        if self._last:
            self.memory["last"] = self._last
        outputs = [record, *usage_of(found, self.memory)]
        if self._is_own(found):
            self._notified = False
            return Decoded((*outputs, *self._held_late()))  # our turn follows
        if (seconds := self._doubt(found)) is not None:
            self.settle_after, self._doubtful = seconds, found
            return Decoded(tuple(outputs))
        return self._answered(found, outputs)

    def _is_own(self, found: dict[str, Any]) -> bool:
        """Return whether the result certainly ends a turn that the agent began by itself."""
        if self._stopped or self._replayed or self._is_over:
            return False
        if text(table(found, "origin"), "kind") not in ("", "human"):
            return True
        if not self._await_replay:
            return self._notified and _is_empty(found)
        return "replays" in self.memory and count(found, "num_turns") > 0 and not _has_failed(found)

    def _doubt(self, found: dict[str, Any]) -> float | None:
        """Return for how many seconds something may follow that shows that the result was not our answer."""
        if not self._await_replay or self._stopped or _has_failed(found):
            return None
        if _is_empty(found):
            return _EMPTY_SECONDS
        return _OWN_SECONDS if self._is_resumed or self._notified else None

    def _answered(self, found: dict[str, Any], outputs: list[Plain]) -> Decoded:
        failure = failure_of(found, self._stopped, self.memory.get("model"), self._resets_at)
        if not self._is_ready:
            self.refused = failure
        if is_of_lost_conversation(failure):
            self.memory.pop("session_id", None)
            self.memory.pop("last", None)
            self.opening = replace(self.opening, memory={})
        outputs += self._held_text()
        if failure is None and not self._spoke and (said := text(found, "result")):
            outputs.append(self._late(said) if self._is_over else Text(said))
        self._asked.clear()
        self._catching_up = self._is_resumed = self._notified = self._begins_message = False
        self._rest_up()
        self._is_over = True
        return Decoded(tuple(outputs), ended=True, failure=failure, finish_reason=finish_reason_of(found))


def _is_empty(result: dict[str, Any]) -> bool:
    """Return whether no model was called and nothing was said."""
    return not (_has_failed(result) or count(result, "num_turns") or text(result, "result"))


def _has_failed(result: dict[str, Any]) -> bool:
    return text(result, "subtype") not in ("", "success") or result.get("is_error") is True
