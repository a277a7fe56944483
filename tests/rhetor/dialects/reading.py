"""Helpers for tests of dialects: fixtures as calls and events, and the texts in WebSocket frames."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol

from rhetor.codec.jsonrpc import Call, Refused, decode
from rhetor.domain.event import Event, Payload, Position
from rhetor.hub.fanout.subscriber import View
from rhetor.store.base import Record

EPOCH = "e" * 32
STREAM = "s_1"
AT = 1_700_000_000_000


def fixture(name: str) -> Any:
    return json.loads((Path(__file__).parent / "fixtures" / f"{name}.json").read_text())


def call_of(example: dict[str, Any]) -> Call:
    frame = {"jsonrpc": "2.0", "id": 1, "method": example["method"]}
    if "params" in example:
        frame["params"] = example["params"]
    [call] = decode(json.dumps(frame)).items
    assert isinstance(call, Call)
    return call


def shown(command: Any) -> list[Any]:
    """A command as the fixtures write it: its name, and the fields that are not empty."""
    plain = json.loads(msgspec.json.encode(command))
    return [type(command).__name__, {k: v for k, v in plain.items() if v not in (None, "", [], {}, False)}]


def refused(error: Refused) -> list[Any]:
    return ["Refused", error.code]


def record(event: dict[str, Any], seq: int) -> Record:
    data = json.dumps(event["data"]).encode()
    return Record(STREAM, EPOCH, seq, AT, event["type"], event.get("turn_id"), None, data)


def told(view: View, events: Iterable[tuple[dict[str, Any], int]]) -> list[list[Any]]:
    """Return for each event the notifications that a client receives, without the common members."""
    return [[_plain(text) for text in texts(view.encode(record(event, seq)))] for event, seq in events]


def _plain(text: bytes) -> Any:
    said = json.loads(text)
    assert said.pop("jsonrpc") == "2.0"
    params = said["params"]
    assert params.pop("epoch") == EPOCH
    assert params.pop("sessionId", None) == STREAM or params.pop("session_id") == STREAM
    return said


def texts(frames: bytes) -> list[bytes]:
    """The text messages in the bytes of a connection."""
    protocol = Protocol(CLIENT)
    protocol.receive_data(frames)
    found = protocol.events_received()
    assert all(getattr(f, "opcode", None) is Opcode.TEXT and getattr(f, "fin", False) for f in found)
    return [bytes(f.data) for f in found]  # type: ignore[union-attr]


def records_of(payloads: Iterable[Payload], turn_id: str) -> list[Record]:
    """The records of a turn with these events."""
    events = (
        Event(STREAM, Position(EPOCH, seq), AT, payload, turn_id) for seq, payload in enumerate(payloads, 1)
    )
    return [Record.of(event) for event in events]
