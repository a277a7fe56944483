"""What a turn has asked of its client or of a person until it is told: tool calls, requests for permission.

A request that the user's rules decide is asked and answered in one commit, so that nobody sees it wait. What
a question is in the catalog, `asked` knows; who may answer, `answering`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import (
    Payload,
    PermissionAnswered,
    PermissionAsked,
    ToolCalled,
    ToolReturned,
    data_of,
)
from rhetor.domain.permission import Rules, decided
from rhetor.domain.timestamps import timestamp
from rhetor.domain.turn import Turn
from rhetor.drivers.base import Conversation
from rhetor.errors import StateConflict, StoreRefused, UnknownPeer
from rhetor.hub.catalog.programs import memory_row
from rhetor.hub.catalog.requests import ANSWERED, CLOSED, ENDED, OPEN, Kind, Request, commit_answer
from rhetor.store.base import Committed, Key, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

EXPIRED = "expiry"  # who answers a request that nobody answers in time
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Settled:
    """What is committed for some payloads of a turn: those that count, and what they make of its questions.
    `given`: what the rules answered."""

    payloads: list[Payload] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    given: list[PermissionAnswered] = field(default_factory=list)


class PendingRequests:
    """The questions of one running turn; entered for as long as it runs.

    `lock`: one commit of the turn at a time, so that an answer and the turn's end cannot pass each other.
    `via`: the peers that the turn's question has come through.
    """

    def __init__(self, state: State, stream: str, owner: str, turn: Turn, step: str | None = None) -> None:
        self.lock = asyncio.Lock()
        self.conversation: Conversation | None = None
        self._state = state
        self.stream = stream
        self.owner = owner
        self.instance = ""
        self.cwd: str | None = None
        self.via: tuple[str, ...] = ()
        self._turn = turn
        self._step = step
        self._open: dict[str, Request] = {}
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def turn_id(self) -> str:
        return self._turn.turn_id

    def __enter__(self) -> Self:
        self._state.pending[self._turn.turn_id] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._state.pending[self._turn.turn_id]
        for timer in self._timers:
            timer.cancel()

    @property
    def peer(self) -> str:
        """Who answers."""
        return self._turn.peer

    def taken_up(self, asked: Sequence[Request]) -> None:
        """Questions that the turn asked under an earlier hub."""
        self._open |= {each.id: each for each in asked}
        for each in asked:
            if each.kind == "permission":
                self._expire_later(each)

    def remembered(self, memory: dict[str, Any]) -> list[Row]:
        """What the turn's conversation leaves to the next program of it."""
        return [memory_row(self.instance, memory, self._state.ids.now())] if self.instance else []

    def dated(self, payload: Payload) -> Payload:
        """A request for permission with its end, where the peer set none."""
        if not isinstance(payload, PermissionAsked) or payload.expires_at is not None:
            return payload
        end = self._state.ids.now() + int(self._state.limits.permission_seconds * 1000)
        return replace(payload, expires_at=timestamp(end))

    def settled(self, payloads: Sequence[Payload]) -> Settled:
        """What `payloads` open and close. To be called with the lock held, and committed."""
        settled = Settled()
        for payload in payloads:
            if isinstance(payload, PermissionAnswered):
                self._withdraw(payload, settled)
                continue
            settled.payloads.append(payload)
            if asked := self._asked(payload):
                self._open_or_decide(asked, payload, settled)
        return settled

    def tell(self, given: Sequence[PermissionAnswered]) -> None:
        """Let the turn go on with what the rules answered, which is in the log."""
        if self.conversation is not None:
            for each in given:
                answer = self.conversation.answer(each.request_id, each.option_id)
                self._state.background.start(answer, f"answer {each.request_id}")

    def withdrawn(self) -> tuple[list[Payload], list[Row]]:
        """What ends with the turn: requests are answered with no option, and nothing can be answered any
        more. To be called with the lock held."""
        payloads: list[Payload] = [
            PermissionAnswered(asked.id, None, ENDED)
            for asked in self._open.values()
            if asked.kind == "permission"
        ]
        rows = [asked.row(CLOSED) for asked in self._open.values()]
        self._open.clear()
        return payloads, rows

    def ring(self, rows: Sequence[Row]) -> None:
        """That these rows are committed: who watches requests for permission looks again."""
        if any(row.kind == "permission" for row in rows):
            self._state.requests_changed.notify()

    async def answer(
        self, request: Request, payload: ToolReturned | PermissionAnswered, value: Any, key: Key | None = None
    ) -> Committed:
        """Commit the answer, and let the turn go on with it.

        Raises:
            StateConflict: it was answered, or its turn ended.
            StoreRefused: nothing was taken; it may be answered again.
        """
        async with self.lock:
            committed = await commit_answer(self._state.store, request, payload, key)
            if committed.replayed:
                return committed
            if request.kind == "permission":
                self._state.requests_changed.notify()
            self._open.pop(request.id, None)
            self._turn.told(request.id)
        if self.conversation is not None:
            await self.conversation.answer(request.id, value)
        return committed

    def _withdraw(self, payload: PermissionAnswered, settled: Settled) -> None:
        """The peer waits no more; where somebody has answered before, that stands."""
        asked = self._open.pop(payload.request_id, None)
        if asked is not None:
            settled.payloads.append(payload)
            settled.rows[asked.id] = asked.answered(payload).row(CLOSED)

    def _open_or_decide(self, asked: Request, payload: Payload, settled: Settled) -> None:
        answer = decided(self._rules, payload) if isinstance(payload, PermissionAsked) else None
        settled.rows[asked.id] = asked.row(OPEN if answer is None else ANSWERED)
        if answer is not None:
            settled.payloads.append(answer)
            settled.given.append(answer)
            self._turn.told(asked.id)
            return
        self._open[asked.id] = asked
        if asked.kind == "permission":
            self._expire_later(asked)

    @property
    def _rules(self) -> Rules:
        try:
            return self._state.peers.get(self._turn.peer).permissions
        except UnknownPeer:
            return Rules()

    def _asked(self, payload: Payload) -> Request | None:
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

    def _expire_later(self, asked: Request) -> None:
        def expire() -> None:
            self._state.background.start(self._expire(asked), f"expiry {asked.id}")

        end = datetime.fromisoformat(asked.data["expires_at"]).timestamp()
        seconds = max(0.0, end - self._state.ids.now() / 1000)
        self._timers.append(asyncio.get_running_loop().call_later(seconds, expire))

    async def _expire(self, asked: Request) -> None:
        while asked.id in self._open:
            try:
                await self.answer(asked, PermissionAnswered(asked.id, None, EXPIRED), None)
            except StateConflict:
                return  # somebody was first
            except StoreRefused:
                await asyncio.sleep(RETRY_SECONDS)
