"""Output goes to the conversation that has claimed the feed, in order and once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rhetor.drivers.programs.host.failures import HostLost
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.values import Chunk, Exited

from .hosting import SECONDS, hosting, python

pytestmark = pytest.mark.anyio

ECHOES = "import sys\nfor line in sys.stdin: sys.stdout.write(line); sys.stdout.flush()"


async def read(feed: Feed, until: bytes) -> bytes:
    data = b""
    async with asyncio.timeout(SECONDS):
        while not data.endswith(until):
            item = await feed.next(None)
            assert isinstance(item, Chunk)
            data += item.data
    return data


async def test_output_before_a_claim_goes_to_the_listener(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(ECHOES))
        feed = Feed(link, 0, None)
        heard = b""

        async def listen() -> None:
            nonlocal heard
            async with feed.listening():
                while (item := await feed.next_unclaimed(None)) is not None:
                    assert isinstance(item, Chunk)
                    heard += item.data

        listening = asyncio.create_task(listen())
        await link.write(b"before\n", "text")
        async with asyncio.timeout(SECONDS):
            while (await link.status()).head < 7:  # noqa: ASYNC110 (the host does not tell)
                await asyncio.sleep(0)
            async with feed.claim():
                await listening
                assert (heard, feed.claimed) == (b"before\n", True)
                await link.write(b"mine\n", "text")
                assert await read(feed, b"mine\n") == b"mine\n"
        assert (feed.claimed, feed.offset) == (False, 12)
        await feed.aclose()


async def test_output_that_was_given_back_is_read_again(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python("print('answer|later', end='')"))
        feed = Feed(link, 0, None)
        seen: list[bytes] = []
        feed.tap = seen.append
        assert await read(feed, b"later") == b"answer|later"
        feed.give_back(b"later")
        assert feed.offset == 7
        assert await read(feed, b"later") == b"later"
        assert (feed.offset, b"".join(seen)) == (12, b"answer|later")
        async with asyncio.timeout(SECONDS):
            assert isinstance(await feed.next(None), Exited)
        await feed.aclose()


async def test_the_loss_of_the_host_is_the_last_item(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        go = tmp_path / "go"
        wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
        link = await hosts.start("a", python(f"{wait}os.kill(os.getppid(), 9)"))
        feed = Feed(link, 0, 0)
        go.touch()
        async with asyncio.timeout(SECONDS):
            assert isinstance(await feed.next(None), HostLost)
        await feed.aclose()
