"""A client of named sockets."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(("name", "ai"), [("team-chat-all", "team:all"), ("rhetor", "rhetor")])
async def test_create_returns_the_sockets_that_always_exist(tmp_path: Path, name: str, ai: str) -> None:
    async with served(tmp_path) as home:
        made = (await home.ask("POST", "/api/ai/socket/create", {"ai_name": name})).json
        assert (made["socket_id"], made["ai"]) == (name, ai)
        again = (await home.ask("POST", "/api/ai/socket/create", {"ai_name": name})).json
        assert again["session_id"] == made["session_id"]
        own = await home.ask("POST", "/api/ai/socket/create", {"ai_name": name, "prompt": "Be brief."})
        assert (own.status, own.json["code"]) == (422, "unprocessable")


async def test_a_write_may_be_called_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = (await home.ask("POST", "/api/ai/socket/create", {"ai_name": "apollo-ci"})).json
        assert (made["socket_id"], made["ai"]) == ("apollo-1", "apollo-ci")
        async with (
            aiohttp.ClientSession(headers=BEARER) as session,
            session.ws_connect(made["websocket_url"]) as socket,
        ):
            await socket.send_json({"type": "message", "content": "hi", "execute": False})
            frame = await socket.receive_json(timeout=60)
        assert (frame["type"], frame["content"]) == ("read", "apollo heard: hi")


async def test_an_unknown_model_is_rejected_before_a_socket_is_opened(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = {"ai_name": "apollo", "model": "nobody/m"}
        refused = await home.ask("POST", "/api/ai/socket/create", body)
        assert (refused.status, refused.json["code"]) == (422, "unknown_model")
        sockets = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
        assert "apollo-1" not in [socket["socket_id"] for socket in sockets]
