"""Every API tells a client that has reached a limit when to come back."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Done, Text
from rhetor.errors import StoreRefused
from rhetor.hub.core.limits import Limits
from rhetor.hub.sessions import send
from rhetor.transports.server.rates import Rates
from tests.rhetor.test_errors import kinds
from tests.rhetor.transports.calling import calling_tcp
from tests.rhetor.transports.open_clients import BEARER, refusal
from tests.rhetor.transports.socket_client import created
from tests.rhetor.transports.socketio.engine_client import Polling
from tests.rhetor.transports.socketio.hub_talker import connecting, talking
from tests.served import CONSOLE, TOKEN, Answer, Served, served

pytestmark = pytest.mark.anyio
Problem = Mapping[str, Any]
Attempt = Callable[[], Awaitable[Problem]]
MODERN = "2026-07-28"
MCP = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": MODERN,
    "mcp-method": "tools/call",
    "mcp-name": "ask_peer",
}
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


def problem_of(answer: Answer) -> Problem:
    """Return the members of an error response, whose header must agree with them."""
    found: Problem = answer.json
    assert (answer.status, found["retryable"]) == (found["status"], True)
    assert int(answer.headers["retry-after"]) == max(1, math.ceil(found["retry_after"]))
    return found


@asynccontextmanager
async def rest(home: Served, path: str = "message") -> AsyncIterator[Attempt]:
    async def attempt() -> Problem:
        body = {"content": "hi"}
        return problem_of(await home.ask_tcp("POST", f"/api/v2/ai/apollo/{path}", BEARER, json=body))

    yield attempt


def sse(home: Served) -> AbstractAsyncContextManager[Attempt]:
    return rest(home, "stream")


@asynccontextmanager
async def plan(home: Served) -> AsyncIterator[Attempt]:
    async def attempt() -> Problem:
        body = {"operations": [{"id": "a", "ai": "apollo", "message": "hi"}]}
        return problem_of(await home.ask_tcp("POST", "/api/v2/bulk", BEARER, json=body))

    yield attempt


@asynccontextmanager
async def peer_socket(home: Served) -> AsyncIterator[Attempt]:
    async with calling_tcp(home, "/ws/ai/apollo") as caller:

        async def attempt() -> Problem:
            found: Problem = (await caller.ask("chat", message="hi"))["error"]["data"]
            return found

        yield attempt


@asynccontextmanager
async def loop(home: Served) -> AsyncIterator[Attempt]:
    async with calling_tcp(home, "/ws") as caller:
        session = await caller.started()

        async def attempt() -> Problem:
            reply = await caller.ask("sendUserMessage", sessionId=session, message="hi")
            found: Problem = reply["error"]["data"]
            return found

        yield attempt


@asynccontextmanager
async def named_socket(home: Served) -> AsyncIterator[Attempt]:
    socket = (await created(home))["socket_id"]
    async with calling_tcp(home, f"/ws/socket/{socket}") as caller:

        async def attempt() -> Problem:
            await caller.send({"type": "write", "content": "hi"})
            found: Problem = await caller.read()
            assert found["type"] == "error"
            return found

        yield attempt


@asynccontextmanager
async def socketio(home: Served, transport: str = "websocket") -> AsyncIterator[Attempt]:
    session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
    async with talking(home, transport) as talker:

        async def attempt() -> Problem:
            found: Problem = await talker.request("send", session_id=session, content="hi")
            return found

        yield attempt


@asynccontextmanager
async def socketio_polling(home: Served) -> AsyncIterator[Attempt]:
    """Whether the session ends or not, a request of the client has the answer."""
    session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
    async with talking(home, "polling") as talker:
        engine = talker.engine
        assert isinstance(engine, Polling)

        async def attempt() -> Problem:
            body = json.dumps(["send", {"session_id": session, "content": "hi"}])
            polled = asyncio.create_task(engine.session.get(engine.url))
            posted = await engine.session.post(engine.url, data=f"421{body}")
            answers = [posted, await polled]
            for answer in answers:
                text = await answer.text()
                if answer.status != 200:
                    return problem_of(Answer(answer.status, answer.headers, text))
                if text.startswith("431"):
                    found: Problem = json.loads(text.split("\x1e")[0][3:])[0]
                    return found
            raise AssertionError(f"neither answer has a problem: {answers}")

        yield attempt


@asynccontextmanager
async def mcp(home: Served) -> AsyncIterator[Attempt]:
    async def attempt() -> Problem:
        answer = await home.ask_tcp("POST", "/mcp", {**BEARER, **MCP}, json=tool_call(_meta=META))
        return problem_of(answer) if answer.status != 200 else tool_problem(answer.json)

    yield attempt


@asynccontextmanager
async def mcp_socket(home: Served) -> AsyncIterator[Attempt]:
    async with calling_tcp(home, "/ws/mcp") as caller:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
        await caller.ask("initialize", {**hello, "clientInfo": {"name": "t", "version": "1"}})
        await caller.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

        async def attempt() -> Problem:
            await caller.send(tool_call())
            return tool_problem(await caller.reply(1))

        yield attempt


def tool_call(**more: Any) -> dict[str, Any]:
    params = {"name": "ask_peer", "arguments": {"peer": "apollo", "message": "hi"}, **more}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def tool_problem(reply: Any) -> Problem:
    assert reply["result"]["isError"] is True
    found: Problem = reply["result"]["structuredContent"]
    return found


APIS: Mapping[str, Callable[[Served], AbstractAsyncContextManager[Attempt]]] = {
    "rest": rest,
    "sse": sse,
    "bulk": plan,
    "ws.ai": peer_socket,
    "ws": loop,
    "ws.socket": named_socket,
    "socketio": socketio,
    "socketio.polling": socketio_polling,
    "mcp": mcp,
    "ws.mcp": mcp_socket,
}


@asynccontextmanager
async def too_many_messages(home: Served) -> AsyncIterator[None]:
    usual, home.node.rates = home.node.rates, Rates(per_second=0.01, burst=1)
    for api in ("rest", "ws", "ws.ai", "ws.socket", "socketio", "mcp"):
        home.node.rates.take("me", api, asyncio.get_running_loop().time())
    yield
    home.node.rates = usual


@asynccontextmanager
async def too_many_bytes(home: Served) -> AsyncIterator[None]:
    rates = home.node.byte_rates
    rates.note("me", 20 * rates.per_second, asyncio.get_running_loop().time())
    yield
    rates.note("me", -20 * rates.per_second, asyncio.get_running_loop().time())


@asynccontextmanager
async def too_many_turns(home: Served) -> AsyncIterator[None]:
    ends = asyncio.Event()
    home.driver.scripts[:] = [[ends, Text("x"), Done()]]
    body, later = {"content": "hold"}, {"prefer": "respond-async"}
    held = await home.ask("POST", "/api/v2/ai/athena/message", body, headers=later)
    assert held.status == 202
    home.hub.state.limits = replace(LIMITED, turns_at_once=1)
    yield
    home.hub.state.limits = LIMITED
    ends.set()


@asynccontextmanager
async def too_many_tokens(home: Served) -> AsyncIterator[None]:
    home.hub.state.limits = replace(LIMITED, tokens_per_hour=10)
    home.hub.state.usage.recent._add("me", home.hub.state.ids.now() // 60_000, 10)
    yield
    home.hub.state.limits = LIMITED


@asynccontextmanager
async def full_disk(home: Served) -> AsyncIterator[None]:
    async def refuse(*arguments: Any, **options: Any) -> None:
        raise StoreRefused("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home.hub.state.store, "commit", refuse)
        yield


LIMITED = Limits(default_peer="apollo")
# each limit, and how many seconds a client must wait, at least and at most
LIMITS: Mapping[str, tuple[Callable[[Served], AbstractAsyncContextManager[None]], float, float]] = {
    "rate_exceeded": (too_many_messages, 90, 100),
    "bytes_exceeded": (too_many_bytes, 18, 20),
    "too_many_turns": (too_many_turns, 1, 1),
    "tokens_exceeded": (too_many_tokens, 3500, 3660),
    "store_refused": (full_disk, 1, 1),
}
# over these APIs, too many bytes close the connection, and the frame of that is all that the client gets
CLOSED = {"ws.mcp", "socketio"}


@pytest.mark.parametrize("api", APIS)
async def test_a_message_over_a_limit_is_answered_with_the_time_to_wait(tmp_path: Path, api: str) -> None:
    async with served(tmp_path, limits=LIMITED) as home:
        for code, (reached, least, most) in LIMITS.items():
            if code == "bytes_exceeded" and api in CLOSED:
                continue
            async with APIS[api](home) as attempt, reached(home):
                problem = await attempt()
            assert (problem["code"], problem["retryable"]) == (code, True)
            assert least <= problem["retry_after"] <= most
        assert [content for _, content in home.driver.heard] == ["hold"]  # the others had no effect


async def test_what_the_gate_and_the_server_reject_has_the_header(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        wrong = {"authorization": "Bearer made-up"}
        for _ in range(5):
            assert (await home.ask_tcp("GET", "/api/v2/ai", wrong)).status == 401
        for path in ("/api/v2/ai", "/mcp", "/socket.io/?EIO=4&transport=polling", "/login?code=made-up"):
            headers = {"host": f"{CONSOLE}:{home.port}"} if path.startswith("/login") else wrong
            found = problem_of(await home.ask_tcp("POST" if path == "/mcp" else "GET", path, headers))
            assert found["code"] == "too_many_attempts"
            assert 50 <= found["retry_after"] <= 60
        for api in ("ws", "ws.ai", "ws.socket"):
            refused = await refusal(home, api, wrong)
            assert (refused.status, refused.headers["retry-after"]) == (429, "60")
        async with connecting(home) as talker:
            answer = (await talker.connect({"token": "made-up"}))["data"]
            assert (answer["code"], round(answer["retry_after"])) == ("too_many_attempts", 60)

        home.node.connections.limit(1000, 0)
        for api in ("sse", "ws", "ws.ai", "ws.socket"):
            refused = await refusal(home, api)
            assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        async with connecting(home) as talker:
            answer = (await talker.connect({"token": TOKEN}))["data"]
            assert (answer["code"], answer["retry_after"]) == ("too_many_connections", 5.0)
        home.node.connections.limit(1000, 1000)

        home.node.held.limit = 0
        large = json.dumps({"content": "x" * 100_000})
        body = {**BEARER, "content-type": "application/json"}
        for path in ("/api/v2/ai/apollo/message", "/mcp"):
            found = problem_of(await home.ask_tcp("POST", path, body, data=large))
            assert (found["code"], found["retry_after"]) == ("too_many_bytes", 1)
        home.node.held.limit = 1 << 20

        home.hub.state.closing = True
        for path in ("message", "stream"):
            asked = f"/api/v2/ai/apollo/{path}", BEARER
            found = problem_of(await home.ask_tcp("POST", *asked, json={"content": "x"}))
            assert (found["code"], found["retry_after"]) == ("shutting_down", 1)
        found = problem_of(await home.ask_tcp("GET", "/socket.io/?EIO=4&transport=polling", BEARER))
        assert (found["code"], found["retry_after"]) == ("shutting_down", 1)


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = asyncio.Event()
    async with served(tmp_path, [ends, Text("x"), Done()]) as home:
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        message = "/api/v2/ai/apollo/message"
        body, later = {"content": "hi", "session_id": session}, {**BEARER, "prefer": "respond-async"}
        assert (await home.ask_tcp("POST", message, later, json=body)).status == 202
        monkeypatch.setattr(send, "MOST_WAITING", 0)
        found = problem_of(await home.ask_tcp("POST", message, later, json=body))
        assert (found["status"], found["code"], found["retry_after"]) == (409, "peer_busy", 5)
        ends.set()


def test_every_error_of_a_limit_has_the_time_to_wait() -> None:
    limits = [kind for kind in kinds() if kind.status in (429, 503) and kind.retryable]
    assert {kind.code for kind in limits} >= {code for code in LIMITS if code != "peer_busy"}
    without = [
        kind.code
        for kind in limits
        if kind.retry_after is None and "retry_after" not in signature(kind.__init__).parameters
    ]
    assert without == []
