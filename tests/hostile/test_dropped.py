"""Many clients drop their connections to a hub: nothing of them remains in its process."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.home import SECONDS
from tests.hostile.running import RunningHub, running_hub
from tests.scale import scaled

pytestmark = pytest.mark.long

DROPPED = scaled(100, 30)
APIS = ("sse", "/ws", "/ws/ai/apollo", "/ws/attach/shown")
SETTINGS = {
    "RHETOR_TOOLS": '{"shown": {"executable": "cat", "cwd": "/", "on_exit": "reap"}}',
    "RHETOR_SESSION__DETACH_TTL": "0.1",
}
LEVELS = ("rhetor_tasks", "rhetor_followers", "rhetor_turns_running")
STORE_DESCRIPTORS = 10  # the store opens its readers when it first needs them
REST_SECONDS = 1.0  # longer than any work for a disconnected client
PeerStats = dict[str, float]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: unread data is discarded, and the connection is reset


@pytest.fixture
def home(tmp_path: Path) -> Iterator[RunningHub]:
    with running_hub(tmp_path / "home", SETTINGS) as hub:
        assert hub.ask("POST", "/api/v2/tools/shown/launch", json={}).status_code == 200
        try:
            yield hub
        finally:
            hub.ask("POST", "/api/v2/tools/shown/terminate")


def test_many_dropped_connections_leave_no_tasks_descriptors_or_memory(home: RunningHub) -> None:
    for api in APIS:  # modules that are imported on first use stay loaded
        _drop(home, api)
    before = _at_rest(home)
    for n in range(DROPPED):
        _drop(home, APIS[n % len(APIS)])
    after = _at_rest(home, before)
    assert {name: after[name] for name in LEVELS} == {name: before[name] for name in LEVELS}
    assert after["process_open_fds"] <= before["process_open_fds"] + STORE_DESCRIPTORS
    memory = [level["process_resident_memory_bytes"] / (1 << 20) for level in (before, after)]
    print(f"resident: {memory[0]:.1f} MiB, {memory[1]:.1f} MiB after {DROPPED} dropped")  # noqa: T201


def _drop(home: RunningHub, api: str) -> None:
    """Start a request over this API, and reset the connection after the first output."""
    place = urlsplit(home.url)
    with socket.create_connection((place.hostname or "", place.port or 0), SECONDS) as connection:
        connection.sendall(_request(home, api, place.netloc))
        begun = connection.recv(1 << 16)
        assert begun.split(b" ")[1] in (b"200", b"101"), begun
        if api != "sse":
            connection.sendall(_call(api))
            shown = begun.partition(b"\r\n\r\n")[2]  # of a screen, which may come with the head
            assert shown or connection.recv(1 << 16)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _request(home: RunningHub, api: str, host: str) -> bytes:
    head = [f"Host: {host}", f"Authorization: {home.session.headers['authorization']!s}"]
    if api == "sse":
        body = b'{"content": "hi", "context_window": 1}'
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(["POST /api/v2/ai/apollo/stream HTTP/1.1", *head, "", ""]).encode() + body
    head += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    head += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    return "\r\n".join([f"GET {api} HTTP/1.1", *head, "", ""]).encode()


def _call(api: str) -> bytes:
    said = {
        "/ws": b'{"jsonrpc":"2.0","id":1,"method":"startSession","params":{"userId":"ann"}}',
        "/ws/ai/apollo": b'{"jsonrpc":"2.0","id":1,"method":"stream","params":{"message":"hi"}}',
        "/ws/attach/shown": b'{"type":"size","rows":24,"cols":80}',
    }[api]
    return bytes([0x81, 0x80 | len(said)]) + bytes(4) + said


def _at_rest(home: RunningHub, wanted: PeerStats | None = None) -> PeerStats:
    """Wait until the hub is idle, or its metrics have the `wanted` values; return them."""
    deadline = time.monotonic() + SECONDS
    last: PeerStats = {}
    while time.monotonic() < deadline:
        now = _figures(home)
        level = wanted or last
        if not now["rhetor_connections_open"] and level and all(now[name] == level[name] for name in LEVELS):
            break
        last = now
        time.sleep(REST_SECONDS)
    return now


def _figures(home: RunningHub) -> PeerStats:
    """Return the sum of the samples of each metric."""
    found: PeerStats = {}
    for family in text_string_to_metric_families(home.ask("GET", "/metrics").text):
        found[family.name] = sum(sample.value for sample in family.samples)
    return found
