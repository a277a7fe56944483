"""A hundred clients that connect at the same time, with the limits that a hub has by default."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.open_clients import BEARER, open_client
from tests.rhetor.transports.socketio.hub_talker import talking
from tests.served import Served, served

from rhetor.settings import Settings
from rhetor.transports.server.connections import Connections

pytestmark = pytest.mark.anyio
CLIENTS = 100
DEFAULT = Settings().limits


def client(home: Served, api: str) -> AbstractAsyncContextManager[Any]:
    return talking(home) if api == "socket.io" else open_client(home, api)


@pytest.mark.parametrize("api", ["ws", "ws.ai", "ws.socket", "socket.io", "sse"])
async def test_a_hundred_clients_connect_at_once(tmp_path: Path, api: str) -> None:
    connections = Connections(DEFAULT.connections_per_minute, DEFAULT.connections_at_once)
    async with served(tmp_path, connections=connections) as home, AsyncExitStack() as stack:
        clients = [stack.enter_async_context(client(home, api)) for _ in range(CLIENTS)]
        opened = await asyncio.gather(*clients)
        assert sum(connections.by_api().values()) == CLIENTS
        if api == "ws.ai":  # each of them sends a message at the same time, too
            answers = await asyncio.gather(*(one.call("chat", message="hi") for one in opened))
            assert {answer["response"] for answer in answers} == {"apollo heard: hi"}


async def test_failed_logins_are_limited_without_keeping_out_a_valid_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        wrong = {"authorization": "Bearer wrong"}
        told = [(await home.ask_tcp("GET", "/api/v2/ai", wrong)).status for _ in range(8)]
        assert told == [401] * DEFAULT.attempts_per_minute + [429] * 3
        assert (await home.ask_tcp("GET", "/api/v2/ai", BEARER)).status == 200
        async with open_client(home, "ws"):
            pass
