"""A body of 8 MiB of small objects does not delay other clients, whichever member has them."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.served import TOKEN, Served, served
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from rhetor.codec.incoming_json import MOST_VALUES
from rhetor.transports.mcp import caller as mcp

pytestmark = pytest.mark.anyio

BODY_BYTES = (8 << 20) - 4096
MCP_BYTES = mcp.BODY_BYTES - 4096
TRIES = 3  # a busy machine makes single steps long
SESSIONS, PLANS, BULK = "/api/v2/sessions", "/api/v2/plans", "/api/v2/bulk"
MESSAGE, SOCKET = "/api/v2/ai/apollo/message", "/api/ai/socket/create"
ENGINE = "/socket.io/?EIO=4&transport="
SESSION = '{"specialist_id":"apollo",'
TOOL = '{"name":"a","parameters":{"a":[' + ",".join(["{}"] * 20_000) + "]}}"
CALL = '{"jsonrpc":"2.0","id":1,"method":'
START = CALL + '"startSession","params":{"userId":"u","sessionParams":'
PROVIDE = CALL + '"provideToolResult","params":{"sessionId":"s","toolCallId":"c",'
TOOL_CALL = CALL + '"tools/call","params":{"name":"list_peers","arguments":{"x":['
SEND = '421["send",{"session_id":"s","content":"hi","x":['
POSTED: dict[str, tuple[str, str, str, str, int]] = {
    "unknown members": (MESSAGE, '{"content":"hi","x":[', '{"a":1}', "]}", 200),
    "unknown empty lists": (MESSAGE, '{"content":"hi","x":[', "[]", "]}", 200),
    "one member many times": (MESSAGE, '{"content":"hi",', '"a":1', "}", 200),
    "a list for a text": (MESSAGE, '{"content":[', '{"a":1}', "]}", 422),
    "metadata": (SESSIONS, SESSION + '"metadata":{"x":[', '{"a":1}', "]}}", 422),
    "many tools": (SESSIONS, SESSION + '"tools":[', '{"name":"a"}', "]}", 422),
    "large tools": (SESSIONS, SESSION + '"tools":[', TOOL, "]}", 422),
    "steps": (PLANS, '{"steps":[', '{"id":"a","ai":"b"}', "]}", 422),
    "dependencies": (BULK, '{"operations":[{"id":"a","ai":"b","depends_on":[', '"a"', "]}]}", 422),
    "context": (SOCKET, '{"ai_name":"apollo","context":[', '{"a":1}', "]}", 422),
    "peers": ("/api/v2/wait", '{"peers":[', '"a"', "]}", 422),
    "variables": ("/api/v2/environment", '{"variables":{', '"a":"b"', "}}", 422),
    "a result": ("/api/v2/sessions/s/tool-results/c", '{"result":[', '{"a":1}', "]}", 413),
}
FRAMES: dict[str, tuple[str, str, str, str, str]] = {
    "unknown members": ("/ws", CALL + '"echo","params":{"message":1},"x":[', '{"a":1}', "]}", "result"),
    "echo": ("/ws", CALL + '"echo","params":[', '{"a":1}', "]}", "result"),
    "tools": ("/ws", START + '{"tools":[', TOOL, "]}}}", "error"),
    "a result": ("/ws", PROVIDE + '"result":[', "{}", "]}}", "error"),
    "a batch": ("/ws", "[", CALL + '"echo"}', "]", "error"),
    "a filter": ("/ws", CALL + '"subscribe","params":{"stream":"s","events":[', '"a"', "]}}", "error"),
    "params": ("/ws/ai/apollo", CALL + '"chat","params":{"message":"hi","x":[', '{"a":1}', "]}}", "result"),
    "a write": ("/ws/socket/rhetor", '{"type":"write","content":"help","x":[', '{"a":1}', "]}", "read"),
}  # fmt: skip
# with more values than a message may have
TOO_MANY: dict[str, tuple[str, str, str, str]] = {
    "a call": ("/ws", CALL + '"echo","params":[', '{"a":1}', "]}"),
    "a call to a peer": ("/ws/ai/apollo", CALL + '"chat","params":{"x":[', '{"a":1}', "]}}"),
    "a write": ("/ws/socket/rhetor", '{"type":"write","x":[', '{"a":1}', "]}"),
    "an event of Socket.IO": (ENGINE + "websocket", SEND, '{"a":1}', "]}]"),
}


class Longest:
    """The CPU time of the longest step of the event loop, in seconds.

    `limit`: twice the CPU time that the decoder takes to skip 8 MiB of small objects. Building objects from
    them takes thirty times as long.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        content = _filled('{"x":[', '{"a":1}', "]}").encode()
        began = time.thread_time()
        msgspec.json.decode(content, type=msgspec.Raw)
        self.limit = 2 * (time.thread_time() - began)

    def note(self, seconds: float) -> None:
        self.seconds = max(self.seconds, seconds)

    async def is_brief(self, work: Callable[[], object], expected: object) -> None:
        """Check that `work`, in a thread, returns this, and that meanwhile each step is brief."""
        for _ in range(TRIES):
            self.seconds = 0.0
            assert await asyncio.to_thread(work) == expected
            if self.seconds < self.limit:
                return
        raise AssertionError(f"a step took {self.seconds:.3f} s, the limit is {self.limit:.3f} s")


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Longest]:
    longest = Longest()
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        longest.note(time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    yield longest


def _filled(head: str, unit: str, tail: str, size: int = BODY_BYTES, most: int = 1 << 30) -> str:
    """Return JSON of this size, with at most so many units, and blanks at its end."""
    units = min((size - len(head) - len(tail)) // (len(unit) + 1), most)
    return (head + ",".join([unit] * units) + tail).ljust(size)


def _allowed(head: str, unit: str, tail: str) -> str:
    """Return JSON of 8 MiB with as many values as a body may have."""
    values = 1 + sum(map(unit.count, ",[{"))
    return _filled(head, unit, tail, most=(MOST_VALUES - 100) // values)


@pytest.mark.parametrize("what", POSTED)
async def test_a_large_body_blocks_the_event_loop_only_briefly(
    tmp_path: Path, what: str, longest: Longest
) -> None:
    path, head, unit, tail, status = POSTED[what]
    method = "PUT" if what == "variables" else "POST"
    async with served(tmp_path) as home:
        content = _allowed(head, unit, tail).encode()
        await longest.is_brief(lambda: _post(home, path, content, method)[0], status)


@pytest.mark.parametrize("unit", ['{"a":1}', "[]", '""', '"\\\\"', '{"é":1}'])
async def test_a_body_with_too_many_values_is_rejected(tmp_path: Path, unit: str, longest: Longest) -> None:
    async with served(tmp_path) as home:
        content = _filled('{"content":"hi","x":[', unit, "]}").encode()[:BODY_BYTES]
        await longest.is_brief(lambda: _post(home, MESSAGE, content), (413, "too_many_values"))


async def test_text_is_no_value_however_it_looks_like_one(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        code = 'if (a[1] == "{,") { b, c, [d]; }\\\n' * 100_000
        content = json.dumps({"content": "hi", "x": code}).encode()
        assert sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES
        assert await asyncio.to_thread(_post, home, MESSAGE, content) == (200, "")


@pytest.mark.parametrize("what", FRAMES)
async def test_a_large_frame_blocks_the_event_loop_only_briefly(
    tmp_path: Path, what: str, longest: Longest
) -> None:
    path, head, unit, tail, answer = FRAMES[what]
    async with served(tmp_path) as home:
        content = _allowed(head, unit, tail)
        await longest.is_brief(lambda: f'"{answer}"' in _send(home, path, content)[:100], True)


async def test_blanks_before_a_call_block_the_event_loop_only_briefly(
    tmp_path: Path, longest: Longest
) -> None:
    async with served(tmp_path) as home:
        content = f'{CALL}"echo"}}'.rjust(BODY_BYTES)
        await longest.is_brief(lambda: '"result"' in _send(home, "/ws", content), True)


@pytest.mark.parametrize("what", TOO_MANY)
async def test_a_message_with_too_many_values_closes_with_1009(
    tmp_path: Path, what: str, longest: Longest
) -> None:
    path, head, unit, tail = TOO_MANY[what]
    async with served(tmp_path) as home:
        content = _filled(head, unit, tail)
        before = ["40"] if path.startswith("/socket.io") else []
        await longest.is_brief(lambda: _ended(home, path, content, before), "1009 too_many_values")


async def test_a_payload_of_socketio_with_too_many_values_is_rejected(
    tmp_path: Path, longest: Longest
) -> None:
    async with served(tmp_path) as home:
        # the text that is never closed is in a packet of its own, and hides nothing
        content = ('3"\x1e' + _filled(SEND, '{"a":1}', "]}]", BODY_BYTES - 3)).encode()
        await longest.is_brief(lambda: _poll(home, content), (413, "too_many_values"))


async def test_ten_thousand_packets_in_a_payload_block_the_event_loop_only_briefly(
    tmp_path: Path, longest: Longest
) -> None:
    async with served(tmp_path) as home:
        pongs = b"\x1e".join([b"3" + b"x" * 500] * 9_999)
        await longest.is_brief(lambda: _poll(home, pongs), (200, ""))
        packet = b"b" + base64.b64encode(bytes(500))  # belongs to no event
        content = b"\x1e".join([b"3"] + [packet] * 9_998)
        await longest.is_brief(lambda: _poll(home, content), (400, "malformed"))


@pytest.mark.parametrize("unit", ['{"a":1}', "[]"])
async def test_a_request_of_mcp_with_too_many_values_is_rejected(
    tmp_path: Path, unit: str, longest: Longest
) -> None:
    async with served(tmp_path) as home:
        await asyncio.to_thread(_post, home, "/mcp", b"{}")  # loads the library
        content = _filled(TOOL_CALL, unit, "]}}}", MCP_BYTES).encode()
        await longest.is_brief(lambda: _post(home, "/mcp", content), (413, "too_many_values"))
        call = _filled(TOOL_CALL, unit, "]}}}", MCP_BYTES, most=mcp.MOST_VALUES // 3)
        await longest.is_brief(lambda: "unknown field" in _send(home, "/ws/mcp", call, [INITIALIZE]), True)
        many = _filled(TOOL_CALL, unit, "]}}}", MCP_BYTES, most=mcp.MOST_VALUES)
        answer = "more than 20000 members"
        await longest.is_brief(lambda: answer in _send(home, "/ws/mcp", many, [INITIALIZE]), True)


CHAIN = [{"id": f"s{n}", "ai": "apollo", "depends_on": [f"s{n - 1}"] if n else []} for n in range(1000)]
CYCLE = [{**step, "depends_on": [f"s{(n + m) % 1000}" for m in range(1, 11)]} for n, step in enumerate(CHAIN)]
LINES = {
    "stages": "apollo | " * 7000 + "apollo",
    "words": "apollo " + "word " * 12_000,
    "a group": "{" + "a|" * 30_000 + "a}",
}


@pytest.mark.parametrize("steps", [CHAIN, CYCLE], ids=["a chain", "a cycle"])
async def test_checking_a_large_plan_blocks_the_event_loop_only_briefly(
    tmp_path: Path, steps: list[dict[str, Any]], longest: Longest
) -> None:
    async with served(tmp_path) as home:
        code = "hop_limit" if steps is CHAIN else "unprocessable"
        content = json.dumps({"steps": steps}).encode()
        await longest.is_brief(lambda: _post(home, PLANS, content), (422, code))


@pytest.mark.parametrize("what", LINES)
async def test_parsing_a_long_line_blocks_the_event_loop_only_briefly(
    tmp_path: Path, what: str, longest: Longest
) -> None:
    async with served(tmp_path) as home:
        content = json.dumps({"line": LINES[what]}).encode()
        await longest.is_brief(lambda: _post(home, PLANS, content)[0] in (200, 422), True)


CLIENT = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
INITIALIZE = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": CLIENT})


@pytest.mark.long
@pytest.mark.parametrize(
    ("opcode", "code"),
    [(Opcode.TEXT, 4501), (Opcode.BINARY, 4501), (Opcode.CONT, 1009), (Opcode.PING, None)],
)
async def test_many_small_frames_block_the_event_loop_only_briefly(
    tmp_path: Path, opcode: Opcode, code: int | None, longest: Longest
) -> None:
    frames = Frame(opcode, b"", fin=opcode is not Opcode.CONT).serialize(mask=True) * 50_000
    if opcode is Opcode.CONT:
        frames = Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True) + frames
    async with served(tmp_path) as home:
        ends = ('{"jsonrpc":"2.0","id":1,"result":null}', str(code), "lost")
        await longest.is_brief(lambda: _flooded(home, frames) in ends, True)


def _post(home: Served, path: str, content: bytes, method: str = "POST") -> tuple[int, str]:
    """Return the status and the code of the answer."""
    with closing(http.client.HTTPConnection("localhost")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(str(home.socket))
        accepts = "application/json, text/event-stream"
        connection.request(method, path, content, {"content-type": "application/json", "accept": accepts})
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body).get("code", "") if body.startswith(b"{") else ""


def _poll(home: Served, payload: bytes) -> tuple[int, str]:
    """Post a payload to a new session of Socket.IO."""

    def request(method: str, query: str, body: bytes | None = None) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", home.port, timeout=30)) as connection:
            connection.request(method, ENGINE + query, body, {"authorization": f"Bearer {TOKEN}"})
            response = connection.getresponse()
            return response.status, response.read()

    sid = json.loads(request("GET", "polling")[1][1:])["sid"]
    session = f"polling&sid={sid}"
    assert request("POST", session, b"40")[0] == request("GET", session)[0] == 200
    status, body = request("POST", session, payload)
    return status, json.loads(body)["code"] if status != 200 else ""


@contextmanager
def _client(home: Served, path: str) -> Iterator[ClientConnection]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"ws://127.0.0.1:{home.port}{path}"
    with connect(url, additional_headers=headers, compression=None, max_size=None) as client:
        yield client


def _send(home: Served, path: str, content: str, before: Sequence[str] = ()) -> str:
    """Send messages, and return the answer to the last one."""
    with _client(home, path) as client:
        for each in (*before, content):
            client.send(each)
            answer = str(client.recv(timeout=30))
        return answer


def _ended(home: Served, path: str, content: str, before: Sequence[str] = ()) -> str:
    """Send messages, and return how the hub closes the connection."""
    with _client(home, path) as client:
        try:
            for each in (*before, content):
                client.send(each)
            while True:
                client.recv(timeout=30)
        except ConnectionClosed as closed:
            return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd is not None else "lost"


def _flooded(home: Served, frames: bytes) -> str:
    """Send frames and a call at once. Return the answer to the call, or the code of a close frame."""
    call = Frame(Opcode.TEXT, f'{CALL}"echo"}}'.encode()).serialize(mask=True)
    with _client(home, "/ws") as client:
        try:
            client.socket.sendall(frames + call)
            while '"result"' not in (answer := str(client.recv(timeout=30))):
                pass
            return answer
        except (ConnectionClosed, OSError) as error:
            closed = error.rcvd if isinstance(error, ConnectionClosed) else None
            return str(closed.code) if closed is not None else "lost"
