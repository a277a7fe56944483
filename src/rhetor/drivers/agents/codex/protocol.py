"""Codex's app-server protocol: JSON-RPC lines without `jsonrpc`, as observed with version 0.169.

Each line becomes a `Record`, except for the deltas of messages, reasoning and plans, whose text is in the
outputs, and those of the output of commands: a secret could be cut between two of them, and the completed
item has the whole output. The notifications of another thread (a sub-agent's) only become records; its
permission requests are handled like those of our thread.

Approval policy, sandbox and model provider are those of the user's own configuration. Observed, and relied
on: a `turn/start` in a running turn joins that turn and is answered with its id. After an interrupt, and
after `thread/resume`, `thread/tokenUsage/updated` repeats earlier counts. If a stream breaks off, the item
begins again under its id, and the text that was already output cannot be withdrawn. A copy keeps the ids of
its turns; with `lastTurnId` (0.171), it ends with that turn. In another folder, it is told the new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import Channel
from rhetor.domain.output import Late, Permission, Plain, Text, Usage, Withdrawn
from rhetor.domain.questions import Answers
from rhetor.drivers.agents import plans, reports
from rhetor.drivers.agents.failures import Interrupted, is_of_lost_conversation
from rhetor.drivers.agents.jsonrpc import Outgoing
from rhetor.drivers.agents.parts import data_url, texts
from rhetor.drivers.agents.protocol import Decoded, Opening, RewindingProtocol
from rhetor.drivers.agents.records import count, object_of, record_of, rows, table, text
from rhetor.drivers.base import Attachment

from .failures import AGENT, failure_of, not_started, reset_of
from .items import Items
from .permissions import METHODS, answer_to, cancelled, options_of, questions_of, tool_of

_FEATURES = (
    *("apps", "browser_use", "computer_use", "goals", "hooks", "image_generation", "in_app_browser"),
    *("multi_agent", "plugins", "shell_tool", "skill_search", "sleep_tool", "tool_suggest"),
    *("unified_exec", "view_image"),
)

CLIENT = {"name": "rhetor", "title": "rhetor", "version": "1"}
_NUMBERS_OF_A_HUB = 1_000_000
MAX_TURNS = 100  # of our turns that are remembered

_DELTAS: dict[str, Channel] = {
    "item/agentMessage/delta": "answer",
    "item/plan/delta": "answer",
    "item/reasoning/summaryTextDelta": "reasoning",
    "item/reasoning/textDelta": "reasoning",
}
_REPEATED = frozenset({"item/commandExecution/outputDelta", "item/fileChange/outputDelta"})


class _Delta(msgspec.Struct, rename="camel"):
    item_id: str = ""
    delta: str = ""
    thread_id: str = ""
    turn_id: str | None = None


class _Head(msgspec.Struct):
    """The fields that are decoded first. Most lines are deltas, which need no others."""

    method: str = ""
    params: _Delta | None = None


_HEADS = msgspec.json.Decoder(_Head)


class Codex(RewindingProtocol):
    """A conversation with Codex.

    `memory` has `session_id` (the thread), `model`, `turn` while one runs, `last` (the id of the last turn)
    while none does, `tokens` (the counts of the thread so far), and `hubs`, the number of later hubs that
    have taken over this connection.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._out = Outgoing(tagged=False)
        self._is_ready = False
        self._waiting: list[dict[str, Any]] | None = None  # a message that waits for the thread
        self._stopped = False
        self._items = Items()
        self._servers: list[str] = []
        self._asked: dict[str, dict[str, Any]] = {}
        self._own: str | None = ""  # our running turn; None: it is not known yet; "": none runs
        self._limits: dict[str, Any] = {}  # of the user's plan
        self._spoken = ""  # the turn whose text was output last
        self._copy = "", ""  # the thread and model of a copy that is being checked
        self._turns: dict[str, str] = {}  # our turns, the last `MAX_TURNS` of them, with their ids in the log

    def arguments(self) -> tuple[str, ...]:
        return ("app-server",)

    def opening_lines(self) -> tuple[bytes, ...]:
        for old in ("turn", "hubs"):
            self.memory.pop(old, None)
        hello = self._out.request("initialize", {"clientInfo": CLIENT}, "initialize")
        ready = self._out.notification("initialized")
        if self.opening.persona is not None:
            return hello, ready, self._out.request("config/read", {}, "config")
        return hello, ready, self._thread()

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        hubs = count(self.memory, "hubs") + 1
        self.memory["hubs"] = hubs
        self._out = Outgoing(first=hubs * _NUMBERS_OF_A_HUB + 1, tagged=False)
        self._is_ready = bool(text(self.memory, "session_id"))
        self._asked = {id: detail for id, detail in asked.items() if isinstance(detail, dict)}
        self._items.catching_up = in_turn
        self._own = (text(self.memory, "turn") or None) if in_turn else ""

    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        self._stopped, self._own = False, None
        self.memory.pop("last", None)
        images = [{"type": "image", "url": data_url(each)} for each in attachments]
        given = [*images, *texts(content)]
        if self._is_ready:
            return (self._turn(given),)
        self._waiting = given
        opens = any(self._out.awaits(step) for step in ("config", "thread", "last"))
        return () if opens else (self._thread(),)

    def decode(self, line: bytes) -> Decoded:
        if (heard := self._delta(line)) is not None:
            return heard
        found = object_of(line)
        record = record_of(line, found)
        if found is None:
            return Decoded((record,))
        method, params = text(found, "method"), table(found, "params")
        if method and "id" in found:
            return self._requested(found["id"], method, params, record)
        if not method:
            return self._answered(found, record)
        return self._notified(method, params, record)

    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
        request = self._asked.pop(request_id, None)
        if request is None:
            return ()
        return (self._out.reply(_number_of(request_id), answer_to(request, option_id, answers)),)

    def interrupt(self) -> tuple[bytes, ...]:
        self._stopped = True
        lines = [self._out.reply(_number_of(id), cancelled(request)) for id, request in self._asked.items()]
        self._asked.clear()
        if text(self.memory, "turn"):
            lines.append(self._end_turn())
        return tuple(lines)

    def _thread(self) -> bytes:
        """Return the request that starts, resumes or forks the thread."""
        params: dict[str, Any] = {"cwd": self.opening.cwd}
        if self.opening.model:
            params["model"] = self.opening.model
        if self.opening.persona is not None:
            params |= _persona_params(self.opening.persona, self._servers)
        known = text(self.memory, "session_id") or text(self.opening.memory, "session_id")
        if not known:
            return self._out.request("thread/start", params, "thread")
        params |= {"threadId": known, "excludeTurns": True}
        if not self._forks:
            return self._out.request("thread/resume", params, "thread")
        if last := text(self.opening.memory, "last"):
            params["lastTurnId"] = last
        return self._out.request("thread/fork", params, "thread")

    @property
    def _forks(self) -> bool:
        """Whether the copy has not been made yet."""
        return self.opening.fork and "session_id" not in self.memory

    def _last_turn(self, thread: str) -> bytes:
        """Return the request for the last turn of a copy: a version that does not know `lastTurnId` would
        ignore it, and copy everything."""
        params = {"threadId": thread, "limit": 1, "itemsView": "notLoaded"}
        return self._out.request("thread/turns/list", params, "last")

    def _turn(self, given: list[dict[str, Any]]) -> bytes:
        params = {"threadId": self.memory["session_id"], "input": given}
        return self._out.request("turn/start", params, "turn")

    def _end_turn(self) -> bytes:
        ids = {"threadId": text(self.memory, "session_id"), "turnId": self.memory["turn"]}
        return self._out.request("turn/interrupt", ids, "interrupt")

    def _delta(self, line: bytes) -> Decoded | None:
        try:
            head = _HEADS.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if head.method in _REPEATED:
            return Decoded()
        channel = _DELTAS.get(head.method)
        if channel is None or head.params is None:
            return None
        if not self._is_ours(head.params.thread_id) or not head.params.delta:
            return Decoded()
        self._items.add(head.params.item_id, head.params.delta)
        return Decoded((self._of_its_turn(Text(head.params.delta, channel), head.params.turn_id or ""),))

    def _of_its_turn(self, said: Text, turn: str) -> Plain:
        """Return the text, as late text if it is the answer of another turn than ours: of the one before, or
        of one that Codex began by itself."""
        if said.channel != "answer" or not turn or turn == self._own or self._may_be_ours():
            self._spoken = turn
            return said
        new, self._spoken = turn != self._spoken, turn
        return Late(said.text, new, self._turns.get(turn, ""))

    def _note_own(self, turn: str | None) -> None:
        """Note the id of our running turn; None if it is not known yet."""
        self._own = turn
        if turn:
            self._turns[turn] = self.turn
            if len(self._turns) > MAX_TURNS:
                del self._turns[next(iter(self._turns))]

    def _may_be_ours(self) -> bool:
        """Return whether Codex has not said which turn is ours, although it has accepted the message."""
        return self._own is None and not self._out.awaits("turn")

    def _is_ours(self, thread_id: str) -> bool:
        return not thread_id or thread_id == self.memory.get("session_id", thread_id)

    def _requested(self, id: Any, method: str, params: dict[str, Any], record: Plain) -> Decoded:
        if method not in METHODS:
            return Decoded((record,), (self._out.refusal(id, f"{method} is not supported"),))
        changed = self._items.begun(text(params, "itemId")).get("changes")
        request = {"method": method} | params | ({} if changed is None else {"changes": changed})
        turn = text(params, "turnId") or text(params, "conversationId")
        request_id = f"{turn}:{msgspec.json.encode(id).decode()}"
        self._asked[request_id] = request
        options, questions = options_of(request), questions_of(request)
        asked = Permission(request_id, tool_of(method), request, options, questions=questions)
        return Decoded((record, asked))

    def _answered(self, found: dict[str, Any], record: Plain) -> Decoded:
        purpose, result = self._out.settled(found.get("id")), table(found, "result")
        error = found.get("error")
        if purpose == "config":
            self._servers = servers_of(result)
            return Decoded((record,), (self._thread(),))
        if error is not None:
            return self._refused(purpose, error, record)
        if purpose == "turn":
            self._note_own(text(table(result, "turn"), "id") or None)
        if purpose == "last":
            return self._cut_off(result, record)
        if thread := text(table(result, "thread"), "id"):
            self.reported |= reports.of_codex(result)
            if self._forks and text(self.opening.memory, "last"):
                self._copy = thread, text(result, "model")
                return Decoded((record,), (self._last_turn(thread),))
            return self._opened(thread, text(result, "model"), record)
        return Decoded((record,))

    def _cut_off(self, result: dict[str, Any], record: Plain) -> Decoded:
        """Use the copy if it ends with the turn with which it should end."""
        last = next(iter(rows(result, "data")), {})
        if text(last, "id") != text(self.opening.memory, "last"):
            return self._refused(
                "thread", {"message": "the turn was not found at the end of the copy"}, record
            )
        return self._opened(*self._copy, record)

    def _refused(self, purpose: str | None, error: Any, record: Plain) -> Decoded:
        """Handle an error response. It ends the turn that it prevented, even if an earlier hub sent the
        request."""
        is_late = purpose is None and self._items.catching_up and "turn" not in self.memory
        opens = purpose in ("thread", "last", "initialize")
        if opens:
            is_late = self._waiting is not None
            self._waiting = None
        failure = not_started(text(error, "message"))
        if opens:
            self.refused = failure
        if opens and is_of_lost_conversation(failure):
            self.memory.pop("session_id", None)
            self.memory.pop("last", None)
            self.opening = replace(self.opening, memory={})
        if purpose == "turn" or is_late:
            self._own = ""
            return Decoded((record,), ended=True, failure=failure)
        return Decoded((record,))

    def _opened(self, thread: str, model: str, record: Plain) -> Decoded:
        self._is_ready = True
        self.memory["session_id"] = thread
        if model:
            self.memory["model"] = model
        content, self._waiting = self._waiting, None
        if content is None:
            return Decoded((record,))
        if self._stopped:
            return Decoded((record,), ended=True, failure=Interrupted(AGENT))
        return Decoded((record,), (self._turn(content),))

    def _began(self, turn: str) -> tuple[bytes, ...]:
        """Note the running turn, and return the interrupt if it was requested before. Codex rejects an
        interrupt before `turn/started`, although the answer to `turn/start` already has the turn's id."""
        if self._own not in (None, "", turn):
            return ()  # Codex began it by itself
        if self._own is None:
            self._note_own(turn)
        self.memory["turn"] = turn
        return (self._end_turn(),) if self._stopped else ()

    def _notified(self, method: str, params: dict[str, Any], record: Plain) -> Decoded:
        if method == "serverRequest/resolved":
            return Decoded((record, *self._withdrawn(params.get("requestId"))))
        if not self._is_ours(text(params, "threadId")):
            return Decoded((record,))
        match method:
            case "turn/started":
                return Decoded((record,), self._began(text(table(params, "turn"), "id")))
            case "turn/completed":
                return self._completed(table(params, "turn"), record)
            case "item/started":
                return Decoded((record, *self._items.begin(table(params, "item"))))
            case "item/completed":
                return Decoded((record, *self._ended_item(params)))
            case "turn/plan/updated":
                return Decoded((record, plans.of_codex(params)))
            case "thread/tokenUsage/updated":
                return Decoded((record, *self._usage(params)))
            case "account/rateLimits/updated":
                # only what has changed is reported
                self._limits |= {k: v for k, v in table(params, "rateLimits").items() if v is not None}
            case "model/rerouted":
                self.memory["model"] = text(params, "toModel") or self.memory.get("model")
        return Decoded((record,))

    def _ended_item(self, params: dict[str, Any]) -> list[Plain]:
        turn = text(params, "turnId")
        outputs = self._items.end(table(params, "item"))
        return [self._of_its_turn(one, turn) if isinstance(one, Text) else one for one in outputs]

    def _usage(self, params: dict[str, Any]) -> list[Plain]:
        """Return the last usage if the total has grown in the running turn. Other notifications only report
        the thread's total."""
        usage = table(params, "tokenUsage")
        total, last = _tokens(table(usage, "total")), _tokens(table(usage, "last"))
        before, self.memory["tokens"] = self.memory.get("tokens"), total
        if total == before or not any(last) or text(params, "turnId") != self.memory.get("turn"):
            return []
        given, said, cached = last
        return [Usage(self.memory.get("model"), given, said, cached)]

    def _completed(self, turn: dict[str, Any], record: Plain) -> Decoded:
        if self._out.awaits("turn") or text(turn, "id") != self.memory.get("turn", text(turn, "id")):
            return Decoded((record,))  # not our turn
        self.memory.pop("turn", None)
        if last := text(turn, "id"):
            self.memory["last"] = last
        self._own = ""
        self._items.clear()
        self._asked.clear()
        failure = failure_of(turn, self.memory.get("model"), reset_of(self._limits))
        return Decoded((record,), ended=True, failure=failure)

    def _withdrawn(self, number: Any) -> list[Plain]:
        """Withdraw the request, if it is still open: Codex reports answered requests as resolved too."""
        gone = [id for id in self._asked if _number_of(id) == number]
        for id in gone:
            del self._asked[id]
        return [Withdrawn(id) for id in gone]


def _tokens(breakdown: dict[str, Any]) -> list[int]:
    return [count(breakdown, key) for key in ("inputTokens", "outputTokens", "cachedInputTokens")]


def _number_of(request_id: str) -> Any:
    """Return the agent's own id of a request, or None if ours is invalid."""
    try:
        return msgspec.json.decode(request_id.partition(":")[2])
    except msgspec.DecodeError:
        return None


def _persona_params(persona: str, servers: list[str]) -> dict[str, Any]:
    """Return the parameters of `thread/start` for a persona. `servers`: the names of the user's MCP servers,
    each of which is disabled."""
    config = {
        "features": dict.fromkeys(_FEATURES, False),
        "include_apps_instructions": False,
        "include_environment_context": False,
        "include_permissions_instructions": False,
        "mcp_servers": {name: {"enabled": False} for name in servers},
        "project_doc_max_bytes": 0,
        "skills": {"include_instructions": False, "bundled": {"enabled": False}},
        "tools": {"experimental_request_user_input": {"enabled": False}},
        "web_search": "disabled",
    }
    return {
        "approvalPolicy": "never",
        "baseInstructions": persona,
        "config": config,
        "ephemeral": True,
        "sandbox": "read-only",
    }


def servers_of(result: dict[str, Any]) -> list[str]:
    """Return the names of the MCP servers in the answer to `config/read`."""
    return list(table(table(result, "config"), "mcp_servers"))
