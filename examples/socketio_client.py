"""Sends a message to a peer over Socket.IO, and prints the answer.

It survives lost connections: nothing is printed twice, and nothing is left out.

    pip install 'python-socketio[asyncio_client]'
    RHETOR_TOKEN=$(rhetor token) python socketio_client.py apollo "Hello"
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from typing import Any

import aiohttp

import socketio

URL = os.environ.get("RHETOR_URL", "http://127.0.0.1:8300")
TOKEN = os.environ["RHETOR_TOKEN"]


class Client:
    """One session. `done`: whether its turn succeeded."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._cursor: str | None = None
        self._last = 0
        self._names: set[str] = set()
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.socket = socketio.AsyncClient()
        self.socket.on("connect", self._follow)
        self.socket.on("*", self._receive)

    async def request(self, name: str, **body: Any) -> dict[str, Any]:
        """Send a request until the hub has acknowledged it, and return its answer."""
        answer: dict[str, Any] = {}
        while not answer:
            try:
                answer = await self.socket.call(name, {"session_id": self._session_id, **body}, timeout=3)
            except (TimeoutError, socketio.exceptions.SocketIOError):
                await asyncio.sleep(0.2)  # the connection is lost; the client connects again by itself
        if answer.get("status", 0) >= 400:
            raise RuntimeError(answer["detail"])
        return answer

    async def _follow(self) -> None:
        answer = await self.request("subscribe", cursor=self._cursor)
        if answer["outcome"] != "ok":
            self.done.set_exception(RuntimeError(f"the position is lost: {answer['outcome']}"))

    async def _receive(self, name: str, event: dict[str, Any]) -> None:
        kind = name.partition(":")[0]
        if "seq" not in event:
            self.done.set_exception(RuntimeError(event["message"]))
            return
        if event["seq"] < self._last or (event["seq"] == self._last and kind in self._names):
            return  # known
        if event["seq"] != self._last:
            self._names.clear()
        self._names.add(kind)
        self._last = event["seq"]
        self._cursor = f"{event['epoch']}:{event['prev']}"  # events of the same number may follow
        self._show(kind, event)

    def _show(self, kind: str, event: dict[str, Any]) -> None:
        match kind:
            case "claude-output" if event["type"] == "assistant":
                for block in event["message"]["content"]:
                    if block["type"] == "text":
                        print(block["text"], flush=True)
            case "tool-execution":
                print(f"[{event['name']}: {event['status']}]", file=sys.stderr)
            case "session-status" if "permission" in event:
                asked = event["permission"]
                print(
                    f"[{asked['tool']} needs permission: aish approve {asked['request_id']}]", file=sys.stderr
                )
            case "claude-error":
                print(event["message"], file=sys.stderr)
            case "claude-complete":
                self.done.set_result(event["success"])


async def create(peer: str) -> str:
    """Create a session, and return its id."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{URL}/api/sessions/create", json={"specialist_id": peer}) as response,
    ):
        session = await response.json(content_type=None)
        if response.status != 200:
            raise RuntimeError(session["detail"])
        return str(session["id"])


async def main(peer: str, content: str) -> int:
    client = Client(await create(peer))
    # while it polls, python-engineio 4.15 does not notice that a response is cut
    await client.socket.connect(URL, auth={"token": TOKEN}, transports=["websocket"], retry=True)
    # the hub runs the message once, even if it is sent again with the same command_id
    await client.request("send", content=content, command_id=str(uuid.uuid4()))
    succeeded = await client.done
    await client.socket.disconnect()
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
