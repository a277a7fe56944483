"""One peer over a WebSocket: `/ws/ai/{id}`."""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket

from rhetor.codec.jsonrpc import Call
from rhetor.dialects.peer_socket import Chat, RawView, Stream, Subscribe, TurnView, decode
from rhetor.domain.event import TurnCompleted
from rhetor.domain.principal import Principal
from rhetor.errors import PositionLost
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import resumed
from rhetor.transports.server.node import Node
from rhetor.transports.server.problems import failure_of

from .connection import SocketConnection, talk
from .rpc import Reply, ReplyScope, serve


async def peer_socket(socket: WebSocket, id: str) -> None:
    here: Node = socket.scope["state"]["node"]
    who: Principal = socket.scope["state"]["principal"]
    peers_for(here.hub.state, who).resolve(id)  # an unknown peer is reported before the upgrade

    async def answer(connection: SocketConnection) -> None:
        await serve(connection, PeerHandler(connection, id).answer)

    await talk(socket, answer)


class PeerHandler:
    """Answers the calls of one connection to one peer (a name or `@capability`)."""

    def __init__(self, connection: SocketConnection, peer: str) -> None:
        self._connection = connection
        self._hub = connection.hub
        self._peer = peer

    async def answer(self, call: Call, scope: ReplyScope) -> Reply:
        asked = decode(call, self._peer)
        self._connection.require_room()
        match asked:
            case Chat(command):
                accepted: Accepted = await self._connection.execute(command)
                return Reply(later=lambda: self._whole(accepted))
            case Stream(command):
                accepted = await self._connection.execute(command)
                return Reply(self._place(accepted), then=lambda: self._show(accepted))
            case Subscribe(session_id, cursor, wanted):
                return await self._subscribe(session_id, cursor, wanted)

    async def _whole(self, accepted: Accepted) -> dict[str, Any]:
        """Return the whole answer to an accepted message.

        Raises:
            TurnFailure: the turn did not complete.
        """
        with self._hub.state.presence.waiting_for_end(accepted.session_id):
            end, said = await self._hub.answer(accepted)
        if isinstance(end, TurnCompleted):
            return {"response": end.text, **self._place(accepted), "usage": end.usage}
        raise failure_of(end, accepted, said)

    def _show(self, accepted: Accepted) -> None:
        view = TurnView(self._ai(accepted), accepted.turn_id)
        self._connection.start(self._connection.follow(accepted.session_id, accepted.after, view), "stream")

    async def _subscribe(self, session_id: str, cursor: str | None, wanted: frozenset[str] | None) -> Reply:
        session_id = await self._hub.may_read(self._connection.who, session_id)
        try:
            head, after = await self._hub.position(self._connection.who, session_id, cursor)
        except PositionLost as lost:
            return Reply({"session_id": session_id, **lost.data})

        def begin() -> None:
            view = RawView(after.seq, wanted=wanted)
            self._connection.start(self._connection.follow(session_id, after, view), "subscription")

        return Reply({"session_id": session_id, **resumed(head, after)}, then=begin)

    def _ai(self, accepted: Accepted) -> str:
        """Return the peer as the client wrote it in the path."""
        return accepted.peer if self._peer.startswith("@") else self._peer

    def _place(self, accepted: Accepted) -> dict[str, Any]:
        return {
            "session_id": accepted.session_id,
            "turn_id": accepted.turn_id,
            "ai": self._ai(accepted),
            "cursor": str(accepted.after),
        }
