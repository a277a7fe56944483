"""Attaches a terminal to a running program (`/ws/attach/{peer}`): bytes in both directions, and JSON."""

from __future__ import annotations

import msgspec
from starlette.websockets import WebSocket

from rhetor.codec.plain_text import as_text
from rhetor.domain.event import MessageForwarded, Position
from rhetor.domain.principal import Principal
from rhetor.errors import MachineOffline, Malformed, RhetorError
from rhetor.hub.programs.attach import Viewer, forwarded_messages, view
from rhetor.hub.turns.attribution import title_of
from rhetor.transports.server.node import Node

from .connection import SocketConnection, talk

MOST_SIDE = 1000
KEYS = 1 / 20  # of a message, for each frame: a mouse sends hundreds of frames per second


async def attach(socket: WebSocket, peer: str) -> None:
    """Serve one attached terminal. `?mode=rw` (the default) accepts keys, `r` is read-only; `after`: the
    cursor of the last notice that the client received."""
    here: Node = socket.scope["state"]["node"]
    who: Principal = socket.scope["state"]["principal"]
    mode = socket.query_params.get("mode", "rw")
    if mode not in ("rw", "r"):
        raise Malformed("mode must be rw or r")
    after = Position.parse(socket.query_params.get("after", ""))
    viewer = await view(here.hub.state, who, peer, writes=mode == "rw", api=socket.scope["state"]["api"])

    async def answer(connection: SocketConnection) -> None:
        connection.start(_show(connection, viewer), f"show {viewer.id}")
        connection.start(_tell(connection, here, who, peer, after), f"tell {viewer.id}")
        await _type(connection, viewer)

    try:
        await talk(socket, answer)
    finally:
        await viewer.aclose()


async def _show(connection: SocketConnection, viewer: Viewer) -> None:
    """Write the program's output to the client, and close the connection at its end.

    Raises:
        TooSlow: the client reads nothing, or is so far behind that the next output is no longer stored.
    """
    async for item in viewer:
        if isinstance(item, bytes):
            await connection.show(item)
        else:
            await connection.say(msgspec.json.encode(item))
    connection.close()


async def _tell(
    connection: SocketConnection, here: Node, who: Principal, peer: str, after: Position | None
) -> None:
    """Write the messages that are forwarded to this terminal, as notices: text without control sequences."""
    state = here.hub.state
    async for event in forwarded_messages(state, who, peer, after):
        message = event.payload
        assert isinstance(message, MessageForwarded)
        notice = {
            "type": "notice",
            "cursor": str(event.position),
            "from": message.from_,
            "title": title_of(state, message.from_),
            "via": message.via,
            "text": as_text(message.content),
            "time": message.time,
            "purpose": message.purpose,
            "json": message.as_json,
        }
        await connection.say(msgspec.json.encode(notice))


async def _type(connection: SocketConnection, viewer: Viewer) -> None:
    """Pass the client's keys and sizes to the program.

    Raises:
        RateExceeded: the client sent too many frames.
        TooManyInvalid: the client sent too many invalid frames.
    """
    async for message in connection.messages():
        try:
            connection.charge(message, KEYS)
        except RhetorError as error:  # the connection is closed; the client learns when to return
            await _report(connection, error)
            raise
        if isinstance(message, bytes):
            try:
                await viewer.press(message)
            except MachineOffline as error:  # the program continues, and so does the connection
                await _report(connection, error)
        else:
            try:
                await viewer.resize(*_size(message))
            except Malformed as error:
                await _report(connection, error)
                connection.count_fault()


async def _report(connection: SocketConnection, error: RhetorError) -> None:
    connection.fault(error.code)
    said = {**error.data, "type": "error", "code": error.code, "detail": error.detail}
    await connection.say(msgspec.json.encode(said))


class _Size(msgspec.Struct):
    rows: int
    cols: int


def _size(text: str) -> tuple[int, int]:
    """Return the rows and columns in a text frame.

    Raises:
        Malformed: the frame is not `{"type": "size", "rows", "cols"}`, or a number is out of range.
    """
    try:
        size = msgspec.json.decode(text, type=_Size)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed('a text frame must be {"type": "size", "rows", "cols"}') from error
    for side in (size.rows, size.cols):
        if not 1 <= side <= MOST_SIDE:
            raise Malformed(f"rows and cols must be from 1 to {MOST_SIDE}")
    return size.rows, size.cols
