"""Named sockets: the frames that are written, with their binary content, and the frames that are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET
from tests.rhetor.dialects.reading import EPOCH, STREAM, fixture, record
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol

from rhetor.dialects.named_socket import PartView, SocketInput, SocketOptions, SocketView
from rhetor.domain.command import KeepBlob, SendMessage
from rhetor.domain.event import Position
from rhetor.domain.socket import Socket
from rhetor.errors import Malformed, RhetorError

FIXTURE = fixture("socket")
VIEWS = {view["what"]: view for view in FIXTURE["views"]}


def socket(peer: str) -> Socket:
    return Socket("x", "me", peer, STREAM, 0)


def frame(said: Any) -> str | bytes:
    """A frame of the fixture, which writes bytes as `{"bytes": text}`."""
    return said["bytes"].encode() if isinstance(said, dict) and list(said) == ["bytes"] else json.dumps(said)


def shown(said: Any) -> list[Any]:
    """A command without its default values; an error as its code."""
    if isinstance(said, RhetorError):
        return [said.code]
    fields = {name: getattr(said, name) for name in said.__struct_fields__}
    if isinstance(said, KeepBlob):
        fields["content"] = said.content.decode()
    return [type(said).__name__, {k: v for k, v in fields.items() if v not in (None, "", (), False, UNSET)}]


def read(frames: bytes) -> list[Any]:
    """The messages in the bytes of a connection, as the fixture writes them."""
    protocol = Protocol(CLIENT, max_size=None)
    protocol.receive_data(frames)
    found: list[Any] = protocol.events_received()
    texts: dict[Opcode, Callable[[bytes], Any]] = {
        Opcode.TEXT: json.loads,
        Opcode.BINARY: lambda data: {"bytes": bytes(data).decode()},
    }
    said = [texts[each.opcode](each.data) for each in found]
    for each in said:
        if "type" in each:
            assert (each.pop("epoch"), each.pop("session_id")) == (EPOCH, STREAM)
    return said


@pytest.mark.parametrize("example", FIXTURE["writing"], ids=lambda example: str(example["what"]))
def test_frames_decode_to_commands_or_errors(example: dict[str, Any]) -> None:
    input = SocketInput(socket(example["peer"]))
    found = [[shown(said) for said in input.decode(frame(said))] for said in example["frames"]]
    assert found == example["is"]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_invalid_json_is_reported_as_malformed(text: str) -> None:
    [said] = SocketInput(socket("apollo")).decode(text)
    assert isinstance(said, Malformed)


def test_if_a_member_occurs_twice_the_last_one_counts() -> None:
    [said] = SocketInput(socket("apollo")).decode('{"type":"write","content":"a","content":"b"}')
    assert isinstance(said, SendMessage)
    assert said.content == "b"


@pytest.mark.parametrize("example", FIXTURE["queries"], ids=lambda example: json.dumps(example["query"]))
def test_the_query_string_sets_the_options_of_a_connection(example: dict[str, Any]) -> None:
    try:
        wishes = SocketOptions.of(example["query"])
        found: Any = [wishes.stream, wishes.echo, wishes.cursor]
    except Malformed as error:
        found = error.code
    assert found == example["is"]


@pytest.mark.parametrize("what", VIEWS)
def test_events_become_the_frames_of_the_wire_page(what: str) -> None:
    example = VIEWS[what]
    view = SocketView(socket(example["peer"]), SocketOptions.of(example["query"]))
    view.content = example["content"].encode() if "content" in example else None
    found = [read(view.encode(record(event, seq))) for seq, event in enumerate(example["events"], 11)]
    assert found == example["told"]
    given = example["given"]
    assert view.received == (Position(EPOCH, given) if given else None)
    assert view.is_over == example.get("over", False)


def test_the_first_frame_after_a_cursor_names_the_cursors_number() -> None:
    example = VIEWS["the hub's own answers"]
    view = SocketView(socket("apollo"), SocketOptions(), 10)
    [said] = read(view.encode(record(example["events"][0], 11)))
    assert said["prev"] == 10


def test_a_part_view_sends_one_members_chunks_until_its_turn_ends() -> None:
    events = VIEWS["chunks"]["events"]
    view, other = PartView("athena", "t_1"), PartView("athena", "t_2")
    told = [read(view.encode(record(event, seq))) for seq, event in enumerate(events, 11)]
    chunks = [each for frames in told for each in frames]
    assert [(c["type"], c["content"], c["headers"], c["seq"], c["prev"]) for c in chunks] == [
        ("chunk", "He ", ["team-chat-from-athena"], 13, 0),
        ("chunk", "hm", ["team-chat-from-athena"], 14, 13),
        ("chunk", "llo", ["team-chat-from-athena"], 15, 14),
    ]
    assert view.is_over
    assert [other.encode(record(event, seq)) for seq, event in enumerate(events, 11)] == [b""] * len(events)
    assert not other.is_over


def test_only_connections_with_the_same_options_share_one_frame() -> None:
    event = record(VIEWS["chunks"]["events"][2], 13)
    streams = [SocketView(socket("apollo"), SocketOptions(stream=True)).encode(event) for _ in range(2)]
    assert streams[0] is streams[1]
    assert SocketView(socket("apollo"), SocketOptions()).encode(event) == b""
