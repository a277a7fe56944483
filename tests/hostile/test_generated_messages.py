"""Generated messages on WebSockets and Socket.IO: each gets a result or a typed error, or closes the
connection with a documented code, and the hub goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.hostile.running import RunningHub
from tests.scale import scaled
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.long

SECONDS = 60.0
PATH = {"loop": "/ws", "peer": "/ws/ai/apollo", "socket.io": "/socket.io/?EIO=4&transport=websocket"}
# the members of the params of each call, and of the body of each event
CALLS = {
    "loop": {
        "startSession": ("userId", "sessionParams", "command_id"),
        "sendMessage": ("sessionId", "message", "execute", "delimiter", "if_busy", "command_id", "from"),
        "provideToolResult": ("sessionId", "toolCallId", "result", "command_id"),
        "pauseSession": ("sessionId",),
        "resumeSession": ("sessionId", "cursor"),
        "stopSession": ("sessionId",),
        "echo": ("message",),
        "subscribe": ("stream", "subscription", "cursor", "events"),
        "unsubscribe": ("subscription",),
        "watchPermissions": ("subscription",),
        "watchActivity": ("subscription", "place"),
        "watchPeers": ("subscription",),
        "watchSessions": ("subscription", "states"),
        "nothing": ("sessionId",),
    },
    "peer": {
        "chat": ("message", "session_id", "context_window", "execute", "delimiter", "command_id", "from"),
        "stream": ("message", "session_id", "context_window", "execute", "if_busy", "command_id"),
        "subscribe": ("session_id", "cursor", "events"),
        "nothing": ("message",),
    },
    "socket.io": {
        "subscribe": ("session_id", "cursor", "events"),
        "unsubscribe": ("session_id",),
        "send": ("session_id", "content", "execute", "delimiter", "if_busy", "command_id", "from"),
        "permission": ("session_id", "request_id", "option_id", "answers", "command_id"),
        "nothing": ("session_id",),
    },
}
IDS = {"sessionId", "session_id", "stream"}
# The protocol was violated; text is not UTF-8; a message is too large; ten messages were invalid. A client of
# Engine.IO can also ask for the end.
CLOSES = {1002, 1007, 1009, 4501}
ENGINE_CLOSES = {1000, *CLOSES}

TEXTS = st.text(max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(SCALARS, lambda of: st.lists(of, max_size=4) | st.dictionaries(TEXTS, of, max_size=4))
# values that some member accepts
KNOWN = st.sampled_from(
    ["apollo", "queue", "hub", f"{'0' * 32}:1", ["turn.*"], {"peer": "athena"}, {"tools": [{"name": "a"}]}]
)
Call = tuple[str, Any]


def calls(api: str, session: str) -> st.SearchStrategy[Call]:
    """Calls with valid and invalid members, and sometimes with params of any kind."""

    def of(name: str) -> st.SearchStrategy[Call]:
        members = {
            member: st.just(session) | KNOWN | JSON if member in IDS else KNOWN | JSON
            for member in CALLS[api][name]
        }
        return st.tuples(st.just(name), st.fixed_dictionaries({}, optional=members) | JSON)

    return st.sampled_from(sorted(CALLS[api])).flatmap(of)


@pytest.mark.parametrize("api", CALLS)
def test_every_call_gets_a_result_or_a_typed_error(hub: RunningHub, api: str) -> None:
    session = hub.ask("POST", "/api/v2/sessions", json={"specialist_id": "apollo"}).json()["id"]

    @generated(scaled(500, 30))
    @given(call=calls(api, session))
    def send(call: Call) -> None:
        with opened(hub, api) as socket:
            check_answer(api, answer(api, socket, *call))
            probe(api, socket)

    send()
    assert hub.ask("GET", "/healthz").status_code == 200


@pytest.mark.parametrize("api", CALLS)
def test_any_message_leaves_the_connection_open_or_closes_it_with_a_documented_code(
    hub: RunningHub, api: str
) -> None:
    texts = TEXTS | JSON.map(json.dumps) | TEXTS.map(lambda text: "42" + text)

    @generated(scaled(300, 20))
    @given(messages=st.lists(texts | st.binary(max_size=20), min_size=1, max_size=12))
    def send(messages: list[str | bytes]) -> None:
        with opened(hub, api) as socket:
            try:
                for message in messages:
                    socket.send(message)
                probe(api, socket)
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                assert closed.rcvd.code in (ENGINE_CLOSES if api == "socket.io" else CLOSES), closed

    send()
    assert hub.ask("GET", "/healthz").status_code == 200


def generated(examples: int) -> Callable[[Any], Any]:
    """Return the settings of a test. Failures are not shrunk, because each try would wait for an answer."""
    health = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=examples,
        phases=[Phase.generate],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=health,
    )


@contextmanager
def opened(hub: RunningHub, api: str) -> Iterator[ClientConnection]:
    headers = {"Authorization": str(hub.session.headers["authorization"])}
    url = hub.url.replace("http", "ws", 1) + PATH[api]
    with connect(url, additional_headers=headers, proxy=None, max_size=None) as socket:
        if api == "socket.io":
            assert text(socket).startswith("0{")
            socket.send("40")
            assert text(socket).startswith("40{")
        yield socket


def answer(api: str, socket: ClientConnection, name: str, params: Any) -> Any:
    """Make a call; return its reply or acknowledgement. Frames that arrive before it are skipped."""
    if api == "socket.io":
        socket.send("42777" + json.dumps([name, params]))
        while not (packet := text(socket)).startswith("43777"):
            pass
        return json.loads(packet[5:])[0]
    socket.send(json.dumps({"jsonrpc": "2.0", "id": "own", "method": name, "params": params}))
    while True:
        frame = json.loads(text(socket))
        if isinstance(frame, dict) and frame.get("id") == "own":
            return frame


def check_answer(api: str, found: dict[str, Any]) -> None:
    """Assert that an answer is a result, or an error that the hub foresees."""
    problem = found if api == "socket.io" else found.get("error", {}).get("data")
    if api != "socket.io":
        assert ("result" in found) != ("error" in found), found
    if problem is not None and "code" in problem:
        assert problem["code"] != "internal", found
        assert {"detail", "retryable"} <= set(problem), found
    if "error" in found and api != "socket.io":
        assert found["error"]["code"] != -32603, found


def probe(api: str, socket: ClientConnection) -> None:
    """Assert that a call that the hub does not know is answered."""
    unknown = answer(api, socket, "nothing", {})
    assert "unknown" in (unknown if api == "socket.io" else unknown["error"]["data"])["detail"], unknown


def text(socket: ClientConnection) -> str:
    """Return the next text; answers pings of Engine.IO."""
    while (message := socket.recv(SECONDS)) == "2":
        socket.send("3")
    assert isinstance(message, str)
    return message
