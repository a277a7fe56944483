"""Terminals attached to the terminal of a program, over real WebSockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.rhetor.transports.raw_clients import RECEIVE_BYTES
from tests.served import SECONDS, TOKEN, Served, with_programs
from websockets.asyncio.client import ClientConnection, connect

from rhetor.drivers.programs.terminal.screen import Screen
from rhetor.transports.websocket import connection

pytestmark = pytest.mark.anyio

# reports its size when it changes, each typed line, and SIGINT, which does not end it. Signal handlers do
# not use `print`, because it is not reentrant
TELLS = """
import os, signal, sys
def size(*_): os.write(1, b"size %d %d\\n" % (os.get_terminal_size().lines, os.get_terminal_size().columns))
signal.signal(signal.SIGWINCH, size)
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("end"):
        sys.exit(int(line.split()[1]))
    print("heard", line.strip(), flush=True)
"""
FLOODS = """
import sys
sys.stdin.readline()
for number in range(80_000):
    print("line", number, "x" * 60)
print("flooded", flush=True)
sys.stdin.readline()
"""


class Attached:
    """A terminal attached to a program: the notices, and a screen that shows the output."""

    def __init__(self, socket: ClientConnection, rows: int, cols: int) -> None:
        self.socket = socket
        self.said: list[dict[str, Any]] = []
        self.screen = Screen(rows, cols)

    async def read(self) -> None:
        item = await self.socket.recv()
        if isinstance(item, bytes):
            self.screen.feed(item)
        else:
            self.said.append(json.loads(item))

    async def until_shown(self, text: str) -> None:
        async with asyncio.timeout(SECONDS):
            while not any(text in line for line in self.screen.text()):
                await self.read()

    async def next_notice(self, kind: str) -> dict[str, Any]:
        """Return the next notice of that kind."""
        async with asyncio.timeout(SECONDS):
            while True:
                for at, notice in enumerate(self.said):
                    if notice["type"] == kind:
                        return self.said.pop(at)
                await self.read()

    async def closed(self) -> int | None:
        async with asyncio.timeout(3 * SECONDS):
            try:
                while True:
                    await self.socket.recv()
            except websockets.ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None

    async def size(self, rows: int, cols: int) -> None:
        await self.socket.send(json.dumps({"type": "size", "rows": rows, "cols": cols}))


@asynccontextmanager
async def attached(
    home: Served, peer: str, mode: str = "rw", rows: int = 24, cols: int = 80, **options: Any
) -> AsyncIterator[Attached]:
    url = f"ws://127.0.0.1:{home.port}/ws/attach/{peer}?mode={mode}"
    headers = {"authorization": f"Bearer {TOKEN}"}
    settings = {"compression": None, "proxy": None, "open_timeout": SECONDS, **options}
    async with connect(url, additional_headers=headers, **settings) as socket:
        yield Attached(socket, rows, cols)


async def refused(home: Served, peer: str, token: str | None = TOKEN, mode: str = "rw") -> tuple[int, str]:
    """Return status and code of the response to a rejected upgrade."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(websockets.InvalidStatus) as caught:
        url = f"ws://127.0.0.1:{home.port}/ws/attach/{peer}?mode={mode}"
        async with connect(url, additional_headers=headers, proxy=None):
            raise AssertionError("the upgrade was accepted")
    response = caught.value.response
    return response.status_code, json.loads(response.body)["code"]


async def test_attaching_to_something_unsuitable_is_rejected_before_the_upgrade() -> None:
    async with with_programs() as home:
        await home.announce("pipe", "cat")
        gone = await home.announce("gone", "cat", kind="terminal")
        os.kill(gone["pid"], signal.SIGKILL)
        await home.seen("hub", lambda p: getattr(p, "status", "") == "gone")
        assert await refused(home, "nobody") == (404, "unknown_peer")
        assert await refused(home, "gone") == (409, "not_running")
        assert await refused(home, "apollo") == (409, "not_running")
        assert await refused(home, "pipe") == (409, "no_terminal")
        assert await refused(home, "pipe", mode="w") == (400, "malformed")
        assert await refused(home, "pipe", None) == (401, "unauthenticated")
        assert await refused(home, "pipe", "0" * 64) == (401, "unauthenticated")


async def test_an_attached_client_gets_the_current_screen_and_can_type() -> None:
    async with with_programs() as home:
        peer = await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as first:
            await first.until_shown("ready")
            await first.socket.send(b"\x1b[31mone\r")
            await first.until_shown("heard one")
            shown = first.screen.text()
            async with attached(home, "p") as second:
                welcome = await second.next_notice("attached")
                assert (welcome["mode"], welcome["name"], welcome["pid"]) == ("rw", "p", peer["pid"])
                assert (welcome["rows"], welcome["cols"]) == (24, 80)
                assert [client["mode"] for client in welcome["clients"]] == ["rw", "rw"]
                await second.next_notice("replayed")
                await second.until_shown("heard one")  # the replay may be a moment old; the rest follows
                assert second.screen.text() == shown
                assert second.screen.cursor == first.screen.cursor
                await second.socket.send(b"two\r")
                for each in (first, second):
                    await each.until_shown("heard two")
                await second.socket.send(b"\x03")
                await first.until_shown("interrupted")


async def test_clients_that_type_share_the_smallest_size_and_are_notified() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as first:
            me = (await first.next_notice("attached"))["id"]
            await first.until_shown("ready")
            await first.size(40, 120)
            assert await first.next_notice("size") == {"type": "size", "rows": 40, "cols": 120}
            await first.until_shown("size 40 120")
            async with attached(home, "p") as second, attached(home, "p", "r") as read_only_client:
                ids = [(await each.next_notice("attached"))["id"] for each in (second, read_only_client)]
                await read_only_client.size(5, 5)  # the size of a read-only client does not count
                await second.size(50, 90)
                for each in (first, second, read_only_client):
                    assert await each.next_notice("size") == {"type": "size", "rows": 40, "cols": 90}
                await first.until_shown("size 40 90")
                assert [c["id"] for c in (await first.next_notice("clients"))["clients"]] == [me, ids[0]]
                clients = (await first.next_notice("clients"))["clients"]
                assert clients == [
                    {"id": me, "mode": "rw", "from": "me"},
                    {"id": ids[0], "mode": "rw", "from": "me"},
                    {"id": ids[1], "mode": "r", "from": "me"},
                ]
            assert await first.next_notice("size") == {"type": "size", "rows": 40, "cols": 120}
        async with attached(home, "p", "r") as alone:
            await alone.size(12, 34)
            assert await alone.next_notice("size") == {"type": "size", "rows": 12, "cols": 34}


async def test_a_read_only_client_cannot_type() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as typing, attached(home, "p", "r") as read_only:
            await read_only.socket.send(b"never\r")
            assert await read_only.closed() == 4003
            await typing.socket.send(b"mine\r")
            await typing.until_shown("heard mine")
            assert not any("never" in line for line in typing.screen.text())


@pytest.mark.parametrize(
    "frame", ["{", "[]", '{"type":"size","rows":0,"cols":1}', '{"type":"size","rows":1}']
)
async def test_an_invalid_frame_is_answered_with_an_error_and_the_tenth_closes(frame: str) -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as bad, attached(home, "p") as good:
            for _ in range(9):
                await bad.socket.send(frame)
                assert (await bad.next_notice("error"))["code"] == "malformed"
            await bad.socket.send(b"still\r")
            await bad.until_shown("heard still")
            await bad.socket.send(frame)
            assert await bad.closed() == 4501
            await good.socket.send(b"on\r")
            await good.until_shown("heard on")


async def test_all_clients_get_the_exit_of_the_program() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as first, attached(home, "p", "r") as second:
            await first.until_shown("ready")
            await first.socket.send(b"end 3\r")
            for each in (first, second):
                assert await each.next_notice("exited") == {"type": "exited", "exit_code": 3, "signal": None}
                assert await each.closed() == 1000


async def test_all_clients_are_notified_of_a_lost_program() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as first:
            await first.until_shown("ready")
            os.kill(home.hub.state.instances["p"].running.host_pid, signal.SIGKILL)
            assert "lost" in (await first.next_notice("lost"))["reason"]
            assert await first.closed() == 1000


def connected_socket(port: int) -> socket.socket:
    """A connection whose kernel buffers little unread data."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    connection.connect(("127.0.0.1", port))
    return connection


@pytest.mark.long
async def test_a_client_that_does_not_read_delays_no_other_and_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "STALL_SECONDS", 3.0)
    kept = {"segment_bytes": 1 << 18, "keep_bytes": 1 << 18}
    async with with_programs(seconds=120, spools=kept) as home:
        await home.announce("p", *PYTHON, FLOODS, kind="terminal")
        narrow = connected_socket(home.port)
        async with (
            attached(home, "p", "r", max_queue=1, sock=narrow) as slow,
            attached(home, "p") as quick,
        ):
            await quick.next_notice("replayed")
            await slow.next_notice("replayed")
            await quick.socket.send(b"go\r")
            await _flooded(quick)
            async with asyncio.timeout(60):
                while not home.node.tally.closed:  # noqa: ASYNC110  # there is no event for it
                    await asyncio.sleep(0.02)
            assert await slow.closed() == 4008
            async with attached(home, "p", "r") as again:
                await _flooded(again)  # its first screen may be far behind


async def _flooded(terminal: Attached) -> None:
    """Read up to the end of the flood, and draw only that."""
    async with asyncio.timeout(90):
        while not any("flooded" in line for line in terminal.screen.text()):
            item = await terminal.socket.recv()
            if isinstance(item, bytes) and b"flooded" in item:
                terminal.screen.feed(item)


async def test_attaching_to_a_program_with_a_stopped_host_fails() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as before:
            await before.until_shown("ready")
        host = home.hub.state.instances["p"].running.host_pid
        os.kill(host, signal.SIGSTOP)
        try:
            async with asyncio.timeout(8):
                assert await refused(home, "p") == (504, "host_silent")
        finally:
            os.kill(host, signal.SIGCONT)
        async with attached(home, "p") as after:
            await after.until_shown("ready")


@pytest.mark.long
async def test_a_terminal_is_notified_if_the_host_of_its_program_does_not_answer() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, TELLS, kind="terminal")
        async with attached(home, "p") as shown:
            await shown.until_shown("ready")
            host = home.hub.state.instances["p"].running.host_pid
            os.kill(host, signal.SIGSTOP)
            try:
                await shown.socket.send(b"key")
                async with asyncio.timeout(60):
                    assert await shown.closed() == 1011
                assert shown.socket.close_reason == "host_silent"
            finally:
                os.kill(host, signal.SIGCONT)
