"""A client that has only a URL with the token in it, or a netrc file: every API takes it as Basic."""

from __future__ import annotations

import base64
from pathlib import Path

import aiohttp
import pytest
from tests.rhetor.transports.open_clients import APIS, open_client, refusal, terminal
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import TOKEN, Served, served, with_programs

pytestmark = pytest.mark.anyio
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "older", "version": "1"},
    },
}


def basic(token: str = TOKEN, user: str = "anyone") -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}


async def test_a_netrc_file_with_the_token_as_password_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as home:
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {TOKEN}\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        url = f"http://127.0.0.1:{home.port}/api/v2/ai/apollo"
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as response:
            assert response.status == 200


@pytest.mark.long
async def test_every_api_takes_the_token_as_the_password_of_any_user() -> None:
    async with with_programs() as home, terminal(home):
        for api in APIS:
            for user in ("anyone", ""):
                async with open_client(home, api, basic(user=user)):
                    pass
            assert (await refusal(home, api, basic("not this one"))).status == 401
        for path in ("/api/v1/ai", "/api/v2/ai", "/api/projects", "/api/mcp-servers", "/api/ai/socket"):
            assert (await home.ask_tcp("GET", path, basic())).status == 200, path
        assert await _mcp_status(home, basic()) == 200
        assert await _mcp_status(home, {}) == 401
        for transport in ("polling", "websocket"):  # the CONNECT needs no token then
            async with connecting(home, transport, **basic()) as talker:
                assert "sid" in await talker.connect()


async def _mcp_status(home: Served, headers: dict[str, str]) -> int:
    more = {**headers, "accept": "application/json, text/event-stream"}
    return (await home.ask_tcp("POST", "/mcp", more, json=INITIALIZE)).status
