"""The shell's WebSocket client: frames in any pieces, tested against the `websockets` package."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.sync.server import ServerConnection, unix_serve

from aish import exits
from aish.client.hub import Hub
from aish.client.websocket import WebSocket, open_websocket
from aish.client.websocket_frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    MAX_MESSAGE_BYTES,
    PING,
    PONG,
    TEXT,
    Closed,
    Incoming,
    frame,
    parse_close,
)
from aish.exits import Failure
from tests.aish.scripted import TIMEOUT, ScriptedHub, problem

SIZES = (0, 1, 3, 125, 126, 127, 65535, 65536, 1_000_003)


def sent_by_server(kind: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(kind), payload, fin).serialize(mask=False)


def heard(*pieces: bytes, limit: int = MAX_MESSAGE_BYTES) -> tuple[list[tuple[int, bytes]], int | None]:
    """Return the messages in these pieces, and the close code if reading ended."""
    incoming = Incoming(limit)
    messages: list[tuple[int, bytes]] = []
    for piece in pieces:
        incoming.feed(piece)
        try:
            while (message := incoming.next()) is not None:
                messages.append(message)
        except Closed as closed:
            return messages, closed.code
    return messages, None


STREAM = (
    sent_by_server(TEXT, '{"type":"é"}'.encode())
    + sent_by_server(BINARY, b"begin ", fin=False)
    + sent_by_server(PING, b"p")
    + sent_by_server(0, b"x" * 200, fin=False)
    + sent_by_server(0, b" end")
    + sent_by_server(BINARY, bytes(70_000))
    + sent_by_server(CLOSE, b"\x03\xe8bye")
)
MESSAGES = [
    (TEXT, '{"type":"é"}'.encode()),
    (PING, b"p"),
    (BINARY, b"begin " + b"x" * 200 + b" end"),
    (BINARY, bytes(70_000)),
    (CLOSE, b"\x03\xe8bye"),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_chunking_gives_the_same_messages(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in itertools.pairwise(edges)]
    assert heard(*pieces) == (MESSAGES, None)


@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_any_bytes_give_messages_or_a_close_in_any_chunking(data: bytes, cut: int) -> None:
    assert heard(data) == heard(data[:cut], data[cut:])


@pytest.mark.parametrize("size", SIZES)
def test_a_server_reads_what_the_client_writes(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    data = frame(BINARY, payload[:size], b"\x01\xa2\xff\x7f")
    assert data == Frame(Opcode.BINARY, payload[:size]).serialize(mask=False)[:1] + data[1:]
    assert unmasked(data) == payload[:size]


def unmasked(data: bytes) -> bytes:
    """Remove the mask byte by byte."""
    assert data[1] & 0x80
    begin = {126: 4, 127: 10}.get(data[1] & 0x7F, 2)
    mask, masked = data[begin : begin + 4], data[begin + 4 :]
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1\x00", 1002),  # an extension that was not negotiated
        (b"\x83\x00", 1002),  # an unknown opcode
        (b"\x81\x80\0\0\0\0", 1002),  # masked
        (b"\x89\x7e\x00\x80" + bytes(128), 1002),  # an oversized ping
        (b"\x09\x00", 1002),  # a fragmented ping
        (b"\x80\x00", 1002),  # a continuation without a first frame
        (b"\x01\x00\x81\x00", 1002),  # a message within a message
        (b"\x82\x7e\x00\x7d", 1002),  # a length that is not encoded minimally
        (b"\x82\x7f\x80" + bytes(7), 1002),
        (b"\x81\x02\xc3\x28", 1007),
        (b"\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x01", 1009),
    ],
)
def test_an_invalid_frame_closes_the_connection(data: bytes, code: int) -> None:
    before = sent_by_server(BINARY, b"kept")
    assert heard(before + data) == ([(BINARY, b"kept")], code)


def test_the_fragments_of_a_message_share_one_limit() -> None:
    begin = sent_by_server(BINARY, bytes(60), fin=False)
    assert heard(begin, sent_by_server(0, bytes(40)), limit=100) == ([(BINARY, bytes(100))], None)
    assert heard(begin, sent_by_server(0, bytes(41)), limit=100) == ([], 1009)


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", 1005, ""),
        (b"\x03\xe8", 1000, ""),
        (Close(4008, "too slow").serialize(), 4008, "too slow"),
        (b"\x03", 1002, "close frame without a valid code"),
        (b"\x03\xed", 1002, "close frame without a valid code"),  # 1005 is never sent
        (b"\x03\xe8\xff", 1007, ""),
    ],
)
def test_a_close_frame_has_a_code_and_a_reason(payload: bytes, code: int, reason: str) -> None:
    closed = parse_close(payload)
    assert (closed.code, closed.reason) == (code, reason)


Serve = Callable[[Callable[[ServerConnection], None]], None]


@pytest.fixture
def serve(home: Path) -> Iterator[Serve]:
    """Runs a server of the `websockets` package on the hub's socket."""
    ended: list[Callable[[], None]] = []

    def start(handler: Callable[[ServerConnection], None]) -> None:
        server = unix_serve(handler, str(home / "hub.sock"), max_size=None)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ended.extend((server.shutdown, thread.join))

    yield start
    for end in ended:
        end()


def received(opened: WebSocket, count: int) -> list[tuple[int, bytes]]:
    """Return the next messages, waiting like the shell."""
    messages: list[tuple[int, bytes]] = []
    deadline = monotonic() + TIMEOUT
    while len(messages) < count:
        for message in opened.messages():
            messages.append(message)
            if len(messages) == count:
                return messages
        assert monotonic() < deadline, f"{len(messages)} messages of {count} came"
        select.select([opened], [opened] if opened.unsent_bytes else [], [], TIMEOUT)
        opened.flush()
    return messages


def end_of(opened: WebSocket) -> Closed:
    with pytest.raises(Closed) as closed:
        while True:
            received(opened, 1)
    return closed.value


def test_messages_of_any_size_come_back_from_an_echo(serve: Serve, home: Path) -> None:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    serve(echo)
    opened = open_websocket(Hub(str(home)), "/ws/x")
    for size in SIZES:
        opened.send(b"\x5a" * size)
        assert received(opened, 1) == [(BINARY, b"\x5a" * size)]
    opened.send("naïve 🦊")
    assert received(opened, 1) == [(TEXT, "naïve 🦊".encode())]
    opened.close()


def test_fragments_are_joined_and_pings_are_answered(serve: Serve, home: Path) -> None:
    ponged = threading.Event()

    def talk(connection: ServerConnection) -> None:
        connection.send([b"a" * 70_000, b"", b"b"])
        connection.ping(b"still there?").wait(TIMEOUT)
        ponged.set()
        connection.send("after the pong")

    serve(talk)
    opened = open_websocket(Hub(str(home)), "/ws/x")
    assert received(opened, 2) == [(BINARY, b"a" * 70_000 + b"b"), (TEXT, b"after the pong")]
    assert ponged.is_set()
    assert (end_of(opened).code, end_of(opened).code) == (1000, 1000)


def test_each_side_receives_the_close_code_of_the_other(serve: Serve, home: Path) -> None:
    codes: list[object] = []
    over = threading.Semaphore(0)

    def close(connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path == "/slow":
            connection.close(4008, "too slow")
        else:
            for _ in connection:
                pass
        codes.append(connection.close_code)
        over.release()

    serve(close)
    closed = end_of(open_websocket(Hub(str(home)), "/slow"))
    assert (closed.code, closed.reason) == (4008, "too slow")
    open_websocket(Hub(str(home)), "/left").close()
    assert over.acquire(timeout=TIMEOUT) and over.acquire(timeout=TIMEOUT)
    assert sorted(map(str, codes)) == ["1000", "4008"]


def test_a_lost_connection_is_reported_after_the_messages_that_arrived(hub: ScriptedHub, home: Path) -> None:
    hub.on("GET /ws/x", accepting(hub, sent_by_server(TEXT, b"last") + b"\x82\x05ab"))
    opened = open_websocket(Hub(str(home)), "/ws/x")
    assert received(opened, 1) == [(TEXT, b"last")]
    assert end_of(opened).code == ABNORMAL
    opened.send(b"to nobody")
    assert end_of(opened).code == ABNORMAL


def test_send_returns_false_when_the_connection_is_closed(hub: ScriptedHub, home: Path) -> None:
    hub.on("GET /ws/x", accepting(hub, b""))
    opened = open_websocket(Hub(str(home)), "/ws/x")
    hung_up = select.poll()
    hung_up.register(opened, select.POLLHUP)
    assert hung_up.poll(TIMEOUT * 1000)
    assert not opened.send(b"key")
    opened.close()


def accepting(hub: ScriptedHub, frames: bytes) -> Callable[[socket.socket], None]:
    """Accept the upgrade, send the frames in the same piece, and close."""
    from websockets.utils import accept_key

    def answer(connection: socket.socket) -> None:
        accept = accept_key(hub.requests[-1].headers["sec-websocket-key"])
        lines = [
            "HTTP/1.1 101 x",
            "Upgrade: websocket",
            "Connection: upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + frames)

    return answer


def test_a_rejected_upgrade_raises_the_hubs_error(hub: ScriptedHub, home: Path) -> None:
    hub.on("GET /ws/x", problem(404, "unknown_peer", "no peer is called 'x'", peer="x"))
    with pytest.raises(Failure) as refused:
        open_websocket(Hub(str(home)), "/ws/x")
    assert (refused.value.code, refused.value.message) == (
        exits.UNKNOWN,
        "Error: Unknown CI or command: x",
    )


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: d3Jvbmc=\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
    ],
)
def test_a_server_without_websocket_is_not_a_hub(hub: ScriptedHub, home: Path, head: bytes) -> None:
    hub.on("GET /ws/x", head)
    with pytest.raises(Failure) as refused:
        open_websocket(Hub(str(home)), "/ws/x")
    assert refused.value.code == exits.UNREACHABLE


def test_an_upgrade_without_an_answer_times_out(hub: ScriptedHub, home: Path) -> None:
    over = threading.Event()

    def never(connection: socket.socket) -> None:
        over.wait(TIMEOUT)

    hub.on("GET /ws/x", never)
    with pytest.raises(Failure) as refused:
        open_websocket(Hub(str(home)), "/ws/x", timeout=0.05)
    over.set()
    assert refused.value.code == exits.TIMED_OUT


def test_a_hub_that_accepts_no_data_does_not_fill_the_memory(hub: ScriptedHub, home: Path) -> None:
    over = threading.Event()
    accept = accepting(hub, b"")

    def accept_and_stop(connection: socket.socket) -> None:
        accept(connection)
        over.wait(TIMEOUT)

    hub.on("GET /ws/x", accept_and_stop)
    opened = open_websocket(Hub(str(home)), "/ws/x")
    for _ in range(40):
        opened.send(bytes(65536))
    closed = end_of(opened)
    over.set()
    assert (closed.code, closed.reason) == (ABNORMAL, "the hub does not accept more data")


def test_an_unsolicited_pong_is_ignored(hub: ScriptedHub, home: Path) -> None:
    hub.on("GET /ws/x", accepting(hub, sent_by_server(PONG, b"") + sent_by_server(BINARY, b"x")))
    opened = open_websocket(Hub(str(home)), "/ws/x")
    assert received(opened, 1) == [(BINARY, b"x")]
    opened.close()
