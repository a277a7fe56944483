"""Continue's `cn serve`, as version 1.5 was seen to do, on pipes: what is new in its state, a line each.

It would listen on every interface and ask nobody for a key. Instead `continue_pipes.cjs` is loaded into its
process: nothing listens, what is written here are requests (`path` and `body` of a POST: `/message
{message}`, `/permission {requestId, approved}`, `/pause`), and each line is its state, with the history from
entry number `from` on. Where that module is not taken, the port that it is told makes `serve` end. Not
states are kept as records, but each entry of the history, once, where it is first seen. There are no deltas:
an answer comes whole.

Seen, and relied on: `/message` has its message in the history, and is processing, before it answers. A
provider's error is an answer without `usage` that begins with `Error: `. A tool that is to be asked for
(`--ask`) is refused instead, with the end of the turn: `pendingPermission` was read in its source, and not
seen. `--id=ID` goes on with a conversation, or begins one of that name; as `--id ID` it would also tell
Continue's servers of every turn. It cannot go on with a copy of one: a fork begins with nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Permission, Plain, Record, Withdrawn
from rhetor.drivers.agents.failures import Interrupted, failed, is_of_lost_conversation, refused
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.drivers.agents.records import count, object_of, record_of, rows, table, text
from rhetor.errors import TurnFailure

from . import entries

AGENT = "continue"
PIPES = Path(__file__).with_name("continue_pipes.cjs")
NO_PORT = "65536"  # the one whose place is taken by `PIPES`
NEVER = "2000000000"  # seconds without a request after which it ends
ARGUMENTS = (
    "--exclude",
    "Exit",
    "serve",
    "--port",
    NO_PORT,
    "--timeout",
    NEVER,
)  # that tool ends the process
_OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
_ERROR = re.compile(r"Error: (?:(\d{3})\b)?")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class ContinueServe(AgentProtocol):
    """`memory`: `session_id`; `open`, whether this process has said how far the conversation is; `had`,
    whether an earlier process of it left something; `turns`, how many there were; `begun`, whether the
    running one is in the history; `seen`, how many of its entries are done with, and what was told of the
    next one; `failed`, why the turn did."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._waiting: str | None = None
        self._in_turn = False
        self._stopping = False
        self._asked: str | None = None

    def arguments(self) -> tuple[str, ...]:
        known = text(self.memory, "session_id")
        return (*ARGUMENTS, *((f"--id={known}",) if _ID.fullmatch(known) else ()))

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """With what loads `PIPES`, which takes itself out again. A path is quoted there as in JSON."""
        load = f"--require {msgspec.json.encode(str(PIPES)).decode()}"
        return {**given, "NODE_OPTIONS": " ".join(filter(None, (load, given.get("NODE_OPTIONS"))))}

    def opening_lines(self) -> tuple[bytes, ...]:
        had = bool(self.memory.get("had") or count(self.memory, "seen"))
        known = text(self.memory, "session_id")
        self.memory = {"turns": count(self.memory, "turns"), "seen": 0, "had": had, "open": False}
        if known:
            self.memory["session_id"] = known
        return ()

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self._in_turn = in_turn
        self._asked = next(iter(asked), None)

    def prompt(self, content: str) -> tuple[bytes, ...]:
        self._in_turn, self._stopping = True, False
        self.memory["turns"] = count(self.memory, "turns") + 1
        self.memory["begun"] = False
        if self.memory.get("open"):
            return (_request("/message", {"message": content}),)
        self._waiting = content
        return ()

    def decode(self, line: bytes) -> Decoded:
        state = object_of(line)
        if state is None or not isinstance(state.get("session"), dict):
            return self._refused(state, record_of(line, state))
        history, first = rows(state["session"], "history"), count(state, "from")
        if not self.memory.get("open"):
            return self._opened(text(state["session"], "sessionId"), first + len(history))
        self._follow(text(state["session"], "sessionId"))
        idle = state.get("isProcessing") is not True and not count(state, "messageQueueLength")
        outputs = self._news(history, first, idle)
        if not (self._in_turn and idle and self.memory.get("begun")):
            return Decoded((*outputs, *self._question(state)))
        return self._ended(Interrupted(AGENT) if self._stopping else self._failure(), *outputs)

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
        if not self.memory.get("open"):
            return ()
        left = () if self._asked is None else self.answer(self._asked, None)
        return (_request("/pause", {}), *left)

    def _opened(self, session_id: str, length: int) -> Decoded:
        """The first that a process says: how many entries its conversation has."""
        known = text(self.memory, "session_id")
        self.memory |= {"session_id": session_id, "seen": length, "open": True}
        waiting, self._waiting = self._waiting, None
        if self.memory.get("had") and not length:
            self.memory["had"] = False
            failure = failed(AGENT, f"no conversation found with the id {known}")
            if is_of_lost_conversation(failure):
                self.memory.pop("session_id")
            return self._ended(failure)
        if self._stopping:
            return self._ended(Interrupted(AGENT))
        if self._in_turn and waiting is None:
            said = "the hub ended before the message was handed over; send it again"
            return self._ended(TurnFailure(said, retryable=True))
        return Decoded(writes=() if waiting is None else (_request("/message", {"message": waiting}),))

    def _ended(self, failure: TurnFailure | None, *outputs: Plain) -> Decoded:
        ended, self._in_turn, self._stopping, self._asked = self._in_turn, False, False, None
        self.memory |= {"begun": False, "failed": None}  # a later hub may begin with what is kept now
        return Decoded(outputs, ended=ended, failure=failure if ended else None)

    def _refused(self, said: dict[str, Any] | None, record: Record) -> Decoded:
        """A message that it does not take begins no turn."""
        if text(said, "path") != "/message" or not self._in_turn or self.memory.get("begun"):
            return Decoded((record,))
        return self._ended(failed(AGENT, text(said, "refused")), record)

    def _follow(self, session_id: str) -> None:
        if session_id != self.memory.get("session_id"):
            self.memory |= {"session_id": session_id, "seen": 0}
            entries.next_one(self.memory)

    def _news(self, history: list[dict[str, Any]], first: int, idle: bool) -> list[Plain]:
        outputs: list[Plain] = []
        seen, total = count(self.memory, "seen"), first + len(history)
        if total < seen or first > seen:  # it was made shorter, to fit the model; or an entry is as it was
            self._done_with(total if total < seen else first)
        for index in range(max(count(self.memory, "seen"), first), total):
            outputs += self._entry(history[index - first])
            if index + 1 < total:
                self._done_with(index + 1)
        if idle and total != count(self.memory, "seen"):
            self._done_with(total)
        return outputs

    def _done_with(self, seen: int) -> None:
        self.memory["seen"] = seen
        entries.next_one(self.memory)

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
        said = entries.words(message)
        if _ERROR.match(said) and not isinstance(message.get("usage"), dict):
            self.memory["failed"] = said
            return outputs
        return [*outputs, *entries.news(self.memory, entry, said)]

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

    def _failure(self) -> TurnFailure | None:
        said = text(self.memory, "failed")
        status = _ERROR.match(said)
        if status is None:
            return None
        return refused(AGENT, said.removeprefix("Error: "), int(status[1]) if status[1] else None, None)


def _request(path: str, body: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"path": path, "body": body})
