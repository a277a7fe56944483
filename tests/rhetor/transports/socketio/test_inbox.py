"""The queue of messages for the reader of a session."""

from __future__ import annotations

import asyncio

import pytest

from rhetor.transports.socketio.inbox import MOST, MOST_BYTES, Inbox

pytestmark = pytest.mark.anyio


async def test_messages_are_read_in_order() -> None:
    inbox, read = Inbox(), list[str | bytes]()
    sent = [str(n) for n in range(5 * MOST)]

    async def write() -> None:
        for message in sent:
            await inbox.put(message)
        await inbox.put("last")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        async for message in inbox.messages():
            if message == "last":
                break
            read.append(message)
            await asyncio.sleep(0)
    assert read == sent


@pytest.mark.parametrize("messages", [["x"] * (MOST + 1), [b"x" * (MOST_BYTES // 2 + 1)] * 2])
async def test_a_writer_waits_while_the_inbox_is_full(messages: list[str | bytes]) -> None:
    inbox = Inbox()
    for message in messages[:-1]:
        await inbox.put(message)
    waiting = asyncio.create_task(inbox.put(messages[-1]))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await anext(inbox.messages()) == messages[0]
    await waiting


async def test_an_empty_inbox_accepts_a_message_over_its_limit() -> None:
    inbox = Inbox()
    await inbox.put("x" * 2 * MOST_BYTES)
    assert len(await anext(inbox.messages())) == 2 * MOST_BYTES


async def test_closing_ends_the_reader_and_the_writers() -> None:
    inbox = Inbox()
    for _ in range(MOST):
        await inbox.put("x")
    writers = [asyncio.create_task(inbox.put("y")) for _ in range(2)]
    await asyncio.sleep(0)
    inbox.close()
    assert [message async for message in inbox.messages()] == []
    await asyncio.wait(writers, timeout=5)
    assert all(writer.done() for writer in writers)
