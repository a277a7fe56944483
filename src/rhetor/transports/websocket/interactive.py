"""The interactive loop: `/ws`."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct
from starlette.websockets import WebSocket

from rhetor.codec.jsonrpc import Call
from rhetor.dialects import subscriptions
from rhetor.dialects.interactive import OK, STATUS, Echo, LoopView, Resume, Status, decode, unshared
from rhetor.domain import command as c
from rhetor.domain.event import Position
from rhetor.domain.session import Session
from rhetor.errors import NotFound, PositionLost
from rhetor.hub.sessions.leases import lease
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.sessions.states import readable_session
from rhetor.store.base import Head, resumed

from .connection import Hold, SocketConnection, talk
from .rpc import Reply, ReplyScope, serve
from .subscriptions import SubscriptionHandler


async def loop(socket: WebSocket) -> None:
    async def answer(connection: SocketConnection) -> None:
        await serve(connection, LoopHandler(connection).answer)

    await talk(socket, answer)


class Attended(Struct):
    """A session that this connection follows. `hold` holds its notifications back until a reply is
    written."""

    hold: Hold
    task: asyncio.Task[None] | None = None


class LoopHandler:
    """Answers the calls of one connection, and follows the sessions that it uses."""

    def __init__(self, connection: SocketConnection) -> None:
        self._connection = connection
        self._hub = connection.hub
        self._streams = SubscriptionHandler(connection)
        self._attended: dict[str, Attended] = {}

    async def answer(self, call: Call, scope: ReplyScope) -> Reply:
        if call.method in subscriptions.METHODS:
            return await self._streams.answer(call)
        match decode(call):
            case c.StartSession() as command:
                return await self._start(command, scope)
            case c.SendMessage() as command:
                return await self._send(command, scope)
            case c.AnswerTool() as command:
                self._hold(command.stream, scope)
                await self._execute(command)
                return Reply({"status": OK})
            case c.PauseSession(id) as command:
                self._hold(id, scope)
                return Reply(_status(await self._execute(command)))
            case c.StopSession(id) as command:
                return await self._stop(command, scope)
            case Resume(command, cursor):
                return await self._resume(command, cursor, scope)
            case Echo(value):
                return Reply(value)

    async def _execute(self, command: c.Command) -> Any:
        return await self._connection.execute(command)

    async def _start(self, command: c.StartSession, scope: ReplyScope) -> Reply:
        self._connection.require_room()
        if command.voice is not None and command.voice.model:
            await self._connection.node.providers.require_model(command.voice.model)
        session: Session = await self._execute(command)
        head = await self._hub.state.store.head(session.id) or Head("", 0, 1)
        if session.id not in self._attended:  # otherwise the call was repeated with the same key
            self._attend(session, Position(head.epoch, head.earliest - 1), LoopView(), scope)
        return Reply({"sessionId": session.id, **_status(session)})

    async def _send(self, command: c.SendMessage, scope: ReplyScope) -> Reply:
        assert command.session_id is not None
        if command.session_id not in self._attended:
            self._connection.require_room()
        self._hold(command.session_id, scope)
        accepted: Accepted = await self._execute(command)
        if accepted.session_id not in self._attended:
            session = await readable_session(self._hub.state, self._connection.who, accepted.session_id)
            view = LoopView(0, self._running(session.id))
            self._attend(session, accepted.after, view, scope)
        return Reply({"messageId": accepted.message_id, "status": OK, "turnId": accepted.turn_id})

    async def _stop(self, command: c.StopSession, scope: ReplyScope) -> Reply:
        self._hold(command.session_id, scope)
        try:
            await self._execute(command)
        except NotFound:
            pass  # an unknown session counts as stopped; another caller's session is unknown to this caller
        return Reply({"status": Status.STOPPED})

    async def _resume(self, command: c.ResumeSession, cursor: str | None, scope: ReplyScope) -> Reply:
        self._connection.require_room()
        session = await readable_session(self._hub.state, self._connection.who, command.session_id)
        id = session.id
        try:
            head, after = await self._hub.position(self._connection.who, id, cursor)
        except PositionLost as lost:
            return Reply({**_status(session), **lost.data})
        self._hold(id, scope)
        if session.owner == self._connection.who.subject:  # others may only follow it
            session = await self._execute(command)
        if cursor is not None or id not in self._attended:
            await self._leave(id)
            view = LoopView(after.seq if cursor else 0, self._running(id))
            self._attend(session, after, view, scope)
        return Reply({**_status(session), **resumed(head, after)})

    def _running(self, session_id: str) -> frozenset[str]:
        """Return the id of the turn that is running in the session, if any."""
        state = self._hub.state
        runner = state.runners.get(session_id)
        current = runner.current if runner is not None else None
        if current is not None:
            return frozenset({current.turn.turn_id})
        turn = state.elsewhere.sessions.get(session_id)
        return frozenset() if turn is None else frozenset({turn.turn_id})

    def _hold(self, session_id: str, scope: ReplyScope) -> None:
        if attended := self._attended.get(session_id):
            scope.stack.enter_context(attended.hold.held())

    def _attend(self, session: Session, after: Position, view: LoopView, scope: ReplyScope) -> None:
        attended = Attended(Hold())
        scope.stack.enter_context(attended.hold.held())
        work = self._follow(session, after, view, attended)
        attended.task = self._connection.start(work, f"loop {session.id}")
        self._attended[session.id] = attended

    async def _follow(self, session: Session, after: Position, view: LoopView, attended: Attended) -> None:
        try:
            with lease(self._hub.state, session):
                await self._connection.follow(session.id, after, view, attended.hold)
        except NotFound as gone:  # it is no longer shared with the caller
            await self._connection.say(unshared(session.id, gone))
        finally:
            if self._attended.get(session.id) is attended:
                del self._attended[session.id]

    async def _leave(self, session_id: str) -> None:
        """Stop following the session, if this connection follows it, to follow it from another position."""
        attended = self._attended.pop(session_id, None)
        if attended is not None and attended.task is not None:
            attended.task.cancel()
            await asyncio.wait([attended.task])


def _status(session: Session) -> dict[str, Any]:
    return {"status": STATUS[session.state]}
