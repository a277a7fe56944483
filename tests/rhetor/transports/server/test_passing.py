"""Requests and WebSockets that a node passes on to another one, with two hubs on real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect, unix_connect

from rhetor.domain.output import Text
from rhetor.domain.principal import Principal
from rhetor.errors import NodeLost
from rhetor.hub.catalog.boards import Board, Elsewhere
from rhetor.hub.core.nodes import LiveNode, OneNode
from rhetor.hub.programs.now import program_now
from rhetor.settings import ToolSettings
from rhetor.store.base import Store
from rhetor.store.memory import MemoryStore
from rhetor.transports.server.node_connections import NodeConnections
from rhetor.transports.server.passed_on import HEADER, Admitted
from rhetor.transports.server.passing import ABOUT, APART_SECONDS, PassedRequests
from tests.certificates import Issued
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.served import CONSOLE, SECONDS, TOKEN, Answer, Served, served

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""
TOOLS = {"echo": ToolSettings(driver="terminal", executable=sys.executable, args=("-I", "-S", "-c", ECHO))}
PATH = "/api/v2/ai/echo/status"


class TwoNodes(OneNode):
    """The nodes as one of the two sees them: the program `echo` and all sessions are at the other one."""

    lead, leads = "here-00000001", True

    def __init__(self, own: str, other: LiveNode) -> None:
        self.own = own
        self.live = {other.name: other}
        self.place = "there-00000002"
        self._callbacks: list[Callable[[], None]] = []

    async def owner(self, stream: str) -> str:
        return self.place

    def of_peer(self, name: str) -> str:
        return self.place if name == "echo" else self.own

    async def execute(self, node: str, principal: Principal, command: Any, api: str = "") -> Any:
        raise NodeLost(node)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def lose(self) -> None:
        self.live = {}
        for callback in self._callbacks:
            callback()


@dataclass
class Two:
    """Two nodes; `here` passes on to `there`."""

    here: Served
    there: Served
    nodes: TwoNodes
    scheme: str = "ws"
    trust: Any = None

    async def launch(self) -> None:
        answer = await self.there.ask("POST", "/api/v2/tools/echo/launch", {})
        assert answer.status == 200, answer.text

    @asynccontextmanager
    async def attached(self, mode: str = "rw", **headers: str) -> AsyncIterator[ClientConnection]:
        url = f"{self.scheme}://127.0.0.1:{self.here.port}/ws/attach/echo?mode={mode}"
        options = {"compression": None, "proxy": None, "ssl": self.trust}
        async with connect(url, additional_headers=headers or BEARER, **options) as socket:
            yield socket


@asynccontextmanager
async def two(
    first: Issued | None = None, second: Issued | None = None, *, store: Store | None = None
) -> AsyncIterator[Two]:
    """Run two nodes. `first` and `second`: their certificates; `store`: the one that they share, if they
    do."""
    async with AsyncExitStack() as stack:
        homes: list[Served] = []
        for issued in (first, second or first):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rt")))
            if homes:
                shared = Path(homes[0].node.home)
                await asyncio.to_thread(homes[0].node.seal.seal, b"", b"")  # makes the keys
                for name in ("keys.json", "master.key"):
                    shutil.copy(shared / name, folder / name)
            hosts = await stack.enter_async_context(hosting(folder))
            certificate = issued.served if issued else None
            homes.append(
                await stack.enter_async_context(
                    served(folder, hosts=hosts, tools=TOOLS, certificate=certificate, store=store)
                )
            )
        names = "here-00000001", "there-00000002"
        lives = [LiveNode(n, f"127.0.0.1:{home.port}", 1, 0) for n, home in zip(names, homes, strict=True)]
        seen = [TwoNodes(names[0], lives[1]), TwoNodes(names[1], lives[0])]
        for home, nodes, issued in zip(homes, seen, (first, second or first), strict=True):
            home.hub.state.nodes = nodes
            home.node.passing = PassedRequests(home.node, NodeConnections(issued.served if issued else None))
        yield Two(homes[0], homes[1], seen[0])


async def shown(socket: ClientConnection, text: bytes) -> bytes:
    """Read the screen of a program until it has this text."""
    seen = b""
    async with asyncio.timeout(SECONDS):
        while text not in seen:
            item = await socket.recv()
            seen += item if isinstance(item, bytes) else b""
    return seen


async def test_a_terminal_is_attached_to_a_program_of_another_node_over_tcp_and_the_unix_socket() -> None:
    async with two() as nodes:
        await nodes.launch()
        async with nodes.attached() as socket:
            await shown(socket, b"ready")
            await socket.send(b"one\n")
            await shown(socket, b"heard one")
        url = "ws://localhost/ws/attach/echo"
        async with unix_connect(str(nodes.here.socket), url, compression=None) as socket:
            await socket.send(b"two\n")
            await shown(socket, b"heard two")
        traffic = nodes.here.node.tally.traffic["ws.attach"]
        assert traffic.sent > 0 < traffic.received
        assert not nodes.here.node.connections.by_api()


async def test_the_status_of_a_program_is_that_of_its_node() -> None:
    async with two() as nodes:
        await nodes.launch()
        there = (await nodes.there.ask("GET", PATH)).json
        for answer in (
            await nodes.here.ask("GET", PATH),
            await nodes.here.ask_tcp("GET", PATH, BEARER),
        ):
            assert answer.status == 200, answer.text
            assert answer.json["pid"] == there["pid"] is not None
            assert [*map(str.lower, answer.headers)].count("date") == 1
        head = await nodes.here.ask("HEAD", PATH)
        assert (head.status, head.text) == (200, "")


async def test_a_program_that_each_node_can_start_is_found_where_it_runs_for_the_caller() -> None:
    async with two() as nodes:
        await nodes.launch()
        nodes.nodes.of_peer = lambda name: nodes.nodes.own  # type: ignore[method-assign]
        assert (await nodes.here.ask("GET", PATH)).json["pid"] is None
        (instance,) = nodes.there.hub.state.instances.values()
        for owner, is_found in (("somebody", False), ("me", True)):
            program = msgspec.structs.replace(program_now(nodes.there.hub.state, instance), owner=owner)
            nodes.here.hub.state.elsewhere = Elsewhere({"there-00000002": Board(programs=(program,))})
            found = (await nodes.here.ask("GET", PATH)).json["pid"]
            assert (found == instance.running.pid) is is_found
        assert (await nodes.here.ask("POST", "/api/v2/tools/echo/launch", {})).status == 200
        here = (await nodes.here.ask("GET", PATH)).json["pid"]
        assert here not in (None, instance.running.pid)


async def test_the_other_node_applies_the_rights_of_the_caller_and_not_those_of_a_node() -> None:
    async with two() as nodes:
        await nodes.launch()
        body = {"name": "reader", "subject": "me", "scopes": ["read"]}
        token = (await nodes.here.ask("POST", "/api/v2/tokens", body)).json["token"]
        reader = {"authorization": f"Bearer {token}"}
        async with nodes.attached("r", **reader) as socket:
            await shown(socket, b"ready")
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with nodes.attached("rw", **reader):
                pass
        response = caught.value.response
        assert (response.status_code, json.loads(response.body)["code"]) == (403, "forbidden")
        assert (await nodes.here.ask_tcp("GET", PATH, {})).status == 401


async def test_a_passed_connection_ends_when_the_credential_of_its_caller_does() -> None:
    async with two() as nodes:
        await nodes.launch()
        body = {"name": "short", "subject": "me", "scopes": ["read"]}
        token = (await nodes.here.ask("POST", "/api/v2/tokens", body)).json["token"]
        async with nodes.attached("r", authorization=f"Bearer {token}") as socket:
            await shown(socket, b"ready")
            assert (await nodes.here.ask("DELETE", "/api/v2/tokens/short")).status == 200
            async with asyncio.timeout(10):
                await socket.wait_closed()


async def test_a_session_of_socketio_that_polls_may_change_nodes_and_be_upgraded_at_another_one() -> None:
    async with two() as nodes:
        path = "/socket.io/?EIO=4&transport=polling"
        opened = await nodes.there.ask_tcp("GET", path)
        sid = json.loads(opened.text[1:])["sid"]
        assert sid.endswith("-00000002")
        connect_packet = "40" + json.dumps({"token": TOKEN})
        assert (await nodes.here.ask_tcp("POST", f"{path}&sid={sid}", data=connect_packet)).text == "ok"
        assert (await nodes.here.ask_tcp("GET", f"{path}&sid={sid}")).text.startswith("40{")
        url = f"ws://127.0.0.1:{nodes.here.port}/socket.io/?EIO=4&transport=websocket&sid={sid}"
        async with connect(url, compression=None, proxy=None) as socket, asyncio.timeout(SECONDS):
            await socket.send("2probe")
            assert await socket.recv() == "3probe"
            await socket.send("5")
            await socket.send('421["nothing"]')
            assert str(await socket.recv()).startswith("4")
        unknown = await nodes.here.ask_tcp("GET", f"{path}&sid=x-00000003")
        assert (unknown.status, unknown.json["code"]) == (400, "malformed")


async def test_a_session_of_mcp_may_be_used_at_another_node() -> None:
    async with two() as nodes:
        accept = {**BEARER, "accept": "application/json, text/event-stream"}

        async def ask(home: Served, session: str | None, **message: Any) -> Answer:
            headers = accept | ({"mcp-session-id": session} if session else {})
            return await home.ask_tcp("POST", "/mcp", headers, json={"jsonrpc": "2.0", **message})

        about = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        first = await ask(nodes.there, None, id=1, method="initialize", params=about)
        assert first.status == 200, first.text
        session = first.headers["mcp-session-id"]
        assert session.endswith("-00000002")
        assert (await ask(nodes.here, session, method="notifications/initialized")).status == 202
        for home in (nodes.here, nodes.there):
            for method in ("ping", "tools/list"):
                again = await ask(home, session, id=2, method=method)
                assert again.status == 200, again.text
        gone = await nodes.here.ask_tcp("DELETE", "/mcp", {**accept, "mcp-session-id": session})
        assert gone.status == 200
        assert (await ask(nodes.here, session, id=3, method="ping")).status == 404


async def test_a_response_that_is_not_stored_is_found_while_its_client_is_connected_to_another_node() -> None:
    async with two() as nodes:
        nodes.there.driver.scripts.append([Text("a"), asyncio.Event()])
        body = {"model": "apollo", "input": "hi", "store": False, "stream": True}
        url = f"{nodes.there.node.url}/v1/responses"
        async with nodes.there.remote.post(url, json=body, headers=BEARER) as stream:
            while b'"response.created"' not in (line := await stream.content.readline()):
                assert line
            id = json.loads(line[6:])["response"]["id"]
            row = await nodes.there.hub.state.store.get("turn", id.replace("resp_", "t_"))
            assert row is not None
            await nodes.here.hub.state.store.commit("hub", [], rows=[row])
            found = await nodes.here.ask_tcp("GET", f"/v1/responses/{id}", BEARER)
            assert (found.status, found.json["status"]) == (200, "in_progress")
            gone = await nodes.here.ask_tcp("POST", f"/v1/responses/{id}/cancel", BEARER)
            assert (gone.status, gone.json["status"]) == (200, "cancelled")
        missing = await nodes.here.ask_tcp("GET", f"/v1/responses/{id}", BEARER)
        assert missing.status == 404


async def logged_in(home: Served, code: str) -> int:
    """Return the status of the response to a browser that logs in with a code."""
    page = {"host": f"{CONSOLE}:{home.port}", "sec-fetch-site": "none", "accept": "text/html"}
    return (await home.ask_tcp("GET", f"/login?code={code}", page)).status


async def test_a_one_time_code_logs_in_a_browser_at_each_node_but_only_once() -> None:
    async with two(store=MemoryStore(clock=lambda: round(time.time() * 1000))) as nodes:
        codes = [(await nodes.here.ask("POST", "/api/auth/code", {})).json["code"] for _ in range(2)]
        both = await asyncio.gather(*(logged_in(home, codes[0]) for home in (nodes.here, nodes.there)))
        assert sorted(both) == [303, 401]
        assert await logged_in(nodes.there, codes[1].lower()) == 303
        assert await logged_in(nodes.here, codes[1]) == 401
        assert await nodes.here.hub.state.store.find("login_code") == []


async def test_a_one_time_code_ends_with_the_token_that_it_was_requested_with() -> None:
    async with two(store=MemoryStore(clock=lambda: round(time.time() * 1000))) as nodes:
        code = (await nodes.here.ask_tcp("POST", "/api/auth/code", BEARER, json={})).json["code"]
        nodes.there.hub.state.identities.hub_token = lambda: "another"
        assert await logged_in(nodes.there, code) == 401


def sealed(nodes: Two, **changed: Any) -> dict[str, str]:
    """Return the header of a request that a node passes on, with changes."""
    owner = Principal.person("me", local=True)
    admitted = Admitted("there-00000002", f"GET {PATH}?", time.time(), owner, None, None, False)
    content = msgspec.json.encode(msgspec.structs.replace(admitted, **changed))
    return {HEADER: base64.b64encode(nodes.here.node.seal.seal(content, ABOUT)).decode()}


async def test_only_what_a_node_has_sealed_for_this_node_and_request_is_believed() -> None:
    async with two() as nodes:
        await nodes.launch()
        assert (await nodes.there.ask_tcp("GET", PATH, sealed(nodes))).status == 200
        for headers in (
            sealed(nodes, to="here-00000001"),
            sealed(nodes, request=f"DELETE {PATH}?"),
            sealed(nodes, at=time.time() - 2 * APART_SECONDS),
            {HEADER: base64.b64encode(b"x" * 200).decode()},
            {HEADER: "?"},
            {HEADER: "", **BEARER},
        ):
            answer = await nodes.there.ask_tcp("GET", PATH, headers)
            assert (answer.status, answer.json["code"]) == (403, "forbidden")


async def test_a_request_is_passed_on_once_even_if_both_nodes_think_that_the_other_one_has_it() -> None:
    async with two() as nodes:
        other: Any = nodes.there.hub.state.nodes
        other.place = "here-00000001"
        assert (await nodes.here.ask("GET", PATH)).json["pid"] is None


async def test_a_request_for_a_node_that_was_lost_may_be_repeated() -> None:
    async with two() as nodes:
        nodes.nodes.lose()
        answer = await nodes.here.ask("GET", PATH)
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "node_lost", True)


async def test_a_node_that_accepts_no_connections_counts_as_lost() -> None:
    async with two() as nodes:
        name, live = next(iter(nodes.nodes.live.items()))
        nodes.nodes.live = {name: msgspec.structs.replace(live, address="127.0.0.1:1")}
        answer = await nodes.here.ask("GET", PATH)
        assert (answer.status, answer.json["code"]) == (503, "node_lost")


async def test_connections_that_were_passed_on_end_when_their_node_is_lost() -> None:
    async with two() as nodes:
        await nodes.launch()
        async with nodes.attached() as socket:
            await shown(socket, b"ready")
            nodes.nodes.lose()
            async with asyncio.timeout(SECONDS):
                await socket.wait_closed()


async def session_there(nodes: Two) -> str:
    """Start a session at the other node, and return its id. The stores of these nodes are not shared, so this
    one must know it, too."""
    started = await nodes.there.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
    id: str = started.json["id"]
    row = await nodes.there.hub.state.store.get("session", id)
    assert row is not None
    await nodes.here.hub.state.store.commit("hub", [], rows=[row])
    return id


async def test_bodies_and_the_progress_of_long_work_are_passed_on() -> None:
    async with two() as nodes:
        path = f"/api/v2/sessions/{await session_there(nodes)}/checkpoint"
        made = await nodes.here.ask("POST", path, {"name": "first"})
        assert (made.status, made.json["name"]) == (200, "first"), made.text
        assert (await nodes.here.ask("POST", path, {"name": "x" * 5000})).status == 422
        headers = {**BEARER, "accept": "text/event-stream"}
        stream = await nodes.here.ask_tcp("POST", path, headers, json={"name": "second"})
        assert (stream.status, stream.headers["content-type"][:17]) == (200, "text/event-stream")
        assert "event: result" in stream.text
        assert '"name":"second"' in stream.text
        nodes.nodes.lose()  # so that the command waits here for the next owner, which is this node
        assert (await nodes.here.ask("POST", path, {"name": "third"})).status == 200


async def test_an_event_stream_that_was_passed_on_says_why_it_ends_early() -> None:
    async with two() as nodes:
        path = f"/api/v2/sessions/{await session_there(nodes)}/checkpoint"
        headers, store = {**BEARER, "accept": "text/event-stream"}, nodes.there.hub.state.store
        commit, held = store.commit, asyncio.Event()

        async def held_commit(*given: Any, **options: Any) -> Any:
            await held.wait()
            return await commit(*given, **options)

        store.commit = held_commit  # type: ignore[method-assign]
        url = f"{nodes.here.node.url}{path}"
        async with nodes.here.remote.post(url, json={"name": "held"}, headers=headers) as stream:
            assert b"event: progress" in await stream.content.readline()
            nodes.nodes.lose()
            rest = await stream.content.read()
        held.set()
        assert b"event: error" in rest
        assert b'"code":"node_lost"' in rest


async def test_nodes_with_tls_connect_to_nodes_with_the_same_certificate(tmp_path: Path) -> None:
    issued = Issued.into(tmp_path / "tls", "127.0.0.1")
    async with two(issued) as nodes:
        nodes.scheme, nodes.trust = "wss", issued.trusting()
        await nodes.launch()
        url = f"https://127.0.0.1:{nodes.here.port}{PATH}"
        async with (
            aiohttp.ClientSession() as client,
            client.get(url, headers=BEARER, ssl=nodes.trust) as answer,
        ):
            assert answer.status == 200, await answer.text()
            assert len(answer.headers.getall("strict-transport-security")) == 1
        async with nodes.attached() as socket:
            await shown(socket, b"ready")
            await socket.send(b"sealed\n")
            await shown(socket, b"heard sealed")


async def test_a_node_with_another_certificate_is_not_believed(tmp_path: Path) -> None:
    own = Issued.into(tmp_path / "own", "127.0.0.1")
    other = Issued.into(tmp_path / "other", "127.0.0.1")
    async with two(own, other) as nodes:
        answer = await nodes.here.ask("GET", PATH)
        assert (answer.status, answer.json["code"]) == (503, "node_lost")
