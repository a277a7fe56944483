"""Plain requests, which the hub answers without the MCP library: as the library would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import unix_connect

from rhetor.domain.output import Done, Text
from tests.served import TOKEN, Served, served

if TYPE_CHECKING:
    import httpx2

pytestmark = pytest.mark.anyio
LEGACY, MODERN = "2025-11-25", "2026-07-28"
OWN = "io.modelcontextprotocol/"
META = {f"{OWN}protocolVersion": MODERN, f"{OWN}clientCapabilities": {}}
BOTH = "application/json, text/event-stream"
HELLO = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
each_version = pytest.mark.parametrize("version", [LEGACY, MODERN])


class Peer:
    """A client that sends requests of one revision by hand."""

    def __init__(self, home: Served, version: str, http: httpx2.AsyncClient) -> None:
        self.version = version
        self.http = http
        self.url = f"http://127.0.0.1:{home.port}/mcp"
        self.session: dict[str, str] = {}

    async def begin(self) -> None:
        if self.version == LEGACY:
            opened = await self.post("initialize", HELLO)
            self.session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            await self.post("notifications/initialized", {}, id=None)

    def request(
        self, method: str, params: dict[str, Any], id: Any = 1, **headers: str
    ) -> tuple[dict[str, str], str]:
        """Return the headers and the body."""
        if self.version == MODERN:
            params = {**params, "_meta": {**META, **params.get("_meta", {})}}
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if id is None else {**message, "id": id})
        named = {"mcp-method": method, **({"mcp-name": params["name"]} if "name" in params else {})}
        known = {"accept": BOTH, "content-type": "application/json", "mcp-protocol-version": self.version}
        return {**known, **(named if self.version == MODERN else self.session), **headers}, body

    async def post(self, method: str, params: dict[str, Any], id: Any = 1, **headers: str) -> httpx2.Response:
        given, body = self.request(method, params, id, **headers)
        return await self.http.post(self.url, content=body, headers=given)

    async def call(self, tool: str, id: Any = 1, meta: Any = None, **arguments: Any) -> httpx2.Response:
        params = {"name": tool, "arguments": arguments, **({"_meta": meta} if meta else {})}
        return await self.post("tools/call", params, id)


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    import httpx2

    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as client:
        yield client


def messages(answer: httpx2.Response) -> Iterator[Any]:
    """Yield the messages of an answer, which is JSON or an event stream."""
    if answer.headers["content-type"] == "application/json":
        yield answer.json()
        return
    assert answer.headers["content-type"].startswith("text/event-stream")
    for line in answer.text.splitlines():
        if line.startswith("data: ") and line[6:].strip():
            yield json.loads(line[6:])


@each_version
async def test_the_answer_is_that_of_the_library(
    tmp_path: Path, version: str, http: httpx2.AsyncClient
) -> None:
    async with served(tmp_path) as home:
        peer = Peer(home, version, http)
        await peer.begin()
        for method, params in (
            ("tools/list", {}),
            ("tools/call", {"name": "find_capability", "arguments": {"capability": "code-analysis"}}),
            ("tools/call", {"name": "read_events", "arguments": {"session_id": "none"}}),
            ("tools/call", {"name": "ask_peer", "arguments": {"peer": 1}}),
        ):
            ours = await peer.post(method, params, id="é")
            # a client may weigh the types that it accepts; such a request is not plain
            theirs = await peer.post(method, params, id="é", accept=f"{BOTH};q=0.9")
            (expected,) = messages(theirs)
            assert (ours.status_code, ours.headers["content-type"]) == (200, "application/json")
            assert ours.json() == expected
            for name in peer.session:
                assert ours.headers[name] == theirs.headers[name]


@each_version
async def test_the_answer_over_a_socket_is_that_of_the_library(tmp_path: Path, version: str) -> None:
    async with (
        served(tmp_path) as home,
        unix_connect(str(home.socket), "ws://localhost/ws/mcp") as socket,
    ):

        async def said(method: str, params: dict[str, Any], **more: Any) -> Any:
            meta = {"_meta": META} if version == MODERN else {}
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, **meta}}
            await socket.send(json.dumps({**message, **more}))
            return json.loads(await socket.recv())

        first = await said("initialize", HELLO) if version == LEGACY else await said("tools/list", {})
        assert "result" in first, first
        called = {"name": "find_capability", "arguments": {"capability": "code-analysis"}}
        for method, params in (("tools/list", {}), ("tools/call", called)):
            ours = await said(method, params)
            assert ours == await said(method, params, unusual=True)  # the library ignores unknown members
            assert "result" in ours, ours


@each_version
async def test_progress_makes_the_answer_a_stream(
    tmp_path: Path, version: str, http: httpx2.AsyncClient
) -> None:
    goes_on = asyncio.Event()
    async with served(tmp_path, [Text("one "), goes_on, Text("two"), Done()]) as home:
        peer = Peer(home, version, http)
        await peer.begin()
        given = {"name": "ask_peer", "arguments": {"peer": "apollo", "message": "count"}}
        headers, body = peer.request("tools/call", {**given, "_meta": {"progressToken": "p"}})
        said: list[Any] = []
        async with http.stream("POST", peer.url, content=body, headers=headers) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            async for line in answer.aiter_lines():
                said += [json.loads(line[6:])] if line.startswith("data: ") else []
                if "one" in line:
                    goes_on.set()
        *progress, result = said
        assert {each["method"] for each in progress} == {"notifications/progress"}
        assert [each["params"]["progress"] for each in progress] == list(range(1, len(progress) + 1))
        assert {each["params"]["progressToken"] for each in progress} == {"p"}
        assert "one " in "".join(each["params"]["message"] for each in progress)
        assert result["result"]["structuredContent"]["response"] == "one two"


@each_version
async def test_a_long_call_sends_comments(
    tmp_path: Path, version: str, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rhetor.transports.mcp import direct

    monkeypatch.setattr(direct, "PING_SECONDS", 0.01)
    held = asyncio.Event()
    async with served(tmp_path, [held, Text("late"), Done()]) as home:
        peer = Peer(home, version, http)
        await peer.begin()
        params = {"name": "ask_peer", "arguments": {"peer": "apollo", "message": "hi"}}
        headers, body = peer.request("tools/call", params)
        async with http.stream("POST", peer.url, content=body, headers=headers) as answer:
            lines = answer.aiter_lines()
            assert [line async for line in _first(lines, 3)] == [": ping", "", ": ping"]
            held.set()
            rest = [line async for line in lines]
        (result,) = (json.loads(line[6:]) for line in rest if line.startswith("data: "))
        assert result["result"]["structuredContent"]["response"] == "late"


async def _first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield await anext(lines)


async def test_a_client_that_leaves_cancels_its_call(tmp_path: Path, http: httpx2.AsyncClient) -> None:
    async with served(tmp_path, [asyncio.Event(), Done()]) as home:
        call = asyncio.create_task(Peer(home, MODERN, http).call("ask_peer", peer="apollo", message="hi"))
        while not home.driver.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        call.cancel()
        while home.driver.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", ["notification", "end of the session"])
async def test_a_call_in_a_session_is_cancelled_by_its_client(
    tmp_path: Path, http: httpx2.AsyncClient, way: str
) -> None:
    async with served(tmp_path, [asyncio.Event(), Done()]) as home:
        peer, other = Peer(home, LEGACY, http), Peer(home, LEGACY, http)
        await peer.begin()
        await other.begin()
        call = asyncio.create_task(peer.call("ask_peer", id=7, peer="apollo", message="hi"))
        while not home.driver.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await other.post("notifications/cancelled", {"requestId": 7}, id=None)  # another session's request
        await peer.post("notifications/cancelled", {"requestId": 8}, id=None)
        assert (home.driver.running, call.done()) != (0, True)
        if way == "notification":
            accepted = await peer.post("notifications/cancelled", {"requestId": 7}, id=None)
            assert accepted.status_code == 202
        else:
            assert (await http.request("DELETE", peer.url, headers=peer.session)).status_code == 200
        answer = (await call).json()
        assert (answer["id"], answer["error"]["code"]) == (7, -32800)
        while home.driver.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def headers_of(**changed: str | None) -> list[tuple[bytes, bytes]]:
    known = {
        "accept": BOTH,
        "content-type": "application/json",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "list_peers",
    }
    given = {**known, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return [(name.encode(), value.encode()) for name, value in given.items() if value is not None]


def body_of(params: dict[str, Any] | None = None, **changed: Any) -> bytes:
    plain = {"name": "list_peers", "arguments": {}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**plain, **(params or {})}}
    return json.dumps({**message, **changed}).encode()


def test_only_plain_requests_are_answered_without_the_library() -> None:
    from rhetor.transports.mcp.plain import Recognizer

    recognizer = Recognizer()
    assert recognizer.plain(headers_of(), body_of()) is not None
    unusual_heads: list[dict[str, str | None]] = [
        {"accept": "application/json"},
        {"accept": None},
        {"content_type": "text/plain"},
        {"content_type": None},
        {"mcp_protocol_version": "2024-11-05"},
        {"mcp_protocol_version": None},
        {"mcp_protocol_version": LEGACY},  # without a session
        {"mcp_method": "tools/list"},
        {"mcp_method": None},
        {"mcp_name": "ask_peer"},
        {"mcp_name": None},
        {"mcp_param_region": "eu"},
    ]
    for head in unusual_heads:
        assert recognizer.plain(headers_of(**head), body_of()) is None, head
    assert recognizer.plain([*headers_of(), (b"mcp-name", b"list_peers")], body_of()) is None
    unusual_bodies = [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff",
        body_of(id=None),
        body_of(id=1.5),
        body_of(id=True),
        body_of(jsonrpc="1.0"),
        body_of(method="prompts/list"),
        body_of(extra=1),
        body_of({"arguments": None}),
        body_of({"inputResponses": {}}),
        body_of({"_meta": {}}),
        body_of({"_meta": {**META, "progressToken": {}}}),
        body_of({"_meta": {**META, f"{OWN}protocolVersion": LEGACY}}),
        body_of({"_meta": {**META, f"{OWN}clientCapabilities": 1}}),
        body_of({"_meta": {**META, f"{OWN}clientInfo": "me"}}),
    ]
    for body in unusual_bodies:
        assert recognizer.plain(headers_of(), body) is None, body[:300]
