"""Both ends of a machine's link, over connections that are lost at any time."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import suppress
from typing import Any

import pytest

from rhetor import background
from rhetor.codec.machine_link import MOST_UNACKNOWLEDGED_BYTES, WINDOW_BYTES, LinkBroken
from rhetor.drivers.programs.remote.session import Channel, ChannelRefused, LinkReset, LinkSilent, Session
from tests.scale import scaled

pytestmark = pytest.mark.anyio
SECONDS = 60.0


class Wire:
    """One end of a connection in memory. `left`: messages until it is lost."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.arriving: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: Wire = self

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.left <= 0:
            self.other.arriving.put_nowait(None)
            self.arriving.put_nowait(None)
            raise ConnectionError("lost")
        self.left -= 1
        self.other.arriving.put_nowait(data)

    async def receive(self) -> bytes | None:
        return await self.arriving.get()


async def connect(hub: Session, machine: Session, left: int) -> None:
    """Connect the two until the connection is lost, after `left` messages in one direction."""
    one, two = Wire(left), Wire(left)
    one.other, two.other = two, one
    received = hub.received, machine.received
    both = [
        asyncio.create_task(hub.run(one, received[1])),
        asyncio.create_task(machine.run(two, received[0])),
    ]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    await background.stop(*both)


class Echo:
    """A machine that sends back what it gets; `refuse` rejects a channel."""

    def __init__(self) -> None:
        self.session = Session(self._opened)
        self.tasks: list[asyncio.Task[None]] = []

    def _opened(self, channel: Channel, request: dict[str, Any]) -> None:
        if request.get("refuse"):
            self.session.refuse(channel, {"code": "no", "detail": "not here"})
            return
        self.session.accept(channel, {"hello": request["number"]})
        self.tasks.append(background.start(self._echo(channel), f"echo {channel.number}"))

    async def _echo(self, channel: Channel) -> None:
        with suppress(LinkReset):
            while data := await channel.read(10_000):
                await channel.write(data)
        channel.close()


async def _exchange(hub: Session, number: int, size: int) -> None:
    """Send so many bytes on a channel, and check that the same come back."""
    channel, answer = await hub.open({"number": number})
    assert answer == {"hello": number}
    sent = random.Random(number).randbytes(size)
    writing = asyncio.create_task(channel.write(sent))
    assert hashlib.sha256(await channel.readexactly(size)).digest() == hashlib.sha256(sent).digest()
    await writing
    channel.close()


async def test_bytes_arrive_once_and_in_order_over_connections_that_are_lost() -> None:
    hub, echo, rng = Session(), Echo(), random.Random(5)
    async with asyncio.timeout(SECONDS):
        work = [
            asyncio.create_task(_exchange(hub, number, scaled(3_000_000, 300_000))) for number in range(6)
        ]
        connections = 0
        while not all(task.done() for task in work):
            await connect(hub, echo.session, rng.randrange(1, 40))
            connections += 1
        for task in work:
            await task
    assert connections > 5
    await background.stop(*echo.tasks)


async def test_a_reader_that_does_not_read_makes_its_writer_wait_and_nobody_else() -> None:
    hub, echo = Session(), Echo()
    link = asyncio.create_task(connect(hub, echo.session, 1_000_000))
    async with asyncio.timeout(SECONDS):
        slow, _ = await hub.open({"number": 1})
        writing = asyncio.create_task(slow.write(bytes(20 * WINDOW_BYTES)))
        await _exchange(hub, 2, 100_000)
        assert not writing.done()
        assert len(slow._data) <= WINDOW_BYTES
        reading = asyncio.create_task(slow.readexactly(20 * WINDOW_BYTES))
        await writing
        await reading
    await background.stop(link, *echo.tasks)


async def test_what_is_kept_for_a_lost_connection_is_limited() -> None:
    hub, echo = Session(), Echo()
    link = asyncio.create_task(connect(hub, echo.session, 1_000_000))
    async with asyncio.timeout(SECONDS):
        channels = [(await hub.open({"number": number}))[0] for number in range(40)]
        await background.stop(link)
        writing = [asyncio.create_task(channel.write(bytes(WINDOW_BYTES))) for channel in channels]
        await asyncio.sleep(0.1)
        assert not all(task.done() for task in writing)
        assert hub._outbox.size < MOST_UNACKNOWLEDGED_BYTES + WINDOW_BYTES
    await background.stop(*writing, *echo.tasks)


async def test_a_refusal_is_raised_with_what_the_machine_says() -> None:
    hub, echo = Session(), Echo()
    link = asyncio.create_task(connect(hub, echo.session, 1_000_000))
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ChannelRefused) as refused:
            await hub.open({"number": 1, "refuse": True})
    assert refused.value.error == {"code": "no", "detail": "not here"}
    await background.stop(link)


async def test_a_reset_ends_all_channels() -> None:
    hub, echo = Session(), Echo()
    link = asyncio.create_task(connect(hub, echo.session, 1_000_000))
    async with asyncio.timeout(SECONDS):
        channel, _ = await hub.open({"number": 1})
        reading = asyncio.create_task(channel.read(1))
        await asyncio.sleep(0)
        hub.reset("the machine was started again")
        with pytest.raises(LinkReset):
            await reading
        with pytest.raises(LinkReset):
            await channel.write(b"x")
        with pytest.raises(LinkReset):
            await hub.open({"number": 2})
    await background.stop(link, *echo.tasks)


async def test_a_silent_connection_counts_as_lost() -> None:
    session = Session(silent=0.05)
    with pytest.raises(LinkSilent):
        await session.run(Wire(1000), 0)


async def test_a_machine_opens_no_channels_at_the_hub() -> None:
    hub, machine, wire = Session(), Session(), Wire(1000)
    opening = asyncio.create_task(machine.open({"number": 1}))
    await asyncio.sleep(0)
    data = machine._outbox.get(1)
    assert data is not None
    wire.arriving.put_nowait(data)
    with pytest.raises(LinkBroken):
        await hub.run(wire, 0)
    await background.stop(opening)
