"""Sends a message to a peer over the WebSocket `/ws`, and prints the answer as it comes.

It survives lost connections: nothing is printed twice, and nothing is left out.

    pip install websockets
    RHETOR_TOKEN=$(rhetor token) python websocket_client.py apollo "Hello"
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

URL = os.environ.get("RHETOR_URL", "http://127.0.0.1:8300").replace("http", "ws", 1)
TOKEN = os.environ["RHETOR_TOKEN"]


class Client:
    """One session with one message, over one connection after another.

    The hub runs a request once, even if it is sent again with the same `command_id`.
    """

    def __init__(self, peer: str, content: str) -> None:
        self._start = {"userId": "me", "sessionParams": {"peer": peer}, "command_id": str(uuid.uuid4())}
        self._message = {"message": content, "command_id": str(uuid.uuid4())}
        self._session_id = ""
        self._cursor: str | None = None
        self._last = 0
        self._succeeded: bool | None = None

    async def run(self) -> bool:
        """Return whether the turn succeeded."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async for socket in connect(
            f"{URL}/ws", additional_headers=headers
        ):  # again when the connection is lost
            try:
                return await self._talk(socket)
            except ConnectionClosed:
                continue
        raise AssertionError("connect() does not end")

    async def _talk(self, socket: ClientConnection) -> bool:
        if not self._session_id:
            self._session_id = (await self._request(socket, "startSession", self._start))["sessionId"]
        else:
            place = {"sessionId": self._session_id, "cursor": self._cursor}
            resumed = await self._request(socket, "resumeSession", place)
            if resumed["outcome"] != "ok":
                raise RuntimeError(f"the position is lost: {resumed['outcome']}")
        await self._request(socket, "sendUserMessage", {"sessionId": self._session_id, **self._message})
        while self._succeeded is None:
            self._receive(json.loads(await socket.recv()))
        await self._request(socket, "stopSession", {"sessionId": self._session_id})
        return self._succeeded

    async def _request(self, socket: ClientConnection, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request, and return its result. Notifications that come before it are processed."""
        id = str(uuid.uuid4())
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
        while (frame := json.loads(await socket.recv())).get("id") != id:
            self._receive(frame)
        if "error" in frame:
            raise RuntimeError(frame["error"]["message"])
        result: dict[str, Any] = frame["result"]
        return result

    def _receive(self, frame: dict[str, Any]) -> None:
        method, params = frame["method"], frame["params"]
        if params["seq"] <= self._last:
            return  # known
        self._last = params["seq"]
        self._cursor = f"{params['epoch']}:{params['seq']}"
        if method == "AIMessageChunkNotification":
            print(params["chunk"], end="\n" if params["isFinal"] else "", flush=True)
            if params["isFinal"]:
                self._succeeded = "reason" not in params
        elif method == "SessionStatusNotification" and "detail" in params:
            print(params["detail"], file=sys.stderr)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(Client(*sys.argv[1:]).run()) else 1)
