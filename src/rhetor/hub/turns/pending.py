"""The open requests of a running turn: tool calls that the client runs, and permission requests.

If the user's rules decide a permission request, the request and its answer are committed together, so it is
never open. `catalog.requests` has the rows of requests; `answers` checks who may answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rhetor.domain.audit import PERMISSION_ANSWER, STREAM
from rhetor.domain.budget import event_of, names_for, used
from rhetor.domain.event import (
    Cause,
    Payload,
    PermissionAnswered,
    PermissionAsked,
    ToolCalled,
    ToolReturned,
    UsageReported,
    data_of,
)
from rhetor.domain.output import Late
from rhetor.domain.permission import Decided, Rules, decided
from rhetor.domain.principal import Principal, is_agent_subject
from rhetor.domain.timestamps import timestamp
from rhetor.domain.turn import Turn, TurnState
from rhetor.drivers.base import Conversation
from rhetor.errors import StateConflict, StoreRefused, UnknownPeer
from rhetor.hub.active import EndedTurn
from rhetor.hub.catalog.budgets import note_row
from rhetor.hub.catalog.notifications import Place
from rhetor.hub.catalog.pauses import OVER, Pause
from rhetor.hub.catalog.programs import memory_row
from rhetor.hub.catalog.requests import ANSWERED, CLOSED, ENDED, OPEN, Kind, Request, commit_answer
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.core.masking import MaskedOutputs
from rhetor.hub.programs.late import add_late
from rhetor.hub.programs.ownership import person_behind
from rhetor.store.base import Committed, Expect, Key, Row

from .attribution import Retelling

if TYPE_CHECKING:
    from rhetor.hub.state import State

EXPIRED = "expiry"  # the value of `by` if a permission request expired
RETRY_SECONDS = 1.0
FEW_TURNS = 4
# the result of a call whose turn ended first; a later one is dropped
CANCELLED_CALL = {"code": "cancelled", "detail": "the turn ended before the tool returned a result"}


class Settled(msgspec.Struct):
    """What to commit for some payloads of a turn: payloads, and the rows of requests that they open or close.

    `decided`: the answers that the user's rules gave.
    """

    payloads: list[Payload] = msgspec.field(default_factory=list)
    rows: dict[str, Row] = msgspec.field(default_factory=dict)
    decided: list[Decided] = msgspec.field(default_factory=list)


class OpenPause(Protocol):
    """The pause of a running turn, whose permission request is one of the turn's requests."""

    pause: Pause

    def opened(self) -> Sequence[Row]:
        """Return the rows to commit together with the permission request."""
        ...

    def answered(self, answer: PermissionAnswered) -> None:
        """Continue as the committed answer says."""
        ...


class PendingRequests:
    """The open requests of one turn, as a context manager that is open while the turn runs.

    `lock` must be held for each commit of the turn, so that an answer and the turn's end cannot overtake each
    other. `conversation`: None until it is open. `instance`: the key of the program that answers, if any.
    `cwd`: the folder of the program that runs for the caller. `retells`: why the message is preceded by the
    earlier conversation, if it is. `via`: the peers that the message has passed
    through. `sender`: the name of its sender, as readers see it. `cause`: the original from which the message
    follows. `rules`: those of the session, besides the peer's own. `project`: of the session, or else of the
    original; empty without one. `pause`: set while the turn is paused; `paused_seconds`: how long it has
    been. `since`: when the turn began to run, as Unix time in milliseconds. `start`: completed when the
    turn's start is stored, and cancelled if it never will be. It is None if the start was stored before the
    turn began to run.
    """

    def __init__(self, state: State, stream: str, owner: str, turn: Turn, step: str | None = None) -> None:
        self.lock = asyncio.Lock()
        self.conversation: Conversation | None = None
        self._state = state
        self.stream = stream
        self.owner = owner
        self.instance = ""
        self.cwd: str | None = None
        self.retells: Retelling | None = None
        self.via: tuple[str, ...] = ()
        self.sender = ""
        self.cause = Cause(turn.message_id)
        self.rules = Rules()
        self.project = ""
        self.pause: OpenPause | None = None
        self.paused_seconds = 0.0
        self.since = state.ids.now()
        self.start: asyncio.Future[None] | None = None
        self._turn = turn
        self._step = step
        self._masks = MaskedOutputs(state.secrets)
        self._open: dict[str, Request] = {}
        self._calls: dict[str, None] = {}  # tools that the hub runs
        self._timers: list[asyncio.TimerHandle] = []
        self._shown: tuple[str, object, object] = turn.peer, None, None

    @property
    def turn(self) -> Turn:
        return self._turn

    @property
    def step(self) -> str | None:
        """The step of the plan in whose stream the turn runs, if it does."""
        return self._step

    @property
    def masks(self) -> MaskedOutputs:
        """What masks the turn's outputs: the program's own, if a program answers."""
        instance = self._state.instances.get(self.instance) if self.instance else None
        return self._masks if instance is None else instance.masks

    @property
    def turn_id(self) -> str:
        return self._turn.turn_id

    def __enter__(self) -> Self:
        self._state.pending[self._turn.turn_id] = self
        self._state.activity.notify()
        self._state.live.turn_changed(self.stream, self.peer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._state.pending[self._turn.turn_id]
        self._state.activity.notify()
        self._state.live.turn_changed(self.stream, self.peer)
        self._state.budgets.release(self._turn.turn_id)
        if instance := self._state.instances.get(self.instance):
            instance.turn_over(EndedTurn(self.stream, self._turn.turn_id, self._step))
        for timer in self._timers:
            timer.cancel()

    async def until_started(self) -> None:
        """Wait until the turn's start is stored. Nothing else of the turn may be stored before.

        Raises:
            CancelledError: it never will be, because its message was rejected.
        """
        if self.start is not None:
            await asyncio.shield(self.start)

    def if_started(self) -> tuple[Expect, ...]:
        """Return the condition of a commit that must not be stored without the turn's start; nothing if that
        is stored already.

        Raises:
            CancelledError: as `until_started`.
        """
        if self.start is None or self.start.done():
            if self.start is not None:
                self.start.result()
            return ()
        return (Expect("turn", self.turn_id, frozenset({TurnState.RUNNING})),)

    @property
    def are_many(self) -> bool:
        """Whether so many turns run that fewer commits save more time than earlier ones."""
        return len(self._state.pending) > FEW_TURNS

    @property
    def peer(self) -> str:
        """The name of the peer that answers the turn."""
        return self._turn.peer

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._turn.text

    @property
    def has_output(self) -> bool:
        """Whether the peer has begun to answer, or to work."""
        return self._turn.has_output

    def open_request(self, id: str) -> Request | None:
        """Return the request if it is open."""
        return self._open.get(id)

    def note_answer(self, payload: PermissionAnswered) -> None:
        """Continue as an answer says that was committed before the turn was taken up from an earlier hub."""
        self._open.pop(payload.request_id, None)
        self._turn.told(payload.request_id)
        self._note_doing()
        if self.pause is not None and self._is_of_pause(payload.request_id):
            self.pause.answered(payload)

    @property
    def caller(self) -> str:
        """Who sent the original: whose budget the turn draws on."""
        return self.cause.caller or self.owner

    @property
    def onward(self) -> Cause:
        """The cause of messages that follow from this turn."""
        return replace(self.cause, caller=self.caller, project=self.project or UNSET)

    def took(self, payloads: Iterable[Payload]) -> None:
        """Note in the budgets that these payloads are stored: what they report is not reserved any more."""
        if self._state.budgets:
            self._state.budgets.took(self.turn_id, used(payloads))

    def restore(self, requests: Sequence[Request]) -> None:
        """Add the open requests of a turn that an earlier hub started."""
        self._open |= {request.id: request for request in requests}
        for request in requests:
            if request.kind == "permission":
                self._expire_later(request)

    def add_late(self, late: Late) -> None:
        """Add text that the program said in this turn to the answer of the earlier turn that it belongs
        to."""
        if instance := self._state.instances.get(self.instance):
            add_late(self._state, instance, late, logged=False)

    def memory_rows(self, memories: Mapping[str, dict[str, Any]]) -> list[Row]:
        """Return the rows that save the memories of conversations for the next instances of their programs.
        `memories`: by the key of the program."""
        now = self._state.ids.now()
        return [memory_row(key, memory, now) for key, memory in memories.items() if key]

    def with_expiry(self, payload: Payload) -> Payload:
        """Return the payload, with an expiry time if it is a permission request that has none."""
        if not isinstance(payload, PermissionAsked) or payload.expires_at is not None:
            return payload
        if self._is_of_pause(payload.request_id):
            return payload
        end = self._state.ids.now() + int(self._state.limits.permission_seconds * 1000)
        return replace(payload, expires_at=timestamp(end))

    def settle(self, payloads: Sequence[Payload]) -> Settled:
        """Open and close requests as `payloads` require, and return what to commit.

        The caller must hold the lock until the result is committed.
        """
        settled = Settled()
        for payload in payloads:
            if isinstance(payload, PermissionAnswered):
                self._withdraw(payload, settled)
                continue
            settled.payloads.append(payload)
            if isinstance(payload, UsageReported) and self._state.budgets:
                self._note_budgets(payload, settled)
            elif isinstance(payload, ToolCalled) and payload.runs_at == "hub":
                self._calls[payload.call_id] = None
            elif isinstance(payload, ToolReturned):
                self._calls.pop(payload.call_id, None)
            if request := self._request_of(payload):
                self._open_or_decide(request, payload, settled)
        if self._state.notifications:
            self._add_notifications(settled)
        return settled

    def deliver(self, decided: Sequence[Decided]) -> None:
        """Pass the committed answers that the user's rules gave to the peer, after the audit has them."""
        if self.conversation is not None:
            for each in decided:
                work = self._deliver(self.conversation, each)
                self._state.background.start(work, f"answer {each.answer.request_id}")

    async def _deliver(self, conversation: Conversation, decided: Decided) -> None:
        answer, rule = decided.answer, Principal(f"rule:{decided.rule}")
        target = f"{self.stream}/{answer.request_id}"
        detail = f"{self.peer} {decided.tool}: {answer.option_id or 'denied'}"
        await until_accepted(lambda: self._state.audit.note(rule, PERMISSION_ANSWER, target, detail), STREAM)
        await conversation.answer(answer.request_id, answer.option_id)

    def close_all(self) -> tuple[list[Payload], list[Row]]:
        """Close all open requests, and return the payloads and rows to commit with the turn's end.

        Permission requests are answered without an option, and calls of tools that the hub runs are
        cancelled. The caller must hold the lock until the result is committed.
        """
        payloads: list[Payload] = [
            PermissionAnswered(request.id, None, ENDED)
            for request in self._open.values()
            if request.kind == "permission"
        ]
        payloads += [ToolReturned(call, CANCELLED_CALL, is_error=True) for call in self._calls]
        rows = [request.row(CLOSED) for request in self._open.values()]
        if self.pause is not None:
            rows.append(self.pause.pause.row(OVER))
        self._open.clear()
        self._calls.clear()
        return payloads, rows

    def notify(self, rows: Sequence[Row]) -> None:
        """Notify watchers of permission requests, and send notifications, after these rows are committed."""
        if any(row.kind == "permission" for row in rows):
            self._state.requests_changed.notify()
        self._state.notifications.wake()
        self._note_doing()

    async def answer(
        self, request: Request, payload: ToolReturned | PermissionAnswered, value: Any, key: Key | None = None
    ) -> Committed:
        """Commit the answer, then pass `value` to the peer.

        Raises:
            StateConflict: the request was answered, or its turn has ended.
            KeyReused: `key` was used for another command.
            StoreRefused: nothing was stored; the request may be answered again.
        """
        async with self.lock:
            committed = await commit_answer(self._state.store, request, payload, key)
            if committed.replayed:
                return committed
            if request.kind == "permission":
                self._state.requests_changed.notify()
            self._open.pop(request.id, None)
            self._turn.told(request.id)
            self._note_doing()
        if (
            self.pause is not None
            and isinstance(payload, PermissionAnswered)
            and self._is_of_pause(request.id)
        ):
            self.pause.answered(payload)
        elif self.conversation is not None:
            await self.conversation.answer(request.id, value)
        return committed

    def _note_doing(self) -> None:
        """Note for those who watch that the peer does something else than before, if it does."""
        before = self._shown
        self._shown = self.peer, self._turn.doing.current, self._turn.state
        if before[0] != self.peer or before[1] is not self._shown[1] or before[2] is not self._shown[2]:
            self._state.live.turn_changed(self.stream, before[0], self.peer)

    def _add_notifications(self, settled: Settled) -> None:
        """Notify of limits, and of permission requests that no rule has answered. A pause that makes its
        request again with other options is no news."""
        is_known = self.pause is not None and self.pause.pause.question.follows
        told = [
            payload
            for payload in settled.payloads
            if not isinstance(payload, PermissionAsked)
            or (payload.request_id in self._open and not (is_known and self._is_of_pause(payload.request_id)))
        ]
        place = Place(self.owner, self.peer, self.stream, self.turn_id)
        settled.rows |= {row.id: row for row in self._state.notifications.rows(told, place)}

    def _withdraw(self, payload: PermissionAnswered, settled: Settled) -> None:
        """Close a request that the peer withdrew; no effect if it was already answered."""
        request = self._open.pop(payload.request_id, None)
        if request is not None:
            settled.payloads.append(payload)
            settled.rows[request.id] = request.with_answer(payload).row(CLOSED)

    def _note_budgets(self, report: UsageReported, settled: Settled) -> None:
        """Note once that most of a limit is used."""
        budgets, now = self._state.budgets, self._state.ids.now()
        names = names_for(self.peer, self.project, self.caller)
        for standing in budgets.to_note(names, now, used([report])):
            settled.payloads.append(event_of(standing, "note"))
            settled.rows[f"{standing.name} {standing.measure}"] = note_row(standing)

    def _is_of_pause(self, request_id: str) -> bool:
        return self.pause is not None and self.pause.pause.request_id == request_id

    def _open_or_decide(self, request: Request, payload: Payload, settled: Settled) -> None:
        if self.pause is not None and self._is_of_pause(request.id):
            # no rule answers it, and it does not expire; a person can see and answer it also if a program is
            # the owner of the session
            who = self.caller if is_agent_subject(self.owner) else self.owner
            request = replace(request, owner=person_behind(self._state, who))
            settled.rows[request.id] = request.row(OPEN)
            settled.rows |= {f"{row.kind} {row.id}": row for row in self.pause.opened()}
            self._open[request.id] = request
            return
        answer = decided(self._rules, payload) if isinstance(payload, PermissionAsked) else None
        settled.rows[request.id] = request.row(OPEN if answer is None else ANSWERED)
        if answer is not None:
            settled.payloads.append(answer)
            tool = request.data["tool"]
            settled.decided.append(Decided(answer, tool, self._rules.rule_for(tool)))
            self._turn.told(request.id)
            return
        self._open[request.id] = request
        if request.kind == "permission":
            self._expire_later(request)

    @property
    def _rules(self) -> Rules:
        try:
            return self._state.peers.get(self._turn.peer).permissions + self.rules
        except UnknownPeer:
            return self.rules

    def _request_of(self, payload: Payload) -> Request | None:
        match payload:
            case ToolCalled(call_id=id, runs_at="client"):
                kind: Kind = "call"
            case PermissionAsked(request_id=id):
                kind = "permission"
            case _:
                return None
        turn, now = self._turn, self._state.ids.now()
        data = msgspec.to_builtins(data_of(payload))
        return Request(
            kind, id, self.stream, turn.turn_id, self.owner, turn.peer, data, self._step, OPEN, now
        )

    def _expire_later(self, request: Request) -> None:
        if request.data["expires_at"] is None:
            return  # the turn is paused

        def expire() -> None:
            self._state.background.start(self._expire(request), f"expiry {request.id}")

        end = datetime.fromisoformat(request.data["expires_at"]).timestamp()
        # at most the whole time, if the clock was set back since an earlier hub asked
        left = end - self._state.ids.now() / 1000
        seconds = min(max(0.0, left), self._state.limits.permission_seconds)
        self._timers.append(asyncio.get_running_loop().call_later(seconds, expire))

    async def _expire(self, request: Request) -> None:
        while request.id in self._open:
            try:
                await self.answer(request, PermissionAnswered(request.id, None, EXPIRED), None)
            except StateConflict:
                return  # it was answered in the meantime
            except StoreRefused:
                await asyncio.sleep(RETRY_SECONDS)
