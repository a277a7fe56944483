"""Sessions of Engine.IO: long polling, WebSockets, the upgrade, heartbeats and limits."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import InvalidStatus

from rhetor.codec.engineio import Timing
from rhetor.transports.socketio.connection import EngineConnection
from rhetor.transports.socketio.endpoint import EngineEndpoint
from tests.rhetor.transports.socketio.engine_client import (
    TRANSPORTS,
    OnWebSocket,
    Place,
    begins,
    on_websocket,
    polling,
    upgraded,
)
from tests.socketio_echo import echoing

pytestmark = pytest.mark.anyio


CALM = Timing(ping_interval=15.0, ping_timeout=20.0, max_payload=1_000_000)
FAST = Timing(ping_interval=0.3, ping_timeout=0.2, max_payload=1_000_000)
# as fast, for clients that answer, also if the machine is busy
PATIENT = Timing(ping_interval=0.3, ping_timeout=5.0, max_payload=1_000_000)


@asynccontextmanager
async def echo(timing: Timing = CALM) -> AsyncIterator[Place]:
    async with echoing(timing=timing) as running:
        yield Place("/engine.io/", running.port)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_messages_return_in_order_over_each_transport(transport: str) -> None:
    async with echo() as place, TRANSPORTS[transport](place) as client:
        for n in range(40):
            await client.send(f"4message {n} ✓")
        assert [await client.receive() for _ in range(40)] == [f"4message {n} ✓" for n in range(40)]


async def test_the_handshake_offers_an_upgrade_only_to_a_client_that_polls() -> None:
    async with echo() as place, polling(place) as first, on_websocket(place) as second:
        timing = {"pingInterval": 15_000, "pingTimeout": 20_000, "maxPayload": 1_000_000}
        sid = first.opened["sid"]
        assert first.opened == {"sid": sid, "upgrades": ["websocket"], **timing}
        assert second.opened == {"sid": second.opened["sid"], "upgrades": [], **timing}
        assert second.opened["sid"] != sid


@pytest.mark.parametrize(
    "query", ["", "EIO=4", "EIO=3&transport=polling", "transport=polling", "EIO=4&transport=x"]
)
async def test_a_request_with_an_invalid_query_is_rejected(query: str) -> None:
    async with echo() as place, place.session() as session:
        base = place.url("polling").partition("?")[0]
        async with session.get(f"{base}?{query}") as response:
            assert response.status == 400
        async with session.put(place.url("polling")) as response:
            assert response.status == 400
        async with session.post(place.url("polling", "unknown"), data="4a") as response:
            assert response.status == 400


async def test_binary_messages_are_base64_when_polling_and_bytes_on_a_websocket() -> None:
    content = bytes(range(256))
    async with echo() as place, polling(place) as client, on_websocket(place) as socket:
        text = "b" + base64.b64encode(content).decode()
        await client.send("4before", text)
        assert await client.get() == (200, f"4before\x1e{text}")
        await socket.send(content)
        assert await socket.receive() == content


async def test_a_payload_has_at_most_16_packets() -> None:
    async with echo() as place, polling(place) as client:
        packets = [f"4{n}" for n in range(100)]
        await client.send(*packets)
        assert [await client.receive() for _ in packets] == packets
        assert max(map(len, client.payloads)) <= 16


async def test_overlapping_polls_close_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo() as place, polling(place) as client:
        polled = begins(monkeypatch, EngineConnection, "poll")
        first = asyncio.create_task(client.get())
        await polled.wait()
        status, _ = await client.get()
        assert (await first, status) == ((200, "1"), 400)
        assert (await client.get())[0] == 400


async def test_overlapping_posts_close_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo() as place, polling(place) as client:
        begun, rejected = begins(monkeypatch, EngineEndpoint, "_post"), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"4a"
            await rejected.wait()
            yield b"b"

        async def post() -> int:
            async with client.session.post(client.url, data=slowly()) as response:
                return response.status

        first = asyncio.create_task(post())
        await begun.wait()
        assert (await client.post("4c"))[0] == 400
        rejected.set()
        await first
        assert (await client.get())[0] == 400


async def test_a_sid_must_not_be_used_for_polling_after_its_upgrade() -> None:
    async with echo() as place, polling(place) as client, place.websocket(client.opened["sid"]) as raw:
        socket = OnWebSocket(raw)
        await socket.send("2probe")
        assert await socket.read() == "3probe"
        await socket.send("5", "4first")
        assert await socket.receive() == "4first"
        assert ((await client.get())[0], (await client.post("4a"))[0]) == (400, 400)
        async with place.websocket(client.opened["sid"]) as second:
            assert (await OnWebSocket(second).closed())[0] == 1000
        await socket.send("4second")
        assert await socket.receive() == "4second"


async def test_an_upgrade_loses_nothing_and_keeps_the_order() -> None:
    async with echo() as place, polling(place) as client:
        await client.send(*(f"4{n}" for n in range(20)))
        async with place.websocket(client.opened["sid"]) as raw:
            socket = OnWebSocket(raw)
            await socket.send("2probe")
            assert await socket.read() == "3probe"
            status, text = await client.get()
            polled = text.split("\x1e")
            assert (status, len(polled)) == (200, 16)
            await socket.send("5", "420")
            rest = [await socket.receive() for _ in range(21 - len(polled))]
            assert [*polled, *rest] == [f"4{n}" for n in range(21)]


async def test_a_waiting_poll_ends_when_the_client_upgrades(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo() as place, polling(place) as client:
        polled = begins(monkeypatch, EngineConnection, "poll")
        waiting = asyncio.create_task(client.get())
        await polled.wait()
        async with place.websocket(client.opened["sid"]) as raw:
            socket = OnWebSocket(raw)
            await socket.send("2probe")
            assert (await socket.read(), await waiting) == ("3probe", (200, "6"))


@pytest.mark.parametrize("sent", [["4a"], ["2"], ["abc"], ["2probe", "4a"]])
async def test_a_failed_upgrade_leaves_the_session_polling(sent: list[str]) -> None:
    async with echo() as place, polling(place) as client:
        async with place.websocket(client.opened["sid"]) as raw:
            socket = OnWebSocket(raw)
            await socket.send(*sent)
            assert (await socket.closed())[0] == 1000
        await client.send("4still here")
        assert await client.receive() == "4still here"


async def test_a_websocket_for_an_unknown_session_is_rejected_before_the_handshake() -> None:
    async with echo() as place:
        with pytest.raises(InvalidStatus) as refused:
            async with place.websocket("unknown"):
                pass
        assert refused.value.response.status_code == 400


@pytest.mark.parametrize("packet", ["abc", "", "0", "2", "2probe", "5", "7"])
async def test_an_invalid_packet_closes_the_session(packet: str) -> None:
    async with echo() as place, polling(place) as client, on_websocket(place) as socket:
        assert (await client.post(packet))[0] == 400
        assert (await client.get())[0] == 400
        await socket.send(packet)
        assert await socket.closed() == (1002, "malformed")


async def test_a_client_that_answers_pings_stays_connected() -> None:
    async with echo(PATIENT) as place, polling(place) as client, on_websocket(place) as socket:
        for _ in range(3):
            assert (await client.get(), await socket.read()) == ((200, "2"), "2")
            await client.send("3")
            await socket.send("3")
        await socket.send("4a")
        assert await socket.receive() == "4a"


async def test_a_client_that_does_not_answer_a_ping_is_disconnected() -> None:
    async with echo(FAST) as place, polling(place) as client, on_websocket(place) as socket:
        begun = asyncio.get_running_loop().time()
        assert await socket.closed() == (1011, "no pong")
        assert 0.45 < asyncio.get_running_loop().time() - begun < 5
        if (answer := await client.get()) == (200, "1"):  # this poll came before its own time was over
            answer = await client.get()
        assert answer[0] == 400


async def test_a_client_can_close_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo() as place, polling(place) as client, on_websocket(place) as socket:
        polled = begins(monkeypatch, EngineConnection, "poll")
        waiting = asyncio.create_task(client.get())
        await polled.wait()
        await client.send("1")
        assert await waiting == (200, "6")
        assert (await client.get())[0] == 400
        await socket.send("1")
        assert (await socket.closed())[0] == 1000


async def test_a_payload_over_the_limit_closes_the_session() -> None:
    async with echo() as place, polling(place) as client, on_websocket(place) as socket:
        assert (await client.post("4" + "x" * 1_000_000))[0] == 413
        assert (await client.get())[0] == 400
        await socket.send("4" + "x" * 999_999)
        assert len(await socket.receive()) == 1_000_000
        await socket.send("4" + "é" * 500_000)
        assert await socket.closed() == (1009, "too_large")


async def test_too_many_packets_in_a_payload_close_the_session() -> None:
    async with echo() as place, polling(place) as client:
        assert (await client.post("\x1e".join(["3"] * 10_001)))[0] == 413
        assert (await client.get())[0] == 400


async def test_a_client_that_does_not_poll_is_throttled_with_a_bounded_buffer() -> None:
    async with echo(FAST) as place, polling(place) as client:
        body = "\x1e".join(["4" + "x" * 99_000] * 10)
        sent = 0
        while (await client.post(body))[0] == 200:
            sent += 1
        assert sent < 6  # then it is disconnected, because it has not answered a ping


async def test_a_cut_poll_closes_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo() as place, polling(place) as client:
        polled = begins(monkeypatch, EngineConnection, "poll")
        closed = begins(monkeypatch, EngineConnection, "close")
        waiting = asyncio.create_task(client.get())
        await polled.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        await closed.wait()
        assert (await client.get())[0] == 400


async def test_an_upgraded_client_continues_after_its_first_heartbeat() -> None:
    async with echo(PATIENT) as place, upgraded(place) as client:
        assert await client.read() == "2"
        await client.send("3", "4a")
        assert await client.receive() == "4a"
