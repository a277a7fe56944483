"""Sockets: opened, found by their name, read from where they were last read, and ended.

A socket is a session with a name of its own; who writes to the session writes to the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import CloseSocket, OpenSocket, Principal, StopSession
from rhetor.domain.event import Position, SessionStateChanged
from rhetor.domain.session import Session
from rhetor.domain.socket import GROUP, HUB, TEAM_CHAT, Socket, standing_peer, told_types
from rhetor.errors import NotFound, StateConflict, StoreRefused, Unprocessable
from rhetor.hub.catalog.sessions import open_session, session_row
from rhetor.hub.core.commits import command_key
from rhetor.store.base import Draft, Expect, Head, Row, check_position

from .sessions import owned_session, stop

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND, OPEN, NUMBER, READ_MARK = "socket", "open", "socket-number", "read_mark"
WINDOW = 10  # messages that the peer of a socket is given


@dataclass(frozen=True, slots=True)
class Active:
    """A socket that can be written to. `session_id` and `head`: None where nobody has used it yet; `readers`:
    connections; `waiting`: whole messages that none of them was given."""

    id: str
    peer: str
    session_id: str | None = None
    created_at: int | None = None
    readers: int = 0
    waiting: int = 0
    head: Position | None = None


async def open_socket(state: State, principal: Principal, command: OpenSocket) -> Socket:
    """A new socket, with a session that has no end of its own.

    Raises:
        UnknownPeer, NoCapablePeer, KeyReused, StoreRefused: as they say; nothing was opened.
    """
    state.require_open()
    if ":" in command.peer:
        raise Unprocessable("a socket is opened on one peer; those of groups are there", peer=command.peer)
    peer, _ = state.peers.resolve(command.peer)
    while True:
        before = await state.store.get(NUMBER, peer.name)
        number = int(before.state) + 1 if before else 1
        session = _session(state, principal, peer.name, f"{peer.name}-{number}")
        session = replace(session, voice=command.voice)
        count = Row(NUMBER, peer.name, str(number), b"{}")
        key = command_key(principal, command, f"{peer.name}-{number}")
        expect = before.unchanged if before else count.unchanged
        rows = [*_rows(session, _socket(session)), count]
        drafts = [Draft(SessionStateChanged(session.state))]
        try:
            committed = await state.store.commit(session.id, drafts, key=key, expects=[expect], rows=rows)
        except StateConflict:  # somebody took the number
            continue
        if committed.replayed:
            return await found_socket(state, principal, msgspec.json.decode(committed.result))
        return _socket(session)


async def found_socket(state: State, principal: Principal, socket_id: str) -> Socket:
    """The caller's socket of that name. Those that are always there are opened by the first look.

    Raises:
        NotFound: there is none, it was closed, or it is somebody else's.
        UnknownTeam: it would be of a group that is not there.
    """
    row = await state.store.get(KIND, _row_id(principal, socket_id))
    socket = _of(row) if row is not None else None
    if socket is not None and await _takes_messages(state, socket):
        if socket.id.startswith(GROUP):
            state.peers.get(socket.peer)
        return socket
    peer = standing_peer(socket_id)
    if peer is None:
        raise NotFound(KIND, socket_id)
    state.require_open()
    session = _session(state, principal, state.peers.get(peer).name, socket_id)
    # another session than the one that was there before, or the first one
    expect = row.unchanged if row else Expect.absent(KIND, _row_id(principal, socket_id))
    drafts = [Draft(SessionStateChanged(session.state))]
    rows = _rows(session, _socket(session))
    try:
        await state.store.commit(session.id, drafts, expects=[expect], rows=rows)
    except StateConflict:  # somebody opened it at this moment
        return await found_socket(state, principal, socket_id)
    return _socket(session)


async def active_sockets(state: State, principal: Principal) -> Sequence[Active]:
    """The caller's sockets: first those that are always there, then in the order of their opening."""
    rows = await state.store.find(KIND, owner=principal.subject, limit=100_000)
    opened = {socket.id: socket for socket in map(_of, rows) if await _takes_messages(state, socket)}
    always = [TEAM_CHAT, HUB, *(GROUP + name for name in sorted(state.peers.teams))]
    found: list[Active] = []
    for id in [*always, *(id for id in opened if standing_peer(id) is None)]:
        if socket := opened.get(id):
            found.append(await _active(state, socket))
        else:
            found.append(Active(id, standing_peer(id) or ""))
    return found


async def close(state: State, principal: Principal, command: CloseSocket) -> None:
    """End the socket with its session; who is connected is told so.

    Raises:
        NotFound: there is none.
        Unprocessable: it is one of those that are always there.
    """
    if standing_peer(command.socket_id) is not None:
        raise Unprocessable(f"the socket {command.socket_id} is always there", socket_id=command.socket_id)
    socket = await found_socket(state, principal, command.socket_id)
    await stop(state, principal, StopSession(socket.session_id))
    state.read_marks.forget(socket.session_id)


async def end_sockets(state: State, socket_id: str) -> None:
    """End everybody's sockets of that name."""
    for row in await state.store.find(KIND, parent=socket_id, limit=100_000):
        socket = _of(row)
        if await _takes_messages(state, socket):
            await stop(state, Principal(socket.owner), StopSession(socket.session_id))
        state.read_marks.forget(socket.session_id)


async def unread(state: State, socket: Socket) -> Position:
    """Where a connection begins that does not say: behind what the socket's connections were given."""
    head = await state.store.head(socket.session_id) or Head("", 0, 1)
    given = state.read_marks.received(socket.session_id)
    if given is None and (row := await state.store.get(READ_MARK, socket.session_id)):
        given = Position.parse(msgspec.json.decode(row.doc))
    if given is None or check_position(head, given) != "ok":
        return Position(head.epoch, head.earliest - 1)
    return given


async def give(state: State, socket: Socket, position: Position) -> None:
    """A connection was written what is up to there: the next one need not be. Known at once, and durable when
    this returns, if it can be."""
    if state.read_marks.advance(socket.session_id, position) and not state.closing:
        await state.background.complete(_note(state, socket), "given")


async def _note(state: State, socket: Socket) -> None:
    position = state.read_marks.received(socket.session_id)
    if position is None:
        return
    doc = msgspec.json.encode(str(position))
    row = Row(READ_MARK, socket.session_id, "kept", doc, owner=socket.owner, parent=socket.session_id)
    try:
        await state.store.commit(socket.session_id, [], rows=[row])
    except StoreRefused:
        pass  # it is given again after a restart, which is what happens to what a client has not acknowledged


async def _active(state: State, socket: Socket) -> Active:
    session_id = socket.session_id
    head = await state.store.head(session_id)
    return Active(
        socket.id,
        socket.peer,
        session_id,
        socket.created_at,
        state.read_marks.readers(session_id),
        await _waiting(state, socket),
        Position(head.epoch, head.head) if head else None,
    )


async def _waiting(state: State, socket: Socket) -> int:
    told, count = told_types(socket.peer), 0
    after = await unread(state, socket)
    while records := await state.store.page(socket.session_id, after):
        count += sum(record.type in told for record in records)
        after = records[-1].position
    return count


async def _takes_messages(state: State, socket: Socket) -> bool:
    try:
        session = await owned_session(state, Principal(socket.owner), socket.session_id)
    except NotFound:
        return False
    return session.takes_messages


def _session(state: State, principal: Principal, peer: str, socket_id: str) -> Session:
    session = open_session(state.ids, principal.subject, peer, context_window=WINDOW, ttl=None)
    return replace(session, metadata={"socket_id": socket_id})


def _socket(session: Session) -> Socket:
    return Socket(session.metadata["socket_id"], session.owner, session.peer, session.id, session.created_at)


def _rows(session: Session, socket: Socket) -> list[Row]:
    doc = msgspec.json.encode(socket)
    # its state is the session's id: who opens it anew expects that nobody else has
    mine = Row(
        KIND,
        f"{socket.owner}/{socket.id}",
        session.id,
        doc,
        owner=socket.owner,
        parent=socket.id,
        at=socket.created_at,
    )
    return [session_row(session), mine]


def _row_id(principal: Principal, socket_id: str) -> str:
    return f"{principal.subject}/{socket_id}"


def _of(row: Row) -> Socket:
    return msgspec.json.decode(row.doc, type=Socket)
