"""What all WebSockets share: rejected frames, limits, and which connections are closed with which code."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.calling import Caller, calling, calling_tcp
from tests.scale import scaled
from tests.served import TOKEN, Served, served
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from rhetor.dialects.interactive import LoopView
from rhetor.dialects.peer_socket import TurnView
from rhetor.domain.event import Payload, SessionStateChanged
from rhetor.domain.output import Done, Text
from rhetor.errors import RhetorError
from rhetor.hub.core.limits import Limits
from rhetor.transports.server.rates import Rates
from rhetor.transports.server.websocket_protocol import SocketProtocol
from rhetor.transports.websocket import connection
from rhetor.transports.websocket.connection import SocketConnection

pytestmark = pytest.mark.anyio
LIMITS = Limits(default_peer="apollo")
EXPIRED = SessionStateChanged("expired")  # of a session that was opened for one message
BOTH = pytest.mark.parametrize("path", ["/ws", "/ws/ai/apollo"])

HOSTILE = [
    "nonsense",
    "[" * 100_000,
    '{"jsonrpc":"2.0","method":"echo","params":[01],"id":1}',
    '{"jsonrpc":"2.0","method":"echo","params":[NaN],"id":1}',
    '{"jsonrpc":"2.0","method":"echo","params":["\\ud800"],"id":1}',
    b'{"jsonrpc":"2.0","method":"echo","params":[],"id":1}',
    "[]",
    '{"jsonrpc":"2.0","method":7,"id":1}',
    '{"jsonrpc":"2.0","method":"echo","params":7,"id":1}',
]


@asynccontextmanager
async def opened(folder: Path, path: str = "/ws", *scripts: Any) -> AsyncIterator[tuple[Served, Caller]]:
    async with served(folder, *scripts, limits=LIMITS) as home, calling(home, path) as caller:
        yield home, caller


def is_stop(payload: Payload) -> bool:
    return payload == SessionStateChanged("stopped")


async def started(caller: Caller) -> str:
    return await caller.started()


@BOTH
async def test_an_invalid_frame_is_answered_with_an_error_and_the_tenth_closes(
    tmp_path: Path, path: str
) -> None:
    async with opened(tmp_path, path) as (_, caller):
        for frame in HOSTILE:
            await caller.send(frame)
            reply = await caller.read()
            assert reply["error"]["code"] in (-32700, -32600)
            assert await caller.code("no.such.method") == -32601
        await caller.send("nonsense")
        assert await caller.closed() == (4501, "too_many_invalid")
        assert caller.all[-1]["error"] == {
            "code": -32700,
            "message": "Parse error",
            "data": caller.all[-1]["error"]["data"],
        }


@BOTH
async def test_every_error_has_a_code_a_detail_and_retryable(tmp_path: Path, path: str) -> None:
    async with opened(tmp_path, path) as (_, caller):
        calls: list[Any] = [
            "nonsense",
            {"jsonrpc": "2.0", "id": 1},
            {"jsonrpc": "2.0", "id": 1, "method": "no"},
        ]
        for call, code in zip(calls, ("malformed", "malformed", "not_found"), strict=True):
            await caller.send(call)
            data = (await caller.read())["error"]["data"]
            assert (data["code"], data["retryable"], bool(data["detail"])) == (code, False, True)
        method = "startSession" if path == "/ws" else "chat"
        for params in (
            {},
            {"userId": 7, "message": 7},
            {"userId": "a\nb", "message": "x", "from": "a\nb"},
        ):
            data = (await caller.ask(method, params))["error"]["data"]
            assert (data["code"], data["retryable"]) == ("unprocessable", False)
            assert "regex" not in data["detail"]


@BOTH
async def test_a_notification_never_gets_a_reply(tmp_path: Path, path: str) -> None:
    async with opened(tmp_path, path) as (_, caller):
        for method in ("echo", "chat", "no.such.method", "stopSession"):
            await caller.send({"jsonrpc": "2.0", "method": method, "params": {}})
        await caller.send([{"jsonrpc": "2.0", "method": "echo"}])
        assert await caller.code("no.such.method") == -32601
        assert len(caller.all) == 1


async def test_a_batch_is_answered_as_one_array(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, caller):
        session = await started(caller)
        calls = [
            {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]},
            {"jsonrpc": "2.0", "method": "echo"},
            7,
            {
                "jsonrpc": "2.0",
                "id": "b",
                "method": "sendUserMessage",
                "params": {"sessionId": session, "message": "hi"},
            },
            {"jsonrpc": "2.0", "id": 3, "method": "nothing"},
        ]
        await caller.send(calls)
        replies = await caller.read()
        assert [reply["id"] for reply in replies] == [1, None, "b", 3]
        assert [reply.get("error", {}).get("code") for reply in replies] == [None, -32600, None, -32601]
        assert (await caller.final())[-1]["isFinal"]


@BOTH
async def test_the_examples_of_the_standard_are_answered_on_each_api(tmp_path: Path, path: str) -> None:
    fixtures = Path(__file__).parents[2] / "codec" / "fixtures" / "jsonrpc_examples.json"
    examples = json.loads(fixtures.read_text())
    async with opened(tmp_path, path) as (_, caller):
        for example in examples:
            await caller.send(example["sent"])
            if example["answered"] is not None:
                answered = await caller.read()
                replies = answered if isinstance(answered, list) else [answered]
                expected = example["answered"]
                wanted = expected if isinstance(expected, list) else [expected]
                assert isinstance(answered, list) == isinstance(expected, list)
                assert [reply["id"] for reply in replies] == [reply["id"] for reply in wanted]
                codes = [reply["error"]["code"] for reply in replies]
                # the methods of the examples do not exist here
                assert codes == [reply.get("error", {"code": -32601})["code"] for reply in wanted]
        assert await caller.code("no.such.method") == -32601


async def test_the_number_of_concurrent_tasks_of_a_connection_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_TASKS", 2)
    async with opened(tmp_path) as (home, caller):
        first, _ = await started(caller), await started(caller)
        refused = await caller.ask("startSession", userId="ann")
        assert (refused["error"]["code"], refused["error"]["data"]["code"]) == (-32003, "too_many_at_once")
        assert len(await home.hub.state.store.find("session")) == 2
        await caller.result("stopSession", sessionId=first)
        await caller.until(lambda frame: frame["params"].get("status") == 2)
        for _ in range(5):
            assert await caller.result("echo", message=1) == 1  # the follower of the stopped session ends
        await started(caller)


async def test_a_frame_above_16_mib_is_1009(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, caller):
        with pytest.raises(ConnectionClosed) as closed:
            await caller.send("x" * (17 << 20))
            await caller.closed()
            raise ConnectionClosed(caller.socket.protocol.close_rcvd, None)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("letter", ["x", "é", "€"])
async def test_a_text_above_8_mib_is_1009(tmp_path: Path, letter: str) -> None:
    async with opened(tmp_path) as (_, caller):
        await caller.send('"' + letter * ((8 << 20) // len(letter.encode()) + 1) + '"')
        assert await caller.closed() == (1009, "too_large")


async def test_invalid_utf_8_is_1007_and_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path) as (home, caller):
        caller.socket.transport.write(Frame(Opcode.TEXT, b'"\xc3\x28"').serialize(mask=True))
        assert (await caller.closed())[0] == 1007
        assert home.node.tally.closed == {("ws", "malformed"): 1}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_message_in_too_many_fragments_is_1009(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, caller):
        empty = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True)
        first = Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True)
        caller.socket.transport.write(first + empty * (1 << 14))
        assert (await caller.closed())[0] == 1009


async def test_a_client_that_exceeds_the_rate_over_tcp_is_closed_with_4013(tmp_path: Path) -> None:
    async with served(tmp_path, limits=LIMITS) as home:
        home.node.rates = Rates(per_second=0.001, burst=20)
        async with calling_tcp(home, "/ws") as caller:
            for n in range(20):
                assert await caller.result("echo", message=n) == n
            await caller.send({"jsonrpc": "2.0", "id": 1, "method": "echo"})
            assert await caller.closed() == (4013, "rate_exceeded")
        async with calling_tcp(home, "/ws") as again:
            await again.send([{"jsonrpc": "2.0", "method": "echo"}] * 2)
            assert (await again.closed())[0] == 4013
        async with calling(home, "/ws") as owner:
            for n in range(50):
                assert await owner.result("echo", message=n) == n
        async with calling_tcp(home, "/ws/ai/apollo") as other_api:
            assert (await other_api.result("chat", message="hi"))["response"] == "apollo heard: hi"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ws", {}, 401),
        ("/ws/ai/apollo", {"Authorization": f"Bearer {'0' * 64}"}, 401),
        ("/ws/ai/nobody", {"Authorization": f"Bearer {TOKEN}"}, 404),
        ("/ws/ai/@nothing", {"Authorization": f"Bearer {TOKEN}"}, 404),
        ("/ws", {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil"}, 403),
    ],
)
async def test_a_rejected_upgrade_is_answered_with_a_problem(
    tmp_path: Path, path: str, headers: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, limits=LIMITS) as home:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://127.0.0.1:{home.port}{path}", additional_headers=headers):
                pass
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["content-type"] == "application/problem+json"


@pytest.mark.long
async def test_a_client_that_reads_nothing_is_closed_and_delays_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALL_SECONDS", 3.0)
    monkeypatch.setattr(SocketProtocol, "linger_seconds", 120.0)
    closed = _close_event(monkeypatch)
    texts = [f"{n:08d}" + "x" * 50_000 for n in range(scaled(400, 200))]
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(served(tmp_path, [*map(Text, texts), Done()], limits=LIMITS))
        speaker, stopped, *others = [
            await stack.enter_async_context(calling(home, "/ws", ping_interval=None)) for _ in range(8)
        ]
        session = await started(speaker)
        for caller in (stopped, *others):
            assert (await caller.result("resumeSession", sessionId=session))["outcome"] == "ok"
        await speaker.result("sendUserMessage", sessionId=session, message="hi")
        # while the stalled client is still connected
        for chunks in await asyncio.gather(*(caller.final() for caller in (speaker, *others))):
            assert "".join(chunk["chunk"] for chunk in chunks) == "".join(texts)
        await closed.wait()
        assert await stopped.closed() == (4008, "too_slow")
        seen = stopped.chunks()
        assert len(seen) < len(others[0].chunks())
        cursor = f"{seen[-1]['epoch']}:{seen[-1]['seq']}"
        async with calling(home, "/ws") as again:
            await again.result("resumeSession", sessionId=session, cursor=cursor)
            rest = await again.final()
        assert "".join(chunk["chunk"] for chunk in (*seen, *rest)) == "".join(texts)


def _close_event(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return an event that is set when the hub closes a connection with an error."""
    closed, end = asyncio.Event(), SocketConnection.end

    def told(connection: SocketConnection, error: RhetorError) -> None:
        end(connection, error)
        closed.set()

    monkeypatch.setattr(SocketConnection, "end", told)
    return closed


def _alive(*kinds: type) -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, kinds)]


async def test_a_client_that_does_not_answer_pings_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SocketProtocol, "ping_seconds", 0.05)
    monkeypatch.setattr(SocketProtocol, "pong_seconds", 0.05)
    monkeypatch.setattr(SocketProtocol, "linger_seconds", 0.05)
    limits = Limits(default_peer="apollo", detach_ttl=0.01)
    async with served(tmp_path, limits=limits) as home, calling(home, "/ws") as caller:
        session = await started(caller)
        caller.socket.transport.pause_reading()  # like a client behind a pulled cable
        await home.seen(session, is_stop)
        caller.socket.transport.resume_reading()
        assert (await caller.closed())[0] == 1011


@pytest.mark.long
async def test_many_dropped_connections_leave_nothing_behind(tmp_path: Path) -> None:
    limits = Limits(default_peer="apollo", detach_ttl=0.01)
    async with served(tmp_path, limits=limits) as home:
        await home.ask("GET", "/healthz")
        before = {task.get_name() for task in asyncio.all_tasks()}
        dropped = [await _dropped(home, "/ws" if n % 2 else "/ws/ai/apollo") for n in range(100)]
        for session in dropped:
            await home.seen(session, lambda payload: payload in (SessionStateChanged("stopped"), EXPIRED))
        for _ in range(10):
            await asyncio.sleep(0)  # let the tasks that this has woken finish
        assert {task.get_name() for task in asyncio.all_tasks()} - before == set()
        assert _alive(SocketConnection, SocketProtocol, LoopView, TurnView) == []
        state = home.hub.state
        assert (state.runners, state.pending, state.leases._count) == ({}, {}, {})
        assert (state.leases._timers, state.presence._occupancy._count) == ({}, {})


async def _dropped(home: Served, path: str) -> str:
    """Cut a connection in the middle of its answer; return its session."""
    async with calling(home, path) as caller:
        if path == "/ws":
            session = await started(caller)
            await caller.result("sendUserMessage", sessionId=session, message="hi")
        else:
            session = (await caller.result("stream", message="hi"))["session_id"]
        await caller.until(lambda frame: True)
        caller.socket.transport.abort()
        return session


async def test_a_shutdown_closes_connections_with_1012(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(served(tmp_path, [asyncio.Event()], limits=LIMITS))
        idle = await stack.enter_async_context(calling(home, "/ws"))
        busy = await stack.enter_async_context(calling(home, "/ws"))
        session = await started(busy)
        await busy.result("sendUserMessage", sessionId=session, message="hi")
        await home.hub.aclose()
        assert [chunk["isFinal"] for chunk in await busy.final()] == [True]
        assert await busy.closed() == (1012, "shutting_down")
        assert busy.statuses() == [(3, "interrupted")]
        assert await idle.result("echo", message="until the server goes") == "until the server goes"
