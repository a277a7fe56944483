"""A client of the hub over Socket.IO, on one of the transports."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.rhetor.transports.socketio.engine_client import TRANSPORTS, Engine, Place
from tests.served import TOKEN, Served

Event = tuple[str, dict[str, Any]]


class Talker:
    """A client of the hub. `events`: all received events in order, as name and payload."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[Event] = []
        self._last_id = 0

    async def connect(self, auth: dict[str, Any] | None = None) -> dict[str, Any]:
        """Connect, and return the answer; a CONNECT_ERROR has `message`."""
        await self.engine.send("40" + ("" if auth is None else json.dumps(auth)))
        packet = str(await self.engine.receive())
        assert packet[:2] in ("40", "44"), packet
        found: dict[str, Any] = json.loads(packet[2:])
        return found

    async def request(self, name: str, **body: Any) -> Any:
        """Send a request; return its acknowledgement. Events that arrive before it are kept."""
        self._last_id += 1
        await self.engine.send(f"42{self._last_id}{json.dumps([name, body])}")
        while not (packet := str(await self.engine.receive())).startswith("43"):
            self.take(packet)
        id = len(str(self._last_id))
        assert packet[2 : 2 + id] == str(self._last_id)
        (answer,) = json.loads(packet[2 + id :])
        return answer

    async def until(self, wanted: Callable[[str, dict[str, Any]], bool]) -> Event:
        """Return the first event that matches, past or future."""
        for event in self.events:
            if wanted(*event):
                return event
        while not wanted(*self.take(str(await self.engine.receive()))):
            pass
        return self.events[-1]

    async def completed(self, count: int = 1) -> list[Event]:
        """Return the events up to the end of `count` turns."""
        while sum(name.startswith("claude-complete:") for name, _ in self.events) < count:
            self.take(str(await self.engine.receive()))
        return self.events

    def take(self, packet: str) -> Event:
        """Keep a received event."""
        assert packet.startswith("42["), packet
        name, payload = json.loads(packet[2:])
        self.events.append((name, payload))
        return name, payload


def place(home: Served, *, tcp: bool = True, **headers: str) -> Place:
    if tcp:
        return Place("/socket.io/", home.port, headers=headers)
    return Place("/socket.io/", socket=home.socket)


@asynccontextmanager
async def connecting(home: Served, transport: str = "websocket", **options: Any) -> AsyncIterator[Talker]:
    """Open a client that has not sent a CONNECT."""
    async with TRANSPORTS[transport](place(home, **options)) as engine:
        yield Talker(engine)


@asynccontextmanager
async def talking(
    home: Served, transport: str = "websocket", cursors: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[Talker]:
    """Open a connected client, with the token."""
    async with connecting(home, transport, **options) as talker:
        answer = await talker.connect({"token": TOKEN, **({"cursors": cursors} if cursors else {})})
        assert "sid" in answer, answer
        yield talker
