"""A machine that joins one of two nodes, and connects again at the other one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.machines.joined import BuildHost
from tests.nodes.hubs import Node, Nodes, running

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
TAKE_OVER = 15.0


async def token_of(nodes: Nodes, name: str) -> str:
    """Issue the token of a machine."""
    connector = aiohttp.UnixConnector(nodes.nodes[0].socket)
    body = {"name": name, "subject": name, "scopes": ["node"]}
    async with (
        aiohttp.ClientSession(connector=connector) as owner,
        owner.post("http://localhost/api/v2/tokens", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        token: str = (await answer.json())["token"]
        return token


async def known(nodes: Nodes, at: Node) -> None:
    """Wait until a node knows that the machine is connected."""
    async with asyncio.timeout(TAKE_OVER):
        while True:
            machines = (await nodes.ask("GET", "/api/v2/machines", at=at))["machines"]
            if [each["status"] for each in machines] == ["online"]:
                return
            await asyncio.sleep(0.1)


class Switch:
    """Accepts connections, and joins them with ones to the node that is chosen, as a proxy does."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.count = 0
        self._open: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Yield the address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """End all connections."""
        while self._open:
            self._open.pop().transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        assert self.node is not None
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.node.port)
        except OSError:
            writer.transport.abort()
            return
        self.count += 1
        self._open.append(to_writer)
        await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.transport.abort()


async def test_a_machine_is_reached_through_each_node_wherever_it_connects(
    tmp_path: Path, postgres_url: str
) -> None:
    switch = Switch()
    async with switch.listening() as address, running(tmp_path, postgres_url, 2, host=address) as nodes:
        first, second = nodes.nodes
        switch.node = first
        host = BuildHost(tmp_path / "build1", await token_of(nodes, "build1"))
        try:
            await asyncio.to_thread(host.join, f"http://{address}")

            async def answer(text: str) -> set[str]:
                """Ask a program of the machine through each node, and return what it answers."""
                path, body = "/api/v2/ai/shout@build1/message", {"content": text, "execute": True}
                found: list[Any] = [await nodes.ask("POST", path, body, at=node) for node in nodes.nodes]
                return {each["response"].strip() for each in found}

            assert await answer("one") == {"one"}
            switch.node = second  # which passes the connection on to the first one
            switch.cut()
            await asyncio.to_thread(host.until, "connected")
            assert await answer("two") == {"two"}
            (machine,) = (await nodes.ask("GET", "/api/v2/machines", at=second))["machines"]
            assert machine["status"] == "online"
            first.signal(signal.SIGKILL)
            await asyncio.to_thread(host.until, "connected to")
            nodes.nodes = [second]
            async with asyncio.timeout(TAKE_OVER + 10):
                assert await answer("three") == {"three"}
        finally:
            await asyncio.to_thread(host.leave)


async def test_the_programs_of_a_machine_continue_when_its_node_is_lost(
    tmp_path: Path, postgres_url: str
) -> None:
    switch = Switch()
    async with switch.listening() as address, running(tmp_path, postgres_url, 3, host=address) as nodes:
        lead, other, switch.node = nodes.nodes
        host = BuildHost(tmp_path / "build1", await token_of(nodes, "build1"))
        try:
            await asyncio.to_thread(host.join, f"http://{address}")
            await known(nodes, other)
            body = {"specialist_id": "shout@build1"}
            session = (await nodes.ask("POST", "/api/v2/sessions", body, at=other))["id"]

            async def sent(text: str, at: Node) -> str:
                path = f"/api/v2/sessions/{session}/message"
                answer = await nodes.ask("POST", path, {"message": text, "execute": True}, at=at)
                return str(answer["response"]).strip()

            async def pid(at: Node) -> int | None:
                found: int | None = (await nodes.ask("GET", "/api/v2/ai/shout@build1/status", at=at))["pid"]
                return found

            assert await sent("one", other) == "one"
            before = await pid(other)
            assert before is not None
            lost, switch.node = switch.node, other  # from where it is passed on to the lead
            lost.signal(signal.SIGKILL)
            assert await nodes.takes_over(other, lost) is lead
            await asyncio.to_thread(host.until, "connected to")
            assert await sent("two", other) == "two"
            assert await pid(other) == await pid(lead) == before
            assert "peer.lost" not in str(await nodes.log(session))
        finally:
            await asyncio.to_thread(host.leave)
