"""A terminal on a running program: its bytes both ways, and what is said beside them as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from rhetor.auth.policy import Policy
from rhetor.domain.command import Principal
from rhetor.errors import Malformed, RhetorError
from rhetor.hub.viewing import Viewer, view

from .node import Node
from .routes import Doors

doors = Doors(tags=["programs"])
MOST_SIDE = 1000
MOST_MISTAKES = 10  # frames that make no sense, until the socket is closed


@doors.socket("/ws/attach/{peer}", Policy.USER)
async def attach(socket: WebSocket) -> None:
    """`?mode=rw` (the default) types, `r` only looks."""
    here: Node = socket.app.state.node
    who: Principal = socket.state.principal
    mode = socket.query_params.get("mode", "rw")
    if mode not in ("rw", "r"):
        raise Malformed("mode is rw or r")
    viewer = await view(here.hub.state, who, socket.path_params["peer"], writes=mode == "rw")
    try:
        await socket.accept()
        await _copy(socket, viewer)
    finally:
        await viewer.aclose()


async def _copy(socket: WebSocket, viewer: Viewer) -> None:
    showing = asyncio.create_task(_show(socket, viewer), name=f"show {viewer.id}")
    typing = asyncio.create_task(_type(socket, viewer), name=f"type {viewer.id}")
    try:
        done, _ = await asyncio.wait((showing, typing), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
        code, reason = 1000, ""
    except WebSocketDisconnect:
        return
    except Malformed as error:
        code, reason = 4501, error.code
    except RhetorError as error:
        code, reason = error.close or 1011, error.code
    finally:
        for task in (showing, typing):
            task.cancel()
        await asyncio.gather(showing, typing, return_exceptions=True)
    if socket.application_state is WebSocketState.CONNECTED:
        await socket.close(code, reason)


async def _show(socket: WebSocket, viewer: Viewer) -> None:
    async for item in viewer:
        if isinstance(item, bytes):
            await socket.send_bytes(item)
        else:
            await socket.send_text(msgspec.json.encode(item).decode())


async def _type(socket: WebSocket, viewer: Viewer) -> None:
    """Raises:
    Malformed: the tenth frame that makes no sense; the ones before are answered."""
    mistakes = 0
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if (keys := message.get("bytes")) is not None:
            await viewer.press(keys)
        else:
            try:
                await viewer.resize(*_size(message["text"]))
            except Malformed as error:
                mistakes += 1
                if mistakes == MOST_MISTAKES:
                    raise
                await socket.send_json({"type": "error", "code": error.code, "detail": error.detail})


def _size(text: str) -> tuple[int, int]:
    """Raises:
    Malformed: it is no `{"type": "size", "rows", "cols"}`."""
    try:
        said: Any = msgspec.json.decode(text)
        rows, cols = said["rows"], said["cols"]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise Malformed('a text frame is {"type": "size", "rows", "cols"}') from error
    for side in (rows, cols):
        if type(side) is not int or not 1 <= side <= MOST_SIDE:
            raise Malformed(f"rows and cols are from 1 to {MOST_SIDE}")
    return rows, cols
