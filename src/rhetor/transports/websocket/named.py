"""Named sockets: `/ws/socket/{socket_id}`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from starlette.websockets import WebSocket

from rhetor.dialects import named_socket as dialect
from rhetor.dialects.named_socket import PartView, SocketInput, SocketOptions, SocketView
from rhetor.domain.command import KeepBlob, SendMessage
from rhetor.domain.event import BlobKept, Position, StepDone, StepFailed, StepStarted
from rhetor.domain.principal import Principal
from rhetor.domain.socket import Socket
from rhetor.errors import Malformed, NotFound, PositionLost, RhetorError, ShuttingDown
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.sessions import sockets
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Head, Record, follow, resumed
from rhetor.transports.server.node import Node

from .connection import SocketConnection, talk


async def named_socket(socket: WebSocket, socket_id: str) -> None:
    """Serve one connection to a named socket. An error is returned before the upgrade, except for a lost
    position, which is reported on the socket."""
    here: Node = socket.scope["state"]["node"]
    who: Principal = socket.scope["state"]["principal"]
    wishes = SocketOptions.of(socket.query_params)
    found = await sockets.found_socket(here.hub.state, who, socket_id)
    place: tuple[Head, Position] | PositionLost | None = None
    if wishes.cursor is not None:
        try:
            place = await here.hub.position(who, found.session_id, wishes.cursor)
        except PositionLost as lost:
            place = lost

    async def answer(connection: SocketConnection) -> None:
        if isinstance(place, PositionLost):
            await connection.say(dialect.resumed(place.data))
            raise place
        if place is not None:
            await connection.say(dialect.resumed(resumed(*place)))
        await NamedSocketHandler(connection, found, wishes, place[1] if place else None).serve()

    await talk(socket, answer)


class NamedSocketHandler:
    """Serves one connection to a named socket. `after`: the cursor that it resumes from; None to begin with
    the first message that no connection received."""

    def __init__(
        self, connection: SocketConnection, socket: Socket, wishes: SocketOptions, after: Position | None
    ) -> None:
        self._connection = connection
        self._hub = connection.hub
        self._socket = socket
        self._wishes = wishes
        self._after = after
        self._apart = BYTES | STEPS if wishes.stream else BYTES
        self._input = SocketInput(socket)
        self._parts: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Execute the client's writes until it closes the connection, and send it the socket's messages.

        Raises:
            TooManyInvalid, RateExceeded, TooLarge, TooSlow: the connection must be closed.
        """
        self._connection.start(self._read(), f"socket {self._socket.id}")
        async for message in self._connection.messages():
            await self._charge(message)
            for said in self._input.decode(message):
                if isinstance(said, RhetorError):
                    await self._refuse(said)
                    if isinstance(said, Malformed):
                        self._connection.count_fault()
                else:
                    await self._do(said)

    async def _charge(self, message: str | bytes) -> None:
        try:
            self._connection.charge(message)
        except RhetorError as error:  # the connection is closed; the client learns when to return
            await self._refuse(error)
            raise

    async def _do(self, command: SendMessage | KeepBlob) -> None:
        try:
            done = await self._connection.execute(command)
        except ShuttingDown:
            raise
        except RhetorError as error:
            await self._refuse(error)
            return
        if command.command_id is not None:
            await self._connection.say(dialect.accepted(command.command_id, _place(done)))

    async def _refuse(self, error: RhetorError) -> None:
        self._connection.fault(error.code)
        await self._connection.say(dialect.failed(error))

    async def _read(self) -> None:
        state, session_id = self._hub.state, self._socket.session_id
        with state.read_marks.reading(session_id):
            after = self._after or await sockets.unread(state, self._socket)
            view = SocketView(self._socket, self._wishes, self._after.seq if self._after else 0)
            await self._connection.follow(session_id, after, view, batches=self._batches(after, view))
        self._connection.close()

    async def _batches(self, after: Position, view: SocketView) -> AsyncIterator[Sequence[Record]]:
        """Yield the records after `after` in parts. Each part is prepared before it is written, and marked as
        read after that."""
        state = self._hub.state
        async for records in follow(state.store, self._socket.session_id, after):
            for part in _parts(records, self._apart):
                await self._prepare(part[0], view)
                yield part
                if view.received is not None:
                    await sockets.mark_read(state, self._socket, view.received)

    async def _prepare(self, record: Record, view: SocketView) -> None:
        match record.event.payload if record.type in self._apart else None:
            case BlobKept(blob_id):
                try:
                    view.content = await self._hub.state.blobs.read(blob_id)
                except NotFound:
                    view.content = None
            case StepStarted(member, _, str() as session_id, turn_id):
                await self._show_part(member, session_id, turn_id)
            case StepDone(member) | StepFailed(member):
                if task := self._parts.pop(member, None):
                    await asyncio.wait([task])  # its chunks come before its whole answer

    async def _show_part(self, member: str, session_id: str, turn_id: str) -> None:
        """Write the chunks of a team member's turn, if its session still has all of them."""
        store = self._hub.state.store
        row, head = await store.get("turn", turn_id), await store.head(session_id)
        behind = TurnRow.of(row).behind if row is not None else 0
        if head is not None and behind >= head.earliest - 1:
            work = self._follow_part(session_id, Position(head.epoch, behind), PartView(member, turn_id))
            self._parts[member] = self._connection.start(work, f"part {member}")

    async def _follow_part(self, session_id: str, after: Position, view: PartView) -> None:
        with suppress(PositionLost):  # of the member's session: the socket's own log has its whole answer
            await self._connection.follow(session_id, after, view)


def _place(done: Accepted | str) -> dict[str, str]:
    if isinstance(done, Accepted):
        return {"turn_id": done.turn_id, "message_id": done.message_id}
    return {"blob_id": done}


BYTES = frozenset({BlobKept.type})
STEPS = frozenset({StepStarted.type, StepDone.type, StepFailed.type})


def _parts(records: Sequence[Record], apart: frozenset[str]) -> list[Sequence[Record]]:
    """Split records into parts, in order. A record of a type in `apart` must be prepared before it is
    written, so it begins a part. A record with binary content is a part of its own."""
    parts: list[list[Record]] = []
    for record in records:
        alone = parts and parts[-1][0].type in BYTES
        if not parts or alone or record.type in apart:
            parts.append([])
        parts[-1].append(record)
    return list(parts)
