"""The border of MCP: who may use `/mcp`, what it rejects, and what ends a request."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done
from rhetor.hub.core.limits import Limits
from rhetor.transports.mcp.caller import BODY_BYTES
from tests.rhetor.transports.mcp.clients import WAYS, Way, connected, text_of
from tests.served import TOKEN, Served, served, with_programs

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


async def post(home: Served, message: Any, headers: dict[str, str] | None = None) -> Any:
    data = message if isinstance(message, bytes | str | io.BytesIO) else json.dumps(message)
    return await home.ask_tcp("POST", "/mcp", {**BEARER, **JSON, **(headers or {})}, data=data)


async def test_only_admitted_requests_reach_the_server(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        no_token = await home.ask_tcp("POST", "/mcp", JSON, data=json.dumps(INITIALIZE))
        assert (no_token.status, no_token.json["code"]) == (401, "unauthenticated")
        wrong = await post(home, INITIALIZE, {"authorization": "Bearer wrong"})
        assert wrong.status == 401
        page = await post(home, INITIALIZE, {"origin": "http://evil.example"})
        assert (page.status, page.json["code"]) == (403, "forbidden")
        named = await post(home, INITIALIZE, {"host": "evil.example"})
        assert (named.status, named.json["code"]) == (421, "misdirected")
        assert (await post(home, INITIALIZE)).status == 200


async def test_a_session_ends_when_its_client_deletes_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        opened = await post(home, INITIALIZE)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        await post(home, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
        assert (await post(home, listing, session)).status == 200
        assert (await home.ask_tcp("DELETE", "/mcp", {**BEARER, **session})).status == 200
        assert (await post(home, listing, session)).status == 404
        assert (await post(home, listing)).status == 400


async def test_there_is_no_stream_without_a_request(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        stream = await home.ask_tcp("GET", "/mcp", {**BEARER, "accept": "text/event-stream"})
        assert (stream.status, stream.headers["allow"]) == (405, "DELETE, POST")


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_an_invalid_body_is_rejected(tmp_path: Path, version: str) -> None:
    async with served(tmp_path) as home:
        headers = {"mcp-protocol-version": version}
        assert (await post(home, b"{", headers)).status == 400
        deep = await post(home, b"[" * 10_000, headers)
        assert deep.status == 400
        assert (await post(home, io.BytesIO(b" " * (BODY_BYTES + 1)), headers)).status == 413
        assert (await post(home, INITIALIZE, {**headers, "accept": "text/html"})).status == 406
        half = json.dumps({**INITIALIZE, "id": "\ud800"})  # of a surrogate pair
        assert (await post(home, half, headers)).status in (200, 400)


async def test_blanks_around_a_header_are_no_part_of_it(tmp_path: Path) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    call = {"name": "list_peers", "arguments": {}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()
    async with served(tmp_path) as home:
        lines = [
            "POST /mcp HTTP/1.1",
            f"Host: 127.0.0.1:{home.port}",
            f"Authorization: Bearer {TOKEN}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            "Mcp-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name:  list_peers \t",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), answer[:300]


@pytest.mark.parametrize("way", WAYS, ids="-".join)
async def test_a_call_ends_when_the_hub_stops(tmp_path: Path, way: Way) -> None:
    async with served(tmp_path, [asyncio.Event(), Done()]) as home, connected(home, way) as client:
        call = asyncio.create_task(client.call_tool("ask_peer", {"peer": "apollo", "message": "hi"}))
        while not home.driver.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        home.server.should_exit = True
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            assert outcome.is_error
            assert outcome.structured_content["code"] in ("interrupted", "shutting_down")


# a program that sends each line that it gets to a peer, through `rhetor mcp`, and prints the result
KID = """
import json, subprocess, sys
for line in sys.stdin:
    tool, _, arguments = line.strip().partition(" ")
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "k", "version": "1"}}
    sent = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params":
            {"name": tool, "arguments": json.loads(arguments)}},
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "rhetor", "mcp", "--home", sys.argv[1]],
        input="".join(json.dumps(each) + "\\n" for each in sent), capture_output=True, text=True)
    answers = [json.loads(each) for each in ran.stdout.splitlines()]
    print(json.dumps(answers[-1]["result"] if ran.returncode == 0 else ran.stderr), flush=True)
"""


async def told(home: Served, tool: str, **arguments: Any) -> Any:
    """The result of a call that a program which runs as the peer `kid` makes."""
    answer = await home.say("kid", f"{tool} {json.dumps(arguments)}")
    assert answer.status == 200, answer.text
    return json.loads(answer.json["response"])


@pytest.mark.long
async def test_an_agent_that_connects_is_an_agent_here_too(tmp_path: Path) -> None:
    async with with_programs() as home:
        own = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        await home.announce("kid", sys.executable, "-c", KID, str(home.socket.parent))
        asked = await told(home, "ask_peer", peer="apollo", message="what is it?")
        assert not asked["isError"], asked
        (heard,) = [content for peer, content in home.driver.heard if peer == "apollo"]
        assert heard != "what is it?"
        assert heard.startswith("[From Kid]") and "what is it?" in heard
        listed = await told(home, "list_sessions")
        assert own not in [session["id"] for session in listed["structuredContent"]["sessions"]]
        refused = await told(home, "read_events", session_id=own)
        assert (refused["isError"], refused["structuredContent"]["code"]) == (True, "not_found")


async def test_a_chain_of_agents_ends_at_the_hop_limit(tmp_path: Path) -> None:
    async with with_programs(limits=Limits(hops=1)) as home:
        await home.announce("kid", sys.executable, "-c", KID, str(home.socket.parent))
        refused = await told(home, "ask_peer", peer="apollo", message="further")
        assert (refused["isError"], refused["structuredContent"]["code"]) == (True, "hop_limit")
        assert home.driver.heard == []


async def test_the_traffic_and_the_errors_of_mcp_are_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home, WAYS[1]) as client:
        result = await client.call_tool("ask_peer", {"peer": "nobody", "message": "hi"})
        assert text_of(result)
        counted = (await home.ask("GET", "/metrics")).text
        assert 'api="mcp",code="unknown_peer"' in counted.replace(", ", ",")
