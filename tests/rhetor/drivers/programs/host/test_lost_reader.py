"""If the reader of a program's output fails, everything that waits for that output gets an error."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from rhetor.codec import host_frames as frames
from rhetor.domain.output import Output, Spooled, Text
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Program
from rhetor.drivers.base import Prompt
from rhetor.drivers.programs.host.failures import HostLost
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Chunk
from rhetor.drivers.programs.stdio import StdioProgram
from rhetor.drivers.programs.terminal.viewer import Audience, TerminalViewer
from rhetor.errors import ProgramEnded

from .broken_host import GARBAGE, broken_host, failing
from .hosting import SECONDS, alive, ended, hosting, program, python

pytestmark = pytest.mark.anyio

CAT = Peer("p", PeerKind.TOOL, "stdio", program=Program(("cat",), "/", delimiter="\n"))
REPEATS = "print(input(), flush=True); input()"
ONCE = "print('once', flush=True); input()"


async def loss(feed: Feed) -> HostLost:
    """Return the item that the feed gives instead of unreadable output."""
    async with asyncio.timeout(SECONDS):
        while isinstance(item := await feed.next(None), Chunk):
            pass
    assert isinstance(item, HostLost)
    return item


@pytest.mark.parametrize(
    "answer",
    [GARBAGE, frames.frame(frames.EXITED, b"?"), frames.frame(77), b"\x00\x00\x00\x00", b"\xff" * 64],
    ids=["short chunk", "short exit", "unknown kind", "empty frame", "too long"],
)
async def test_a_host_that_sends_an_invalid_frame_is_reported_as_lost(tmp_path: Path, answer: bytes) -> None:
    async with broken_host(tmp_path, answer) as link:
        feed = Feed(link, 0, None)
        assert (await loss(feed)).data["host"] == "broken"
        await feed.aclose()


@pytest.mark.parametrize(
    "call",
    [HostLink.status, HostLink.wait, HostLink.end, lambda link: anext(link.read_stderr(0))],
    ids=["status", "wait", "end", "read_stderr"],
)
async def test_every_call_to_a_host_that_sends_invalid_frames_raises_host_lost(
    tmp_path: Path, call: Callable[[HostLink], object]
) -> None:
    async with broken_host(tmp_path, GARBAGE) as link, asyncio.timeout(SECONDS):
        with pytest.raises(HostLost, match="invalid"):
            await call(link)  # type: ignore[misc]


async def test_a_spool_that_cannot_be_read_is_reported_as_lost(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        for segment in (tmp_path / "hosts" / "a").glob("out.*"):
            segment.unlink()
            segment.mkdir()
        feed = Feed(link, 0, None)
        assert "output cannot be read: IsADirectoryError" in (await loss(feed)).detail
        await feed.aclose()


async def test_a_failed_reader_is_logged_by_name_and_its_error_is_raised_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(tmp_path) as hosts, failing(await hosts.start("a", python(ONCE))) as link:
        feed = Feed(link, 0, None)
        first = await loss(feed)
        assert "output cannot be read: RuntimeError: planted" in first.detail
        assert await loss(feed) is first
        async with asyncio.timeout(SECONDS):
            assert await feed.next_unclaimed(None) is first
        assert [record.task for record in caplog.records if "task failed" in record.message] == ["read a"]  # type: ignore[attr-defined]
        await feed.aclose()


async def test_a_failing_stderr_reader_is_logged_and_leaves_the_output_readable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: HostLink, offset: int) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(HostLink, "read_stderr", fail)
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python("print('out', end='')"))
        feed = Feed(link, 0, 0)
        async with asyncio.timeout(SECONDS):
            item = await feed.next(None)
        assert isinstance(item, Chunk)
        assert item.data == b"out"
        assert [record.task for record in caplog.records if "task failed" in record.message] == ["stderr a"]  # type: ignore[attr-defined]
        await feed.aclose()


async def test_a_turn_fails_and_the_program_ends_if_its_output_cannot_be_read(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts, failing(await hosts.start("a", python(REPEATS))) as link:
        feed = Feed(link, 0, None)
        running = StdioProgram(CAT, link, feed, "host:a", lambda _: None)
        heard: list[Spooled] = []

        async def listen() -> None:
            async with aclosing(running.unprompted()) as outputs:
                heard.extend([spooled async for spooled in outputs])

        listening = asyncio.create_task(listen())
        async with asyncio.timeout(SECONDS):
            turn = running.conversation().send(Prompt("first\n", execute=True, delimiter="|"), ())
            answer: list[Output] = []
            with pytest.raises(ProgramEnded, match=r"^p: the program's output cannot be read: .*planted$"):
                async for output in turn:
                    answer.append(output)  # noqa: PERF401  what came before the failure is kept
            assert answer == [Spooled("host:a", 6, (Text("first\n"),)), Spooled("host:a", 6)]
            await listening
            assert heard == []
            assert running.status.state == "gone"
            with pytest.raises(ProgramEnded, match="planted"):
                await anext(running.conversation().send(Prompt("second\n", execute=True), ()))
            await running.aclose()
        assert not alive(link.identity.program_pid)


async def test_an_attached_terminal_gets_an_error_if_the_output_cannot_be_read(tmp_path: Path) -> None:
    async def resized(size: tuple[int, int]) -> None:
        raise AssertionError("nobody has a size")

    async with (
        hosting(tmp_path) as hosts,
        failing(await hosts.start("a", program("cat", mode="pty"))) as link,
    ):
        audience = Audience("p", link.identity.program_pid, (24, 80), resized)
        viewer = TerminalViewer(audience, link, b"", 0, lambda: None, sender="me", writes=True)
        await viewer.press(b"x")
        async with asyncio.timeout(SECONDS):
            shown = [item async for item in viewer]
        assert shown[-2:] == [
            b"x",
            {"type": "lost", "reason": "the program's output cannot be read: RuntimeError: planted"},
        ]
        await viewer.aclose()
