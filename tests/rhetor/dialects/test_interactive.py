"""The interactive loop: calls and notifications from the fixtures, and views at different positions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.rhetor.dialects.reading import call_of, fixture, record, refused, shown, texts, told

from rhetor.codec.jsonrpc import Refused
from rhetor.codec.typed_json import KEPT_BYTES
from rhetor.dialects.interactive import LoopView, decode, names
from rhetor.errors import Unprocessable

FIXTURE = fixture("interactive")
VIEWS = {view["what"]: view for view in FIXTURE["views"]}


def ids(example: dict[str, Any]) -> str:
    return f"{example['method']} {json.dumps(example.get('params'))[:60]}"


@pytest.mark.parametrize("example", FIXTURE["calls"], ids=ids)
def test_a_call_decodes_to_its_command_or_is_rejected(example: dict[str, Any]) -> None:
    try:
        found = shown(decode(call_of(example)))
    except Refused as error:
        found = refused(error)
    assert json.loads(json.dumps(found)) == example["is"]


@pytest.mark.parametrize("what", VIEWS)
def test_events_become_the_frames_of_the_wire_page(what: str) -> None:
    events = VIEWS[what]["events"]
    assert told(LoopView(), zip(events, range(11, 99), strict=False)) == VIEWS[what]["told"]


@pytest.mark.parametrize("what", VIEWS)
def test_every_frame_has_its_own_number_and_that_of_the_previous_frame(what: str) -> None:
    frames = [frame["params"] for event in VIEWS[what]["told"] for frame in event]
    last = 0
    for frame in frames:
        assert frame["prev"] == last < frame["seq"]
        last = frame["seq"]


@pytest.mark.parametrize("what", [what for what in VIEWS if what != "a pause"])
def test_a_turn_has_one_final_chunk_and_it_is_last(what: str) -> None:
    finals = [f["params"].get("isFinal", False) for event in VIEWS[what]["told"] for f in event]
    assert finals == [False] * (len(finals) - 1) + [True]


def test_oversized_context_and_tool_parameters_are_rejected() -> None:
    for wishes in ({"context": "x" * KEPT_BYTES}, {"tools": [_tool("x" * KEPT_BYTES)]}):
        with pytest.raises(Unprocessable):
            decode(call_of({"method": "startSession", "params": {"userId": "u", "sessionParams": wishes}}))


def test_the_invalid_one_of_several_tools_is_named() -> None:
    wishes = {"tools": [_tool("of a place"), {"parameters": {}}]}
    with pytest.raises(Unprocessable) as caught:
        decode(call_of({"method": "startSession", "params": {"userId": "u", "sessionParams": wishes}}))
    assert caught.value.data["faults"][0]["where"] == "params.sessionParams.tools.1.name"


def _tool(text: str) -> dict[str, Any]:
    return {"name": "weather", "parameters": {"type": "object", "description": text}}


def test_readers_at_the_same_position_share_one_frame() -> None:
    event = record(VIEWS["a turn"]["events"][2], 13)
    first, second, behind = LoopView(12).encode(event), LoopView(12).encode(event), LoopView(7).encode(event)
    assert first is second
    assert [json.loads(text)["params"]["prev"] for text in texts(behind)] == [7]


def test_a_reader_between_the_two_frames_of_a_failure_receives_the_second() -> None:
    *_, failed = VIEWS["a time-out in the middle"]["events"]
    frames = [frame["params"] for frame in told(LoopView(14), [(failed, 15)])[0]]
    last = 14
    kept = [frame for frame in frames if frame["seq"] > last]
    assert [(frame["seq"], frame["isFinal"], frame["reason"]) for frame in kept] == [(15, True, "timeout")]


FOLDED = {"type": "folded", "turn_id": "t_1", "data": {"from_seq": 13, "to_seq": 14}}


def test_a_folded_answer_is_sent_whole_with_the_final_chunk() -> None:
    accepted, started, _, _, usage, done = VIEWS["a turn"]["events"]
    events = [(accepted, 11), (started, 12), (FOLDED, 14), (usage, 15), (done, 16)]
    [chunk] = [frame["params"] for frames in told(LoopView(), events) for frame in frames]
    shown = {"chunk": "He llo", "isFinal": True, "whole": True, "turnId": "t_1", "seq": 16, "prev": 0}
    assert chunk == shown


def test_a_reader_that_has_the_chunks_does_not_receive_them_again() -> None:
    done = record(VIEWS["a turn"]["events"][-1], 16)
    whole = LoopView(12)
    whole.encode(record(FOLDED, 14))
    assert json.loads(texts(whole.encode(done))[0])["params"]["chunk"] == "He llo"
    assert json.loads(texts(LoopView(12).encode(done))[0])["params"]["chunk"] == ""


def test_late_text_of_an_ended_turn_does_not_keep_the_view_open() -> None:
    view = LoopView()
    for seq, event in enumerate(VIEWS["a stop while an answer streams"]["events"], 11):
        view.encode(record(event, seq))
    assert view.is_over
    late = {"type": "output.partial", "turn_id": "t_1", "data": {"text": "all of it"}}
    assert view.encode(record(late, 99)) == b""
    assert view.is_over


def test_a_view_is_over_when_the_session_and_its_last_turn_have_ended() -> None:
    view, seen = LoopView(), []
    for seq, event in enumerate(VIEWS["a stop while an answer streams"]["events"], 11):
        view.encode(record(event, seq))
        seen.append(view.is_over)
    assert seen == [False] * 5 + [True]


def test_a_view_that_starts_during_a_turn_waits_for_its_end() -> None:
    *_, stopped, partial, cancelled = VIEWS["a stop while an answer streams"]["events"]
    view, seen = LoopView(13, frozenset({"t_1"})), []
    for seq, event in enumerate((stopped, partial, cancelled), 14):
        view.encode(record(event, seq))
        seen.append(view.is_over)
    assert seen == [False, False, True]


def test_a_view_of_an_open_session_is_not_over() -> None:
    view = LoopView()
    for seq, event in enumerate(VIEWS["a turn"]["events"], 11):
        view.encode(record(event, seq))
        assert not view.is_over


def test_events_have_the_names_that_in_process_subscribers_use() -> None:
    found = [
        name
        for what in ("a time-out in the middle", "tools")
        for seq, event in enumerate(VIEWS[what]["events"], 2)
        for name in names(record(event, seq).event)
    ]
    assert found == [
        "ai_loop.message.user_processed",
        "ai_loop.message.ai_chunk_received",
        "ai_loop.error",
        "ai_loop.message.user_processed",
        *(["ai_loop.tool.call_generated", "ai_loop.tool_call.identified"] * 2),
        "ai_loop.tool_call.result_processed",
        "ai_loop.message.ai_chunk_received",
    ]
    states = [names(record(e, seq).event) for seq, e in enumerate(VIEWS["a pause"]["events"], 1)]
    assert states == [
        ("ai_loop.session_started",),
        ("ai_loop.status.paused",),
        ("ai_loop.status.resumed",),
        ("ai_loop.session_ended",),
    ]
