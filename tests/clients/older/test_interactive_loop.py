"""A client of the interactive loop at `/ws`: it starts a session, and waits to be told that it is active."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio
CHUNK = "AIMessageChunkNotification"


async def test_the_client_that_starts_a_session_is_told_its_status(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
        http.ws_connect(f"ws://127.0.0.1:{home.port}/ws") as socket,
    ):
        frames: list[Any] = []

        async def until(method: str, **params: Any) -> Any:
            while True:
                frame = json.loads((await socket.receive(timeout=60)).data)
                frames.append(frame)
                if frame.get("method") == method and params.items() <= frame["params"].items():
                    return frame["params"]

        started = {"userId": "u", "sessionParams": {"peer": "apollo", "language": "en"}}
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "startSession", "params": started})
        active = await until("SessionStatusNotification")
        (answer,) = [frame["result"] for frame in frames if frame.get("id") == 1]
        assert (answer["status"], active["status"]) == (1, 1)
        session = active["sessionId"]
        assert session == answer["sessionId"]
        said = {"sessionId": session, "message": "hi"}
        await socket.send_json({"jsonrpc": "2.0", "id": 2, "method": "sendUserMessage", "params": said})
        await until(CHUNK, isFinal=True)
        chunks = [frame["params"] for frame in frames if frame.get("method") == CHUNK]
        assert "".join(chunk["chunk"] for chunk in chunks) == "apollo heard: hi"
        await socket.send_json(
            {"jsonrpc": "2.0", "id": 3, "method": "stopSession", "params": {"sessionId": session}}
        )
        assert (await until("SessionStatusNotification", status=2))["sessionId"] == session
