"""One peer over a WebSocket: calls and notifications."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.rhetor.dialects.reading import call_of, fixture, record, refused, shown, texts, told

from rhetor.codec.jsonrpc import Refused
from rhetor.dialects import raw
from rhetor.dialects.peer_socket import RawView, TurnView, decode

FIXTURE = fixture("peer_socket")
VIEWS = {view["what"]: view for view in FIXTURE["views"]}


def ids(example: dict[str, Any]) -> str:
    return f"{example['method']} {json.dumps(example.get('params'))[:60]}"


@pytest.mark.parametrize("example", FIXTURE["calls"], ids=ids)
def test_a_call_decodes_to_its_command_or_is_rejected(example: dict[str, Any]) -> None:
    try:
        found = shown(decode(call_of(example), "apollo"))
    except Refused as error:
        found = refused(error)
    assert json.loads(json.dumps(found)) == example["is"]


@pytest.mark.parametrize("what", VIEWS)
def test_events_become_the_frames_of_the_wire_page(what: str) -> None:
    view = TurnView("apollo", "t_1")
    events = VIEWS[what]["events"]
    assert told(view, zip(events, range(11, 99), strict=False)) == VIEWS[what]["told"]
    assert view.is_over


def test_another_turn_of_the_session_is_left_out() -> None:
    view = TurnView("apollo", "t_2")
    events = VIEWS["a turn"]["events"]
    assert told(view, zip(events, range(11, 99), strict=False)) == [[]] * len(events)
    assert not view.is_over


def test_a_subscription_sends_every_event_unchanged() -> None:
    events = VIEWS["tools"]["events"]
    view = RawView(10)
    for seq, event in enumerate(events, 11):
        [text] = texts(view.encode(record(event, seq)))
        said = json.loads(text)
        assert (said["method"], said["params"]) == ("event", json.loads(raw.encode(record(event, seq))))
        assert said["params"]["prev"] == seq - 1


def test_subscribers_share_one_frame() -> None:
    event = record(VIEWS["a turn"]["events"][2], 13)
    assert RawView(12).encode(event) is RawView(12).encode(event)
