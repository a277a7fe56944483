"""Answering what turns wait for: the first answer counts, later ones are told so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.domain.command import AnswerPermission, AnswerTool, Principal
from rhetor.domain.event import PermissionAnswered, Position, ToolReturned
from rhetor.domain.output import ToolResult
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.errors import NotFound, TooLarge, Unprocessable
from rhetor.hub.catalog.requests import ENDED, OPEN, Kind, Request, commit_answer, row_id
from rhetor.hub.core.checks import require_person
from rhetor.hub.core.commits import command_key

if TYPE_CHECKING:
    from rhetor.hub.state import State


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that is in the log, at `position`."""

    id: str
    turn_id: str
    position: Position


async def answer_tool(state: State, principal: Principal, command: AnswerTool) -> Answered:
    """Raises:
    NotFound: no turn of the caller's asked that.
    StateConflict: it was answered, or its turn is over.
    TooLarge, KeyReused, StoreRefused: as they say."""
    _check_size(command.result, state.limits.message_bytes)
    asked = await _asked(state, principal, "call", command.stream, command.call_id)
    payload = ToolReturned(asked.id, command.result, command.is_error)
    value = ToolResult(asked.id, command.result, command.is_error)
    return await state.background.complete(
        _answer(state, principal, command, asked, payload, value), "answer"
    )


async def answer_permission(state: State, principal: Principal, command: AnswerPermission) -> Answered:
    """Raises:
    NotFound: no turn of the caller's asked that.
    Forbidden: the caller is a program.
    Unprocessable: the option was not offered.
    StateConflict: it was answered, has expired, or its turn is over."""
    require_person(principal)
    asked = await _asked(state, principal, "permission", command.stream, command.request_id)
    offered = [option["option_id"] for option in asked.data["options"]]
    if command.option_id not in offered:
        raise Unprocessable(f"there is no option {command.option_id[:100]!r}", options=offered)
    payload = PermissionAnswered(asked.id, command.option_id, principal.subject)
    work = _answer(state, principal, command, asked, payload, command.option_id)
    return await state.background.complete(work, "answer")


async def open_permissions(state: State, principal: Principal) -> Sequence[Request]:
    """The caller's requests that wait, the oldest first."""
    rows = await state.store.find("permission", state=OPEN, owner=principal.subject)
    return [Request.of(row) for row in rows]


def shown_state(state: State, session: Session) -> SessionState:
    """The session's state, `waiting` where its running turn waits for an answer."""
    runner = state.runners.get(session.id)
    waits = (
        runner is not None and runner.current is not None and runner.current.turn.state is TurnState.WAITING
    )
    return SessionState.WAITING if waits and session.state is SessionState.ACTIVE else session.state


async def _answer(
    state: State,
    principal: Principal,
    command: AnswerTool | AnswerPermission,
    asked: Request,
    payload: ToolReturned | PermissionAnswered,
    value: Any,
) -> Answered:
    key = command_key(principal, command, asked.id)
    if pending := state.pending.get(asked.turn_id):
        committed = await pending.answer(asked, payload, value, key)
    else:  # the turn is over, so this raises, unless it is an answer that came before with the same key
        committed = await commit_answer(state.store, asked, payload, key)
    return Answered(asked.id, asked.turn_id, Position(committed.epoch, committed.last))


async def _asked(state: State, principal: Principal, kind: Kind, stream: str, id: str) -> Request:
    row = await state.store.get(kind, row_id(stream, id))
    if row is None or row.owner != principal.subject:
        asker = await state.store.get("session", stream) or await state.store.get("plan", stream)
        if asker is None or asker.owner != principal.subject:
            raise NotFound("session", stream)
        raise NotFound("tool call" if kind == "call" else "permission request", id)
    return Request.of(row)


def _check_size(result: Any, limit: int) -> None:
    if len(msgspec.json.encode(result)) > limit:
        raise TooLarge("the result", limit)


class PermissionWatch:
    """Tells each request once that it waits, and once that it does no more. One that came and went between
    two looks is not told."""

    def __init__(self, state: State, principal: Principal) -> None:
        self._state = state
        self._principal = principal
        self._known: dict[str, Request] = {}
        self._heard = state.requests_changed.next()

    async def look(self) -> tuple[list[Request], list[Request]]:
        """Those that wait since the last look, the oldest first, and those that do no more, each with its
        `answer`."""
        self._heard = self._state.requests_changed.next()
        now = {asked.row_id: asked for asked in await open_permissions(self._state, self._principal)}
        gone = [await self._ended(asked) for id, asked in self._known.items() if id not in now]
        new = [asked for id, asked in now.items() if id not in self._known]
        self._known = now
        return new, gone

    async def wait(self) -> None:
        """Until another look may find something."""
        await self._heard.wait()

    async def _ended(self, asked: Request) -> Request:
        row = await self._state.store.get("permission", asked.row_id)
        ended = asked if row is None else Request.of(row)
        return ended if ended.answer else replace(ended, answer={"option_id": None, "by": ENDED})
