"""What a leaked token of a machine can do: nothing but join."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rhetor.auth.policy import Policy
from rhetor.domain.principal import NODE, Principal
from rhetor.errors import Forbidden
from rhetor.hub.core.checks import require_person
from rhetor.hub.use_cases import USE_CASES
from rhetor.routes import TABLE
from rhetor.transports.server.router import SocketRoute
from tests.callers import caller
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio
LINK = "/ws/node"


async def test_a_node_token_is_refused_on_every_route_but_its_own(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        node = await caller(home, "build1", {NODE})
        walked = 0
        for row in TABLE:
            if row.policy is Policy.PUBLIC or row.path == LINK:
                continue
            method = {"*": "POST", "WEBSOCKET": "GET"}.get(row.method, row.method)
            path = re.sub(r"\{\w+\}", "x", row.path)
            headers = dict(node)
            if isinstance(row, SocketRoute):
                headers |= {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
                headers |= {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
            answer = await home.ask_tcp(
                method, path, headers, data=b"{}" if method in ("POST", "PUT") else None
            )
            assert answer.status == 403, (row.method, row.path, answer.text)
            walked += 1
        assert walked > 100


async def test_a_node_token_does_not_open_socketio(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        node = await caller(home, "build1", {NODE})
        async with connecting(home, **node) as talker:
            assert (await talker.connect())["data"]["code"] == "forbidden"


def test_a_machine_may_execute_no_command() -> None:
    machine = Principal("build1", frozenset({NODE}))
    assert not any(machine.has(use_case.scope) for use_case in USE_CASES.values())
    with pytest.raises(Forbidden):
        require_person(machine)


async def test_other_callers_cannot_join(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for headers in (await caller(home, "guest"), {"authorization": f"Bearer {TOKEN}"}):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"ws://127.0.0.1:{home.port}{LINK}", additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "first", ["", "{}", "[]", "x", '{"version": 1, "machine": "short"}', '{"version": 1, "machine": 5}']
)
async def test_what_does_not_follow_the_protocol_ends_the_connection(tmp_path: Path, first: str) -> None:
    async with served(tmp_path) as home:
        node = await caller(home, "build1", {NODE})
        async with connect(f"ws://127.0.0.1:{home.port}{LINK}", additional_headers=node) as socket:
            await socket.send(first)
            assert json.loads(await socket.recv())["code"] == "malformed"
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert list(home.hub.state.machines) == []
