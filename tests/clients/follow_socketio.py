"""`python -m tests.clients.follow_socketio KIND URL TOKEN SESSION TRANSPORT[,TRANSPORT]`: follow a session of
the hub with python-socketio's client, asynchronous or synchronous.

It comes back with its cursor whenever it is cut, and prints all events up to the session's end. Each
connection has a client of its own: python-socketio 5.18 does not notice if a connection is lost in the moment
in which it reconnects, and then waits for ever.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from socketio.exceptions import SocketIOError

import socketio

PAUSE = 0.01
ANSWER_SECONDS = 60


@dataclass
class Followed:
    """What one client has received. The synchronous client calls `receive` in a thread for each event, so in
    any order."""

    session: str
    seen: list[Any] = field(default_factory=list)
    ended: bool = False
    _early: dict[int, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return f"event:{self.session}"

    def request(self) -> dict[str, Any]:
        with self._lock:
            cursor = self.seen[-1]["cursor"] if self.seen else None
        return {"session_id": self.session, "cursor": cursor, "events": ["event"]}

    def receive(self, event: Any) -> None:
        """Keep an event when all earlier ones have been received."""
        with self._lock:
            self._early[event["prev"]] = event
            while (next_one := self._early.pop(self.seen[-1]["seq"] if self.seen else 0, None)) is not None:
                self.seen.append(next_one)
                self.ended |= next_one["type"] == "session.state" and next_one["data"]["state"] == "stopped"

    async def receive_async(self, event: Any) -> None:
        self.receive(event)


class WholeResponse(aiohttp.ClientResponse):
    """A response that is read before it is returned: python-engineio 4.15 awaits the body of a poll where it
    does not catch errors, and would wait for ever if the body is cut."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        if self.status != 101:
            await self.read()
        return self


async def follow_async(followed: Followed, url: str, token: str, transports: list[str]) -> str:
    """Return the last transport."""
    async with aiohttp.ClientSession(response_class=WholeResponse) as http:
        while not followed.ended:
            client = socketio.AsyncClient(reconnection=False, http_session=http)
            client.on(followed.name, followed.receive_async)
            last = ""
            try:
                await client.connect(url, auth={"token": token}, transports=transports)
                answer = await client.call("subscribe", followed.request(), timeout=ANSWER_SECONDS)
                assert answer["outcome"] == "ok", answer
                while client.eio.state == "connected" and not followed.ended:
                    last = client.transport()
                    await asyncio.sleep(PAUSE)
            except SocketIOError:
                pass  # the connection was cut
            await client.disconnect()
    return last


def follow(followed: Followed, url: str, token: str, transports: list[str]) -> str:
    """Return the last transport."""
    while not followed.ended:
        client = socketio.Client(reconnection=False)
        client.on(followed.name, followed.receive)
        last = ""
        try:
            client.connect(url, auth={"token": token}, transports=transports)
            answer = client.call("subscribe", followed.request(), timeout=ANSWER_SECONDS)
            assert answer["outcome"] == "ok", answer
            while client.eio.state == "connected" and not followed.ended:
                last = client.transport()
                time.sleep(PAUSE)
        except SocketIOError:
            pass
        client.disconnect()
    return last


def main(kind: str, url: str, token: str, session: str, transports: str) -> None:
    followed = Followed(session)
    arguments = (followed, url, token, transports.split(","))
    last = asyncio.run(follow_async(*arguments)) if kind == "asynchronous" else follow(*arguments)
    sys.stdout.write(json.dumps({"seen": followed.seen, "transport": last}))


if __name__ == "__main__":
    main(*sys.argv[1:])
