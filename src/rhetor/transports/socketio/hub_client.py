"""One client of the hub over Socket.IO: its requests, and the sessions that it follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from rhetor.codec.socketio import MAIN, Packet, PacketType
from rhetor.dialects import socketio as dialect
from rhetor.dialects.socketio import ALL, Auth, Subscribe, Unsubscribe
from rhetor.dialects.socketio_events import SessionView
from rhetor.domain.command import AnswerPermission, SendMessage
from rhetor.domain.event import Position
from rhetor.domain.principal import Principal
from rhetor.errors import (
    Malformed,
    NotFound,
    PositionLost,
    RhetorError,
    ShuttingDown,
    TooManyAtOnce,
    TooManyInvalid,
    TooSlow,
    UnknownPeer,
)
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.sessions.states import readable_session
from rhetor.hub.turns.answers import Answered
from rhetor.store.base import resumed
from rhetor.transports.server.following import follow
from rhetor.transports.server.node import Node

from .client import SocketIoClient
from .connection import API, ConnectionSubscriber

MOST_FOLLOWED = 200  # sessions of one client
MOST_FAULTS = 10
MOST_PRIMED = 10_000  # events of the turn within which a client resumes
CLAUDE = "claude"

Begin = Callable[[], None]


class HubClient:
    """A caller that is connected to the main namespace. `tasks`: of this connection."""

    def __init__(self, node: Node, client: SocketIoClient, who: Principal, tasks: asyncio.TaskGroup) -> None:
        self._node = node
        self._hub = node.hub
        self._client = client
        self._who = who
        self._tasks = tasks
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._faults = 0

    async def connect(self, auth: Auth) -> None:
        """Answer the CONNECT, and continue the sessions that it names. None of their events overtakes the
        answer."""
        answers: dict[str, Any] = {}
        begins = list[Begin]()
        for session_id, cursor in auth.cursors.items():
            try:
                answers[session_id], begin = await self._resume(Subscribe(session_id, cursor, ALL))
                begins.append(begin)
            except RhetorError as error:
                answers[session_id] = self._problem(error)
        await self._client.accept(MAIN, {"resumed": answers} if answers else {})
        for begin in begins:
            begin()

    async def serve(self, packets: AsyncIterator[Packet]) -> bool:
        """Answer requests until the client disconnects from the namespace; return False if its session has
        ended.

        Raises:
            TooManyInvalid, RateExceeded, Malformed, TooSlow: the session must be closed.
        """
        async for packet in packets:
            match packet.type:
                case PacketType.CONNECT:
                    await self._client.refuse(packet.namespace, "Invalid namespace")
                    self._count_fault()
                case PacketType.DISCONNECT:
                    return True
                case _:
                    await self._charge(packet)
                    await self._answer(packet)
        return False

    async def _charge(self, packet: Packet) -> None:
        try:
            self._node.charge(self._who, API)
        except RhetorError as error:  # the session is closed; the client learns when to return
            await self._refuse(packet, error)
            raise

    async def _answer(self, packet: Packet) -> None:
        try:
            answer, begin = await self._answered(packet)
        except (ShuttingDown, TooSlow):
            raise  # this ends the session, not only the request
        except RhetorError as error:
            await self._refuse(packet, error)
            return
        await self._client.acknowledge(packet, [answer])
        if begin is not None:
            begin()

    async def _refuse(self, packet: Packet, error: RhetorError) -> None:
        problem = self._problem(error)
        if packet.id is None:  # the client must learn of it nevertheless
            session_id = dialect.session_of(packet.arguments)
            name = dialect.ERROR if session_id is None else f"{dialect.ERROR}:{session_id}"
            await self._client.emit(MAIN, name, dialect.said(error))
        if isinstance(error, Malformed):
            self._count_fault()
        await self._client.acknowledge(packet, [problem])

    async def _answered(self, packet: Packet) -> tuple[dict[str, Any], Begin | None]:
        match dialect.decode(packet.arguments):
            case Subscribe() as asked:
                return await self._resume(asked)
            case Unsubscribe(session_id):
                await self._leave(session_id)
                return {"session_id": session_id}, None
            case SendMessage() as command:
                accepted: Accepted = await self._hub.execute(self._who, command, API)
                return {
                    "session_id": accepted.session_id,
                    "turn_id": accepted.turn_id,
                    "message_id": accepted.message_id,
                    "ai": accepted.peer,
                    "cursor": str(accepted.after),
                }, None
            case AnswerPermission() as command:
                answered: Answered = await self._hub.execute(self._who, command, API)
                return {
                    "request_id": answered.id,
                    "turn_id": answered.turn_id,
                    "cursor": str(answered.position),
                }, None

    async def _resume(self, asked: Subscribe) -> tuple[dict[str, Any], Begin]:
        """Return the resume answer, and what begins the subscription. It replaces an earlier one of the same
        session.

        Raises:
            NotFound, MalformedCursor: there is no such session or cursor.
            TooManyAtOnce: the client follows too many sessions.
        """
        if asked.session_id not in self._followed and len(self._followed) >= MOST_FOLLOWED:
            raise TooManyAtOnce("sessions", MOST_FOLLOWED)
        session = await readable_session(self._hub.state, self._who, asked.session_id)
        try:
            head, after = await self._hub.position(self._who, session.id, asked.cursor)
        except PositionLost as lost:
            return {"session_id": session.id, **lost.data}, lambda: None
        await self._leave(asked.session_id)
        seen = after.seq if asked.cursor else 0
        view = SessionView(asked.session_id, asked.filter, self._is_claude(session.peer), seen, seen)
        if asked.cursor:
            await self._prime(session.id, after, view)

        def begin() -> None:
            work = self._follow(asked.session_id, session.id, after, view)
            name = f"socketio {session.id}"
            self._followed[asked.session_id] = self._tasks.create_task(work, name=name)

        return {"session_id": session.id, **resumed(head, after)}, begin

    def _is_claude(self, peer: str) -> bool:
        try:
            return self._hub.state.peers.get(peer).driver == CLAUDE
        except UnknownPeer:  # it was removed
            return False

    async def _prime(self, session_id: str, after: Position, view: SessionView) -> None:
        """Let the view note the events of the turn within which the client resumes."""
        store = self._hub.state.store
        last = await store.page(session_id, Position(after.epoch, after.seq - 1), 1) if after.seq else ()
        turn_id = last[0].turn_id if last else None
        row = await store.get("turn", turn_id) if turn_id else None
        if row is None:
            return
        head = await store.head(session_id)
        earliest = head.earliest if head else 1
        begin = max(TurnRow.of(row).behind, after.seq - MOST_PRIMED, earliest - 1)
        while begin < after.seq and (records := await store.page(session_id, Position(after.epoch, begin))):
            for record in records:
                if record.seq <= after.seq:
                    view.prime(record)
            begin = records[-1].seq

    async def _follow(self, label: str, stream: str, after: Position, view: SessionView) -> None:
        mine = asyncio.current_task()
        try:
            subscriber = ConnectionSubscriber(self._client.connection)
            await follow(self._hub.state, stream, after, view, subscriber, subject=self._who.subject)
        except (PositionLost, NotFound) as why:  # this ends the subscription, not the session
            self._node.tally.fault(API, why.code)
            await self._client.emit(MAIN, f"{dialect.ERROR}:{label}", dialect.said(why))
        finally:
            if self._followed.get(label) is mine:
                del self._followed[label]

    async def _leave(self, label: str) -> None:
        """Stop following a session. When this returns, none of its events will be sent."""
        task = self._followed.pop(label, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _problem(self, error: RhetorError) -> dict[str, Any]:
        self._node.tally.fault(API, error.code)
        return dialect.problem(error)

    def _count_fault(self) -> None:
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            raise TooManyInvalid(MOST_FAULTS)
