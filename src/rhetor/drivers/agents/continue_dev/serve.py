"""Continue's `cn serve` over pipes, as observed with version 1.5.

By itself, `cn serve` would listen on every interface without authentication. Instead, `continue_pipes.cjs` is
loaded into its process, and nothing listens. Each line written to it is a request, with `path` and `body` of
a POST: `/message {message}`, `/permission {requestId, approved}` or `/pause`. Each line read from it is its
state, with the history from entry number `from` on. If that module is not loaded, `serve` ends, because its
port is invalid. The states are not kept as records, but each entry of the history is, once, when it first
appears. There are no deltas: an answer arrives complete.

Observed, and relied on: when `/message` is answered, its message is in the history and `isProcessing` is set.
A provider's error is an answer without `usage` that begins with `Error: `. A tool that needs permission
(`--ask`) is denied and the turn ends: `pendingPermission` is in its source, but was not observed. `--id=ID`
continues a conversation, or begins one with that id; `--id ID` would also report every turn to Continue's
servers. Conversations cannot be forked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Late, Permission, Plain, Record, Text, Withdrawn
from rhetor.domain.parts import TEXT_ONLY
from rhetor.domain.questions import Answers
from rhetor.drivers.agents.failures import Interrupted, failed, is_of_lost_conversation, refused
from rhetor.drivers.agents.parts import require_taken
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.drivers.agents.records import count, object_of, record_of, rows, table, text
from rhetor.drivers.base import Attachment
from rhetor.errors import TurnFailure

from . import entries

AGENT = "continue"
PIPES = Path(__file__).with_name("continue_pipes.cjs")
NO_PORT = "65536"  # an invalid port; `PIPES` replaces listening on it
NEVER = "2000000000"  # seconds without a request after which it ends
ARGUMENTS = (
    "--exclude",
    "Exit",  # a tool that ends the process
    "serve",
    "--port",
    NO_PORT,
    "--timeout",
    NEVER,
)
_OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
_ERROR = re.compile(r"Error: (?:(\d{3})\b)?")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class ContinueServe(AgentProtocol):
    """A conversation with Continue.

    `memory` has `session_id`; `open`, whether this process has reported the length of the conversation;
    `had`, whether an earlier process left entries in it; `turns`, the number of turns so far; `begun`,
    whether the running turn is in the history; `seen`, the number of finished entries, and what was output of
    the next one (see `entries`); and `failed`, why the turn failed.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._waiting: str | None = None
        self._in_turn = False
        self._stopping = False
        self._asked: str | None = None

    @property
    def place(self) -> tuple[str, int] | None:
        known = text(self.memory, "session_id")
        return (known, count(self.memory, "turns")) if known else None

    def arguments(self) -> tuple[str, ...]:
        known = text(self.memory, "session_id")
        return (*ARGUMENTS, *((f"--id={known}",) if _ID.fullmatch(known) else ()))

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return the environment with the option that loads `PIPES`, which removes that option from its own
        process. Node.js quotes a path there as JSON does."""
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

    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        require_taken(attachments, TEXT_ONLY, AGENT)
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

    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
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
        """Handle the first state of a process, which shows how many entries its conversation has."""
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
            said = "the hub stopped before the message was delivered; send it again"
            return self._ended(TurnFailure(said, retryable=True))
        return Decoded(writes=() if waiting is None else (_request("/message", {"message": waiting}),))

    def _ended(self, failure: TurnFailure | None, *outputs: Plain) -> Decoded:
        ended, self._in_turn, self._stopping, self._asked = self._in_turn, False, False, None
        self.memory |= {"begun": False, "failed": None}  # a later hub may start with this memory
        return Decoded(outputs, ended=ended, failure=failure if ended else None)

    def _refused(self, said: dict[str, Any] | None, record: Record) -> Decoded:
        """Handle a line without a state, such as a rejected request. If it rejects the message, the turn
        fails."""
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
        if total < seen or first > seen:  # it was shortened to fit the model, or the entry is unchanged
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
        if role != "assistant":
            return outputs
        is_ours = self._in_turn and self.memory.get("begun") is True
        said = entries.words(message)
        if _ERROR.match(said) and not isinstance(message.get("usage"), dict):
            self.memory["failed"] = said if is_ours else None
            return outputs
        news = entries.news(self.memory, entry, said)
        return [*outputs, *(news if is_ours else _late(news, new=bool(outputs)))]

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


def _late(news: Iterable[Plain], *, new: bool) -> list[Plain]:
    """Return the text of an entry that belongs to an earlier turn; its record has the rest. `new`: the entry
    is new."""
    return [Late(one.text, new) for one in news if isinstance(one, Text)]


def _request(path: str, body: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"path": path, "body": body})
