"""Answers to the requests of turns. The first answer to a request counts, and later ones are rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from rhetor.domain import questions
from rhetor.domain.command import AnswerPermission, AnswerTool
from rhetor.domain.event import PermissionAnswered, Position, ToolReturned
from rhetor.domain.output import ToolResult
from rhetor.domain.principal import APPROVE, READ, Principal
from rhetor.domain.questions import Answers
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.errors import Forbidden, NotFound, TooLarge, Unprocessable
from rhetor.hub.catalog.requests import ENDED, OPEN, Kind, Request, commit_answer, row_id
from rhetor.hub.core.checks import require_person
from rhetor.hub.core.commits import command_key
from rhetor.hub.programs.now import gone_since

if TYPE_CHECKING:
    from rhetor.hub.state import State


class Answered(msgspec.Struct, frozen=True):
    """An answer that was committed to the log at `position`."""

    id: str
    turn_id: str
    position: Position


async def answer_tool(state: State, principal: Principal, command: AnswerTool) -> Answered:
    """Commit the result of a tool call that the client ran, and pass it to the peer.

    Raises:
        NotFound: the caller has no such session, plan or tool call.
        StateConflict: the call was answered, or its turn has ended.
        TooLarge: the result exceeds the limit for messages.
        KeyReused: the command's key was used for another command.
        StoreRefused: nothing was stored; the command may be repeated.
    """
    _check_size(command.result, state.limits.message_bytes)
    request = await _request(state, principal, "call", command.stream, command.call_id)
    payload = ToolReturned(request.id, command.result, command.is_error)
    value = ToolResult(request.id, command.result, command.is_error)
    return await state.background.complete(
        _answer(state, principal, command, request, payload, value), "answer"
    )


async def answer_permission(state: State, principal: Principal, command: AnswerPermission) -> Answered:
    """Commit a person's decision on a permission request, and pass it to the peer.

    Raises:
        NotFound: the caller has no such session, plan or permission request.
        Forbidden: the caller is a program, or the session is shared with it, but not to approve.
        Unprocessable: the request does not offer this option, or does not ask for these answers.
        StateConflict: the request was answered or has expired, or its turn has ended.
        KeyReused: the command's key was used for another command.
        StoreRefused: nothing was stored; the command may be repeated.
    """
    require_person(principal)
    request = await _request(state, principal, "permission", command.stream, command.request_id)
    payload, value = _decision(request, command, principal.subject)
    work = _answer(state, principal, command, request, payload, value)
    return await state.background.complete(work, "answer")


def _decision(
    request: Request, command: AnswerPermission, by: str
) -> tuple[PermissionAnswered, str | Answers]:
    """Return the event of a decision, and the value for the peer.

    Raises:
        Unprocessable: the request does not offer this option, or does not ask for these answers.
    """
    asked = msgspec.convert(request.data.get("questions") or [], list[questions.Question])
    if command.answers is not None:
        if command.option_id is not None:
            raise Unprocessable("give option_id or answers, not both")
        if not asked:
            raise Unprocessable("the request has no questions; give the option_id of one of its options")
        value = questions.checked(asked, command.answers)
        return PermissionAnswered(request.id, None, by, questions.shown(asked, value)), value
    offered = [option["option_id"] for option in request.data["options"]]
    if command.option_id is None or command.option_id not in offered:
        raise Unprocessable(f"the request has no option {(command.option_id or '')[:100]!r}", options=offered)
    if command.option_id == questions.ANSWER and asked:
        ids = [question.id for question in asked]
        raise Unprocessable("the request has questions; give their answers", unanswered=ids)
    return PermissionAnswered(request.id, command.option_id, by), command.option_id


async def open_permissions(state: State, principal: Principal) -> Sequence[Request]:
    """Return the open permission requests of the caller, and those of sessions in which the caller may
    approve, the oldest first."""
    rows = list(await state.store.find("permission", state=OPEN, owner=principal.subject))
    if shares := state.shares.with_subject(principal.subject, APPROVE):
        for share in shares:
            rows += await state.store.find("permission", state=OPEN, parent=share.session_id)
        rows.sort(key=lambda row: row.at)
    return [Request.of(row) for row in rows]


def shown_state(state: State, session: Session) -> SessionState:
    """Return the session's state; `waiting` if it is active and its running turn waits for an answer, and
    `stopped` if it is open but its peer is gone: the program has ended, or the peer was removed."""
    if session.takes_messages and not _has_peer(state, session.peer):
        return SessionState.STOPPED
    if (runner := state.runners.get(session.id)) is not None:
        waits = runner.current is not None and runner.current.turn.state is TurnState.WAITING
    else:
        turn = state.elsewhere.sessions.get(session.id)
        waits = turn is not None and turn.state == "waiting"
    return SessionState.WAITING if waits and session.state is SessionState.ACTIVE else session.state


def _has_peer(state: State, name: str) -> bool:
    return state.peers.has(name) and not (state.peers.is_announced(name) and gone_since(state, name))


async def _answer(
    state: State,
    principal: Principal,
    command: AnswerTool | AnswerPermission,
    request: Request,
    payload: ToolReturned | PermissionAnswered,
    value: Any,
) -> Answered:
    key = command_key(principal, command, request.id)
    if pending := state.pending.get(request.turn_id):
        committed = await pending.answer(request, payload, value, key)
    else:  # the turn has ended, so this raises, unless `key` repeats an earlier answer; or its pause is not
        # taken up from an earlier hub yet
        committed = await commit_answer(state.store, request, payload, key)
        if isinstance(payload, PermissionAnswered) and not committed.replayed:
            state.requests_changed.notify()
            if pending := state.pending.get(request.turn_id):
                pending.note_answer(payload)
    return Answered(request.id, request.turn_id, Position(committed.epoch, committed.last))


async def _request(state: State, principal: Principal, kind: Kind, stream: str, id: str) -> Request:
    """Return a request of the caller's session or plan. The permission requests of a shared session are also
    those of the subjects that may approve there; the results of tools only come from its owner."""
    subject, row = principal.subject, await state.store.get(kind, row_id(stream, id))
    if row is not None:
        may_approve = kind == "permission" and state.shares.allows(stream, subject, APPROVE)
        if row.owner == subject or may_approve:
            return Request.of(row)
    if state.shares.allows(stream, subject, READ):
        if kind == "permission" and not state.shares.allows(stream, subject, APPROVE):
            raise Forbidden.not_shared(stream, APPROVE)
    else:
        source = await state.store.get("session", stream) or await state.store.get("plan", stream)
        if source is None or source.owner != subject:
            raise NotFound("session", stream)
    raise NotFound("tool call" if kind == "call" else "permission request", id)


def _check_size(result: Any, limit: int) -> None:
    if len(msgspec.json.encode(result)) > limit:
        raise TooLarge("the result", limit)


class PermissionWatch:
    """Reports each of the caller's permission requests once when it is open and once when it no longer is.

    A request that is opened and closed between two calls of `changes` is not reported.
    """

    def __init__(self, state: State, principal: Principal) -> None:
        self._state = state
        self._principal = principal
        self._known: dict[str, Request] = {}
        self._changed = state.requests_changed.next()

    async def changes(self) -> tuple[list[Request], list[Request]]:
        """Return the requests opened since the last call, the oldest first, and those that were answered or
        closed since then, each with its `answer`."""
        self._changed = self._state.requests_changed.next()
        now = {request.row_id: request for request in await open_permissions(self._state, self._principal)}
        gone = [await self._ended(request) for id, request in self._known.items() if id not in now]
        new = [request for id, request in now.items() if id not in self._known]
        self._known = now
        return new, gone

    async def wait(self) -> None:
        """Wait until `changes` may have something to report."""
        await self._changed.wait()

    async def _ended(self, request: Request) -> Request:
        row = await self._state.store.get("permission", request.row_id)
        ended = request if row is None else Request.of(row)
        return ended if ended.answer else replace(ended, answer={"option_id": None, "by": ENDED})
