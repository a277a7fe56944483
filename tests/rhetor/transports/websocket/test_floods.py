"""Clients that send more than the limits, on every WebSocket."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.rhetor.transports.open_clients import SOCKETS, OpenClient, open_client, terminal
from tests.served import with_programs
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from rhetor.transports.server.rates import Rates

pytestmark = pytest.mark.anyio
FLOOD = 10_000
MESSAGES = {
    "ws": b'{"jsonrpc":"2.0","method":"echo"}',
    "ws.ai": b'{"jsonrpc":"2.0","method":"nothing"}',
    "ws.socket": b'{"type":"write","content":"hi"}',
    "ws.attach": b'{"type":"size","rows":24,"cols":80}',
}


@pytest.mark.long
@pytest.mark.parametrize("api", SOCKETS)
async def test_ten_thousand_messages_at_once_close_with_4013(api: str) -> None:
    async with with_programs(seconds=60) as home, terminal(home):
        home.node.rates = Rates(per_second=1.0, burst=200)  # so low that even a slow machine reaches it
        async with open_client(home, api) as flooding, open_client(home, "ws") as other:
            _send(flooding, Frame(Opcode.TEXT, MESSAGES[api]).serialize(mask=True) * FLOOD)
            assert await flooding.ended() == (4013, "rate_exceeded")
            if api in ("ws.socket", "ws.attach"):  # the others answer only calls
                last = json.loads(flooding.said[-1])
                assert (last["code"], 0 < last["retry_after"] <= 1) == ("rate_exceeded", True)
            if api != "ws":  # on the same API, the limit applies to both
                assert await other.call("echo", message="not delayed") == "not delayed"


@pytest.mark.parametrize("api", SOCKETS)
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
async def test_a_frame_of_17_mib_closes_with_1009(api: str, opcode: Opcode) -> None:
    async with with_programs(seconds=60) as home, terminal(home), open_client(home, api) as client:
        assert isinstance(client.socket, ClientConnection)
        try:
            await client.socket.send(b"x" * (17 << 20), text=opcode is Opcode.TEXT)
        except ConnectionClosed:
            pass  # the connection is closed as soon as the length is read
        assert (await client.ended())[0] == 1009


@pytest.mark.parametrize("api", SOCKETS)
async def test_too_many_bytes_close_with_4013(api: str) -> None:
    async with with_programs(seconds=60) as home, terminal(home):
        home.node.byte_rates.per_second = 1000
        async with open_client(home, api) as flooding, open_client(home, "ws") as other:
            assert isinstance(flooding.socket, ClientConnection)
            await flooding.socket.send(b"x" * 5000 if api == "ws.attach" else " " * 5000)  # accepted whole
            _send(flooding, Frame(Opcode.TEXT, MESSAGES[api]).serialize(mask=True))
            assert await flooding.ended() == (4013, "bytes_exceeded")
            home.node.byte_rates.note("me", -(1 << 20), asyncio.get_running_loop().time())
            assert await other.call("echo", message="open") == "open"


def _send(client: OpenClient, frames: bytes) -> None:
    assert isinstance(client.socket, ClientConnection)
    client.socket.transport.write(frames)
