"""Sockets: open, find, list and close them, and store the position up to which each was read.

A socket is a session with a socket id; a message to the session is a message to the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import CloseSocket, OpenSocket, StopSession
from rhetor.domain.event import Position, SessionStateChanged
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.socket import GROUP, HUB, TEAM_CHAT, Socket, standing_peer, told_types
from rhetor.errors import NotFound, StateConflict, StoreRefused, Unprocessable
from rhetor.hub.catalog.sessions import open_session, session_row
from rhetor.hub.core.commits import command_key, until_unchanged
from rhetor.hub.programs.ownership import peers_for
from rhetor.store.base import Draft, Expect, Head, Row, check_position

from .endings import end_session
from .sessions import stop
from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND, OPEN, NUMBER, READ_MARK = "socket", "open", "socket-number", "read_mark"


class Active(msgspec.Struct, frozen=True):
    """A socket that accepts messages. `session_id`, `created_at` (Unix time in milliseconds) and `head`: None
    until its first use; `readers`: connections; `waiting`: whole messages that no connection has received."""

    id: str
    peer: str
    session_id: str | None = None
    created_at: int | None = None
    readers: int = 0
    waiting: int = 0
    head: Position | None = None


async def open_socket(state: State, principal: Principal, command: OpenSocket) -> Socket:
    """Open a socket on a peer, with a session that does not expire.

    Raises:
        Unprocessable: the peer is a team or the hub, whose sockets always exist.
        UnknownPeer, NoCapablePeer: there is no such peer.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was opened; the command may be sent again.
    """
    state.require_open()
    if ":" in command.peer:
        raise Unprocessable(
            "sockets of teams always exist and need not be opened; name one peer", peer=command.peer
        )
    peer, _ = peers_for(state, principal).resolve(command.peer)
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
        except StateConflict:  # another socket took the number
            continue
        if committed.replayed:
            return await found_socket(state, principal, msgspec.json.decode(committed.result))
        return _socket(session)


async def found_socket(state: State, principal: Principal, socket_id: str) -> Socket:
    """Return the caller's socket with this id. A socket that always exists gets its session on first use.

    Raises:
        NotFound: the caller has no such socket, or it was closed.
        UnknownTeam: the socket belongs to a team that does not exist.
        StoreRefused, ShuttingDown: the session cannot be opened now.
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
    # in place of a session that has ended, or the first one
    expect = row.unchanged if row else Expect.absent(KIND, _row_id(principal, socket_id))
    drafts = [Draft(SessionStateChanged(session.state))]
    rows = _rows(session, _socket(session))
    try:
        await state.store.commit(session.id, drafts, expects=[expect], rows=rows)
    except StateConflict:  # another request opened it meanwhile
        return await found_socket(state, principal, socket_id)
    return _socket(session)


async def session_of_socket(state: State, principal: Principal, socket_id: str) -> str | None:
    """Return the id of the session of the caller's socket; None if it has none yet."""
    row = await state.store.get(KIND, _row_id(principal, socket_id))
    return None if row is None else _of(row).session_id


async def active_sockets(state: State, principal: Principal) -> Sequence[Active]:
    """Return the caller's sockets: those that always exist, then the others, oldest first."""
    rows = await state.store.find(KIND, owner=principal.subject, limit=100_000)
    opened = {socket.id: socket for socket in map(_of, rows) if await _takes_messages(state, socket)}
    permanent = [TEAM_CHAT, HUB, *(GROUP + name for name in sorted(state.peers.teams))]
    found: list[Active] = []
    for id in [*permanent, *(id for id in opened if standing_peer(id) is None)]:
        if socket := opened.get(id):
            found.append(await _active(state, socket))
        else:
            found.append(Active(id, standing_peer(id) or ""))
    return found


async def close(state: State, principal: Principal, command: CloseSocket) -> None:
    """Stop the socket's session. Its connections receive `closed` and are then closed.

    Raises:
        NotFound: the caller has no such socket.
        StateConflict: the socket always exists and cannot be closed.
        StoreRefused: the socket is still open; the command may be sent again.
    """
    if standing_peer(command.socket_id) is not None:
        raise StateConflict("socket", command.socket_id, "always open")
    socket = await found_socket(state, principal, command.socket_id)
    await stop(state, principal, StopSession(socket.session_id))
    state.read_marks.forget(socket.session_id)


async def end_sockets(state: State, socket_id: str) -> None:
    """Close all owners' sockets with this id."""
    for row in await state.store.find(KIND, parent=socket_id, limit=100_000):
        socket = _of(row)
        if await _takes_messages(state, socket):
            await end_session(state, Principal(socket.owner), socket.session_id)
        state.read_marks.forget(socket.session_id)


async def unread(state: State, socket: Socket) -> Position:
    """Return the position after which a connection without a cursor starts to read.

    It is the last position that any connection of the socket has received, or the beginning of the log if
    there is none or it is no longer part of the log.
    """
    head = await state.store.head(socket.session_id) or Head("", 0, 1)
    received = state.read_marks.received(socket.session_id)
    if (received is None or state.nodes.own) and (row := await state.store.get(READ_MARK, socket.session_id)):
        stored = Position.parse(msgspec.json.decode(row.doc))
        received = stored if received is None or _is_further(stored, received) else received
    if received is None or check_position(head, received) != "ok":
        return Position(head.epoch, head.earliest - 1)
    return received


async def mark_read(state: State, socket: Socket, position: Position) -> None:
    """Record that a connection has received everything up to `position`. The mark never moves back.

    When this returns, the mark is durable unless the store rejected it or the hub is stopping.
    """
    if state.read_marks.advance(socket.session_id, position) and not state.closing:
        await state.background.complete(_save_mark(state, socket), "read mark")


async def _save_mark(state: State, socket: Socket) -> None:
    position = state.read_marks.received(socket.session_id)
    if position is None:
        return
    doc = msgspec.json.encode(str(position))
    row = Row(READ_MARK, socket.session_id, "kept", doc, owner=socket.owner, parent=socket.session_id)
    try:
        if state.nodes.own:
            await until_unchanged(lambda: _save_furthest(state, position, row))
        else:
            await state.store.commit(socket.session_id, [], rows=[row])
    except StoreRefused:
        pass  # after a restart, the messages are sent again, as clients expect of unacknowledged messages


async def _save_furthest(state: State, position: Position, row: Row) -> None:
    """Save a read mark unless a connection to another node has received more."""
    stored = await state.store.get(READ_MARK, row.id)
    if stored is None or not _is_further(Position.parse(msgspec.json.decode(stored.doc)), position):
        expect = stored.unchanged if stored is not None else row.unchanged
        # not in the session's stream, which only its own node writes
        await state.store.commit(f"read:{state.nodes.own}", [], expects=[expect], rows=[row])


def _is_further(position: Position | None, other: Position) -> bool:
    return position is not None and position.epoch == other.epoch and position.seq > other.seq


async def _active(state: State, socket: Socket) -> Active:
    session_id = socket.session_id
    head = await state.store.head(session_id)
    return Active(
        socket.id,
        socket.peer,
        session_id,
        socket.created_at,
        state.read_marks.readers(session_id) + state.elsewhere.socket_readers(session_id),
        await _waiting(state, socket),
        head.position if head else None,
    )


async def _waiting(state: State, socket: Socket) -> int:
    types, count = told_types(socket.peer), 0
    after = await unread(state, socket)
    while records := await state.store.page(socket.session_id, after):
        count += sum(record.type in types for record in records)
        after = records[-1].position
    return count


async def _takes_messages(state: State, socket: Socket) -> bool:
    try:
        session = await owned_session(state, Principal(socket.owner), socket.session_id)
    except NotFound:
        return False
    return session.takes_messages


def _session(state: State, principal: Principal, peer: str, socket_id: str) -> Session:
    window = state.limits.context_window
    session = open_session(state.ids, principal.subject, peer, context_window=window, ttl=None)
    return replace(session, metadata={"socket_id": socket_id})


def _socket(session: Session) -> Socket:
    return Socket(session.metadata["socket_id"], session.owner, session.peer, session.id, session.created_at)


def _rows(session: Session, socket: Socket) -> list[Row]:
    doc = msgspec.json.encode(socket)
    # the row's state is the session's id, so if two requests reopen the socket at once, only one succeeds
    row = Row(
        KIND,
        f"{socket.owner}/{socket.id}",
        session.id,
        doc,
        owner=socket.owner,
        parent=socket.id,
        at=socket.created_at,
    )
    return [session_row(session), row]


def _row_id(principal: Principal, socket_id: str) -> str:
    return f"{principal.subject}/{socket_id}"


def _of(row: Row) -> Socket:
    return msgspec.json.decode(row.doc, type=Socket)
