"""Socket.IO over Engine.IO: namespaces, acknowledgements, attachments and invalid packets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rhetor.codec.engineio import Timing
from tests.rhetor.transports.socketio.engine_client import TRANSPORTS, Place, on_websocket
from tests.socketio_echo import echoing

pytestmark = pytest.mark.anyio

CALM = Timing(ping_interval=15.0, ping_timeout=20.0, max_payload=1_000_000)


@asynccontextmanager
async def echo() -> AsyncIterator[Place]:
    async with echoing(timing=CALM) as running:
        yield Place("/socket.io/", running.port)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_connects_to_namespaces_and_gets_its_own_answers(transport: str) -> None:
    async with echo() as place, TRANSPORTS[transport](place) as client:
        await client.send('40{"token":"123"}')
        answer = str(await client.receive())
        assert (answer[:2], json.loads(answer[2:]).keys()) == ("40", {"sid"})
        assert await client.receive() == '42["auth",{"token":"123"}]'
        await client.send("40/custom,")
        assert str(await client.receive()).startswith('40/custom,{"sid":')
        assert await client.receive() == '42/custom,["auth",{}]'
        await client.send('42/custom,7["message-with-ack",1,"2",{"3":[false]}]', '42["message",null]')
        assert await client.receive() == '43/custom,7[1,"2",{"3":[false]}]'
        assert await client.receive() == '42["message-back",null]'


@pytest.mark.parametrize("transport", ["websocket", "upgrade"])
async def test_attachments_return_after_their_packet(transport: str) -> None:
    async with echo() as place, TRANSPORTS[transport](place) as client:
        await client.send("40")
        assert str(await client.receive()).startswith("40")
        assert await client.receive() == '42["auth",{}]'
        rest = '["message-with-ack",{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]'
        await client.send(f"452-789{rest}", b"\1\2\3", b"\4")
        answered = '462-789[{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]'
        assert [await client.receive() for _ in range(3)] == [answered, b"\1\2\3", b"\4"]


async def test_attachments_are_base64_when_polling() -> None:
    async with echo() as place, TRANSPORTS["polling"](place) as client:
        await client.send("40", '451-["message",{"_placeholder":true,"num":0}]', "bAQID")
        found = [await client.receive() for _ in range(4)]
        assert found[1:] == ['42["auth",{}]', '451-["message-back",{"_placeholder":true,"num":0}]', "bAQID"]


async def test_an_unknown_namespace_is_rejected_and_the_connection_stays_open() -> None:
    async with echo() as place, on_websocket(place) as client:
        await client.send("40/random")
        assert await client.receive() == '44/random,{"message":"Invalid namespace"}'
        await client.send("40")
        assert str(await client.receive()).startswith("40")


@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "42{}",
        "42[]",
        '42abc["message"]',
        "40",
        "41/custom",
        '42/custom,["message"]',
        "44{}",
        "4",
        '40"a"',
    ],
)
async def test_an_invalid_packet_closes_the_connection(packet: str) -> None:
    async with echo() as place, on_websocket(place) as client:
        await client.send("40")
        assert [str(await client.receive())[:2] for _ in range(2)] == ["40", "42"]
        await client.send(packet)
        assert await client.closed() == (1002, "malformed")


@pytest.mark.parametrize("packets", [[b"\1"], ['42["message"]'], ["41"], ['452-["message"]', b"\1"]])
async def test_the_first_packet_must_be_a_connect(packets: list[str | bytes]) -> None:
    async with echo() as place, on_websocket(place) as client:
        await client.send(*packets)
        assert await client.closed() == (1002, "malformed")


async def test_a_client_can_leave_a_namespace_and_join_it_again() -> None:
    async with echo() as place, on_websocket(place) as client:
        await client.send("40", "41", "40")
        assert [str(await client.receive())[:2] for _ in range(4)] == ["40", "42", "40", "42"]
