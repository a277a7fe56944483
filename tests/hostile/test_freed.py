"""The memory of a request or a frame is freed with its answer, without a garbage collection."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from tests.e2e.home import SECONDS
from tests.hostile.raw import MESSAGE, PROMPT_SECONDS, replies, request
from tests.hostile.running import RunningHub
from tests.rhetor.hub.refusing import RefusingStore, refusals
from tests.scale import scaled
from tests.served import Served, served

BODY = scaled(4_000_000, 1_200_000)  # larger than a message or a result can be
TIMES = scaled(5, 3)
KEPT = 500_000  # smaller than any of the bodies
TEXT = "y" * BODY
FITS = "y" * 1_000_000
WRITE = json.dumps({"type": "write", "content": TEXT})
GROWTH = 20 << 20


async def post(home: Served, path: str, body: Any, status: int, method: str = "POST") -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    (reply,) = await replies(home, request(method, path, data))
    assert reply.status == status, reply


async def refused_by_the_store(home: Served) -> None:
    store = home.hub.state.store
    assert isinstance(store, RefusingStore)
    store.faults["commit"] = refusals(1)
    await post(home, MESSAGE, {"content": FITS}, 503)


async def without_token(home: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
    head = f"POST {MESSAGE} HTTP/1.1\r\nHost: 127.0.0.1:{home.port}\r\nContent-Length: {BODY}\r\n\r\n"
    writer.write(head.encode() + b"y" * BODY)
    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def cut_in_the_body(home: Served) -> None:
    _, writer = await asyncio.open_unix_connection(str(home.socket))
    head = f"POST {MESSAGE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: 5000000\r\n\r\n" + b"y" * BODY)
    await writer.drain()
    writer.transport.abort()


async def frame(home: Served, path: str, text: str | bytes, count: int = 1) -> None:
    async with home.local.ws_connect(f"http://localhost{path}", max_msg_size=0) as socket:
        for _ in range(count):
            await (socket.send_str(text) if isinstance(text, str) else socket.send_bytes(text))
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return


def call(method: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


KINDS: dict[str, Callable[[Served], Awaitable[None]]] = {
    "too large a message": lambda home: post(home, MESSAGE, {"content": TEXT}, 413),
    "of a wrong type": lambda home: post(home, MESSAGE, {"content": [TEXT]}, 422),
    "no JSON": lambda home: post(home, MESSAGE, TEXT.encode(), 400),
    "an unknown peer": lambda home: post(home, "/api/v2/ai/nobody/message", {"content": FITS}, 404),
    "an unknown session": lambda home: post(home, "/api/v2/sessions/none/message", {"message": FITS}, 404),
    "an unknown path": lambda home: post(home, "/nowhere", {"content": TEXT}, 404),
    "a wrong plan": lambda home: post(home, "/api/v2/plans", {"line": "(", "input": FITS}, 422),
    "bulk": lambda home: post(home, "/api/v2/bulk", {"operations": [{"id": TEXT, "ai": "b"}]}, 422),
    "an answered one": lambda home: post(home, MESSAGE, {"content": "hi", "more": TEXT}, 200),
    "a wrong answer": lambda home: post(home, "/api/v2/sessions/s/tool-results/c", {"result": TEXT}, 413),
    "a result of none": lambda home: post(home, "/api/v2/sessions/s/tool-results/c", {"result": FITS}, 404),
    "a name that is taken": lambda home: post(
        home, "/api/ai/socket/groups", {"name": "all", "members": ["apollo"], "more": TEXT}, 409
    ),
    "refused by the store": refused_by_the_store,
    "without a token": without_token,
    "cut in the body": cut_in_the_body,
    "a call": lambda home: frame(home, "/ws", call("echo", message=TEXT)),
    "an unknown call": lambda home: frame(home, "/ws", call("nothing", message=TEXT)),
    "a wrong call": lambda home: frame(home, "/ws", call("sendMessage", message=TEXT), 3),
    "no call": lambda home: frame(home, "/ws", TEXT, 20),
    "bytes": lambda home: frame(home, "/ws", TEXT.encode(), 20),
    "too large a frame": lambda home: frame(home, "/ws", "y" * 9_000_000),
    "a chat": lambda home: frame(home, "/ws/ai/apollo", call("chat", message=TEXT), 3),
    "a write": lambda home: frame(home, "/ws/socket/rhetor", WRITE, 3),
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # like the hub


@pytest.fixture
def uncollected() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        gc.enable()
        tracemalloc.stop()


@pytest.mark.long
@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_the_memory_of_a_body_is_freed_with_its_answer(
    tmp_path: Path, kind: str, uncollected: None
) -> None:
    store = RefusingStore()
    async with served(tmp_path, store=store) as home:
        await KINDS[kind](home)
        gc.collect()
        gc.disable()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(TIMES):
            await KINDS[kind](home)
        await settled(home)
        after, _ = tracemalloc.get_traced_memory()
    assert after - before < KEPT


async def settled(home: Served) -> None:
    """Wait until only the clients' kept connections are open, and all handlers have ended."""
    async with asyncio.timeout(PROMPT_SECONDS):
        while len(home.server.server_state.connections) > 1 or home.server.server_state.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.02)


@pytest.mark.long
def test_a_flood_does_not_increase_the_memory_of_the_hub(hub: RunningHub) -> None:
    def flood(number: int) -> int:
        headers = {**hub.session.headers, "content-type": "application/json"}
        url, body = f"{hub.url}{MESSAGE}", FLOOD[number % len(FLOOD)]
        return requests.post(url, body, headers=headers, timeout=SECONDS).status_code

    before = resident(hub)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(flood, range(scaled(160, 16)))) == {413, 422}
    deadline = time.monotonic() + 60
    while resident(hub) > before + GROWTH:
        assert time.monotonic() < deadline, (before, resident(hub))
        time.sleep(0.1)


FLOOD = (
    json.dumps({"content": "y" * 7_500_000}).encode(),
    (b'{"content":[' + b",".join([b'{"a":1}'] * 280_000) + b"]}").ljust(7_200_000),
)


def resident(hub: RunningHub) -> int:
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10
