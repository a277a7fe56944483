"""Downloads of models from a real HTTP server, which cuts them off."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rhetor.drivers.local import download
from rhetor.drivers.models.urls import Reach
from rhetor.errors import DownloadFailed, Unprocessable
from tests.rhetor.drivers.local.gguf_bytes import gguf

pytestmark = pytest.mark.anyio
CONTENT = gguf(body=os.urandom(3_000_000))
HERE = Reach(loopback=True)
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[tuple[str, list[int]]]:
    """A server whose requests get these answers, one after the other; the last one again. Yield the URL, and
    where each request began."""
    begins: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"range: bytes=(\d+)-", head, re.IGNORECASE)
        begins.append(int(found[1]) if found else 0)
        await answers[min(len(begins), len(answers)) - 1](begins[-1], writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/m.gguf", begins


def content(upto: int | None = None, *, ranges: bool = True, whole: bytes = CONTENT) -> Answer:
    """Answer with the content, cut off after `upto` bytes of it."""

    async def answer(begin: int, writer: asyncio.StreamWriter) -> None:
        if begin >= len(whole):
            return writer.write(b"HTTP/1.1 416 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        begin = begin if ranges else 0
        place = f"content-range: bytes {begin}-{len(whole) - 1}/{len(whole)}\r\n" if begin else ""
        head = f"HTTP/1.1 {206 if begin else 200} OK\r\ncontent-length: {len(whole) - begin}\r\n{place}\r\n"
        writer.write(head.encode() + whole[begin:upto])
        await writer.drain()
        return None

    return answer


def status(line: str, *headers: str) -> Answer:
    async def answer(begin: int, writer: asyncio.StreamWriter) -> None:
        head = "".join(f"{each}\r\n" for each in (f"HTTP/1.1 {line}", "content-length: 0", *headers))
        writer.write(f"{head}\r\n".encode())

    return answer


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)


async def test_a_download_that_is_cut_off_continues_where_it_stopped(tmp_path: Path) -> None:
    part, noted = tmp_path / "part", list[tuple[int, int | None]]()
    async with serving(content(1_500_000), content(2_500_000), content()) as (url, begins):
        await download.fetch(url, part, HERE, lambda *figures: noted.append(figures))
    assert part.read_bytes() == CONTENT
    assert begins == [0, 1_500_000, 2_500_000]
    assert noted[-1] == (3, 3)


async def test_a_later_download_continues_an_earlier_one(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(CONTENT[:1000])
    async with serving(content()) as (url, begins):
        await download.fetch(url, part, HERE)
    assert (part.read_bytes(), begins) == (CONTENT, [1000])


@pytest.mark.parametrize("before", [1000, len(CONTENT)])
async def test_a_server_without_ranges_or_with_another_file_sends_everything(
    tmp_path: Path, before: int
) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"GGUF" + b"x" * (before - 4))
    async with serving(content(ranges=before > 1000)) as (url, _):
        await download.fetch(url, part, HERE)
    assert part.read_bytes() == CONTENT


async def test_what_is_not_a_model_is_rejected_at_its_first_bytes(tmp_path: Path) -> None:
    part = tmp_path / "part"
    async with serving(content(whole=b"<html>" * 1000)) as (url, begins):
        with pytest.raises(Unprocessable, match="does not begin with GGUF"):
            await download.fetch(url, part, HERE)
    assert (part.read_bytes(), begins) == (b"", [0])


async def test_a_redirect_is_followed_but_not_to_an_address_that_may_not_be_called(tmp_path: Path) -> None:
    part = tmp_path / "part"
    async with serving(status("302 Found", "location: /other.gguf"), content()) as (url, _):
        await download.fetch(url, part, HERE)
    assert part.read_bytes() == CONTENT
    async with serving(status("302 Found", "location: http://169.254.169.254/m.gguf")) as (url, begins):
        with pytest.raises(Unprocessable, match=r"169\.254\.169\.254"):
            await download.fetch(url, tmp_path / "other", HERE)
        with pytest.raises(Unprocessable, match="does not allow"):
            await download.fetch(url, tmp_path / "other", Reach())
        assert begins == [0]
    async with serving(status("302 Found", "location: /again")) as (url, begins):
        with pytest.raises(DownloadFailed, match="redirects more than 5 times"):
            await download.fetch(url, tmp_path / "other", HERE)
        assert len(begins) == 6


async def test_another_server_cannot_redirect_to_this_machine(tmp_path: Path) -> None:
    async def resolve(host: str) -> list[IPv4Address]:
        return [IPv4Address("127.0.0.1")]

    async with serving(content()) as (here, begins):
        async with serving(status("302 Found", f"location: {here}")) as (url, _):
            elsewhere = url.replace("127.0.0.1", "models.example")
            with pytest.raises(Unprocessable, match="does not allow"):
                await download.fetch(elsewhere, tmp_path / "part", HERE, resolve=resolve)
        assert begins == []


async def test_a_download_that_brings_nothing_fails_after_some_attempts_and_keeps_what_is_there(
    tmp_path: Path,
) -> None:
    part = tmp_path / "part"
    async with serving(content(1_500_000), content(0)) as (url, begins):
        with pytest.raises(DownloadFailed, match="cannot be downloaded") as raised:
            await download.fetch(url, part, HERE)
    assert part.read_bytes() == CONTENT[:1_500_000]
    assert len(begins) == 1 + download.ATTEMPTS
    assert "continues where it stopped" in raised.value.data["hint"]


async def test_a_missing_file_fails_at_once(tmp_path: Path) -> None:
    async with serving(status("404 Not Found")) as (url, begins):
        with pytest.raises(DownloadFailed, match="answered with status 404"):
            await download.fetch(url, tmp_path / "part", HERE)
    assert begins == [0]


async def test_a_file_for_which_the_disk_has_no_room_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SPARE", 1 << 60)
    async with serving(content()) as (url, _):
        with pytest.raises(DownloadFailed, match="the disk has"):
            await download.fetch(url, tmp_path / "part", HERE)


async def test_a_file_of_unknown_length_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + CONTENT)
        await writer.drain()

    part = tmp_path / "part"
    free = iter([1 << 50, 1 << 50, 0])  # bytes: at the beginning, and at each write
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=next(free, 0)))
    async with serving(answer) as (url, _):
        with pytest.raises(DownloadFailed, match="the disk has 0 MB free"):
            await download.fetch(url, part, HERE)
    assert part.stat().st_size < len(CONTENT)
