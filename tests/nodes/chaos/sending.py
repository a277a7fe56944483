"""The APIs through which clients send a message. Each function returns the id of its turn when the hub has
acknowledged the message, and raises one of `LOST` if it is not known whether it has."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import aish
from aish.live import HubError
from tests.nodes.hubs import BEARER, TOKEN

from .places import (
    Place,
    called,
    connected,
    decode,
    raise_unless_away,
    raise_unless_passing,
    require,
    talking,
)

Send = Callable[[Place, str, str], Awaitable[str]]


async def _message(place: Place, text: str, key: str) -> str:
    url = f"{place.url}/api/v2/sessions/{place.session}/message"
    headers = {**BEARER, "prefer": "respond-async", "idempotency-key": key}
    async with place.http.post(url, json={"message": text}, headers=headers, timeout=place.quiet()) as answer:
        await require(answer, 200, 202)
        return str(decode(await answer.read())["turn_id"])


async def _stream(place: Place, text: str, key: str) -> str:
    url = f"{place.url}/api/v2/sessions/{place.session}/stream"
    headers = {**BEARER, "idempotency-key": key}
    async with place.http.post(url, json={"message": text}, headers=headers, timeout=place.quiet()) as answer:
        await require(answer, 200)
        return answer.headers["x-turn-id"]


async def _peer(place: Place, text: str, key: str) -> str:
    async with connected(place, "/ws/ai/apollo") as socket:
        sent = {"message": text, "session_id": place.session, "command_id": key}
        return str((await socket.call("stream", **sent))["turn_id"])


async def _loop(place: Place, text: str, key: str) -> str:
    async with connected(place, "/ws") as socket:
        sent = {"message": text, "sessionId": place.session, "command_id": key}
        return str((await socket.call("sendUserMessage", **sent))["turnId"])


async def _named(place: Place, text: str, key: str) -> str:
    async with connected(place, f"/ws/socket/{place.socket_id}") as socket:
        await socket.send(json.dumps({"type": "write", "content": text, "command_id": key}))
        while (frame := await socket.read())["type"] != "accepted":
            if frame["type"] == "error" and "seq" not in frame:
                raise_unless_away(frame, "write")
        assert frame["command_id"] == key
        return str(frame["turn_id"])


async def _socketio(place: Place, text: str, key: str) -> str:
    async with talking(place, polls=False) as talker:
        sent = {"session_id": place.session, "content": text, "command_id": key}
        return str((await talker.request("send", **sent))["turn_id"])


async def _polling(place: Place, text: str, key: str) -> str:
    async with talking(place, polls=True) as talker:
        sent = {"session_id": place.session, "content": text, "command_id": key}
        return str((await talker.request("send", **sent))["turn_id"])


async def _aish(place: Place, text: str, key: str) -> str:
    try:
        async with aish.connect(url=place.url, token=TOKEN, reconnect_timeout=1.0) as hub:
            session = await hub.resume(place.session)
            return str((await session.send(text, command_id=key)).id)
    except HubError as error:
        raise_unless_passing(error, "aish sends")
        raise


async def send_mcp(place: Place, text: str, key: str) -> str:
    """A call of a tool has no idempotency key, so a client must not repeat it."""
    sent = {"peer": "apollo", "message": text, "session_id": place.session}
    return str((await called(place, "send_message", **sent))["turn_id"])


SENDS: dict[str, Send] = {
    "sse": _stream,
    "ws.ai": _peer,
    "ws": _loop,
    "ws.socket": _named,
    "socketio": _socketio,
    "socketio.polling": _polling,
    "mcp": send_mcp,
    "pages": _message,
    "aish": _aish,
}
