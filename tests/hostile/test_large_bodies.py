"""A body of 8 MiB of small objects does not delay other clients, whichever member has them."""

from __future__ import annotations

import asyncio
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.served import TOKEN, served
from websockets.sync.client import connect

pytestmark = pytest.mark.anyio

BODY_BYTES = (8 << 20) - 4096
# CPU time: a step takes up to 30 ms, more on a busy core; decoding to generic objects takes a second
LONGEST_SECONDS = 0.25
SESSIONS, PLANS, BULK = "/api/v2/sessions", "/api/v2/plans", "/api/v2/bulk"
MESSAGE, SOCKET = "/api/v2/ai/apollo/message", "/api/ai/socket/create"
SESSION = '{"specialist_id":"apollo",'
TOOL = '{"name":"a","parameters":{"a":[' + ",".join(["{}"] * 20_000) + "]}}"
CALL = '{"jsonrpc":"2.0","id":1,"method":'
START = CALL + '"startSession","params":{"userId":"u","sessionParams":'
PROVIDE = CALL + '"provideToolResult","params":{"sessionId":"s","toolCallId":"c",'
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
    "arguments": ("/api/v2/programs", '{"name":"x","kind":"stdio","cwd":"/","argv":[', '""', "]}", 413),
    "variables": ("/api/v2/environment", '{"variables":{', '"a":"b"', "}}", 422),
    "a result": ("/api/v2/sessions/s/tool-results/c", '{"result":[', '{"a":1}', "]}", 413),
}
FRAMES: dict[str, tuple[str, str, str, str, str]] = {
    "unknown members": ("/ws", CALL + '"echo","params":{"message":1},"x":[', '{"a":1}', "]}", "result"),
    "echo": ("/ws", CALL + '"echo","params":[', '{"a":1}', "]}", "result"),
    "tools": ("/ws", START + '{"tools":[', TOOL, "]}}}", "error"),
    "a result": ("/ws", PROVIDE + '"result":[', "{}", "]}}", "error"),
    "a batch": ("/ws", "[", CALL + '"echo"}', "]", "error"),
    "params": ("/ws/ai/apollo", CALL + '"chat","params":{"message":"hi","x":[', '{"a":1}', "]}}", "result"),
    "a write": ("/ws/socket/rhetor", '{"type":"write","content":"help","x":[', '{"a":1}', "]}", "read"),
}  # fmt: skip


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], float]]:
    """Return the CPU time of the longest step of the event loop so far, in seconds."""
    taken = [0.0]
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        taken.append(time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    yield lambda: max(taken)


def _body(head: str, unit: str, tail: str) -> str:
    return head + ",".join([unit] * ((BODY_BYTES - len(head)) // (len(unit) + 1))) + tail


@pytest.mark.parametrize("what", POSTED)
async def test_a_large_body_blocks_the_event_loop_only_briefly(
    tmp_path: Path, what: str, longest: Callable[[], float]
) -> None:
    path, head, unit, tail, status = POSTED[what]
    method = "PUT" if what == "variables" else "POST"
    async with served(tmp_path) as home:
        content = _body(head, unit, tail).encode()
        assert await asyncio.to_thread(_post, home.socket, method, path, content) == status
    assert longest() < LONGEST_SECONDS


def _post(place: Path, method: str, path: str, content: bytes) -> int:
    with closing(http.client.HTTPConnection("localhost")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(str(place))
        connection.request(method, path, content, {"content-type": "application/json"})
        return connection.getresponse().status


@pytest.mark.parametrize("what", FRAMES)
async def test_a_large_frame_blocks_the_event_loop_only_briefly(
    tmp_path: Path, what: str, longest: Callable[[], float]
) -> None:
    path, head, unit, tail, answer = FRAMES[what]
    async with served(tmp_path) as home:
        content = _body(head, unit, tail)
        assert f'"{answer}"' in (await asyncio.to_thread(_send, home.port, path, content))[:100]
    assert longest() < LONGEST_SECONDS


def _send(port: int, path: str, content: str) -> str:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"ws://127.0.0.1:{port}{path}"
    with connect(url, additional_headers=headers, compression=None, max_size=None) as client:
        client.send(content)
        return str(client.recv(timeout=30))
