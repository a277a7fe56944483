"""How a turn is shown to clients of the Messages API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.rhetor.dialects.reading import records_of

from rhetor.dialects.anthropic_messages_answer import MessageStream, message
from rhetor.domain import event as ev
from rhetor.errors import TurnFailure

TURN = "t_1"
USAGE = {"input_tokens": 9, "output_tokens": 5, "cached_tokens": 3, "cache_written_tokens": 2}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "x"}
TURN_OF_TOOLS: list[ev.Payload] = [
    ev.TurnStarted("apollo"),
    ev.OutputDelta("h", "reasoning"),
    ev.OutputDelta("m", "reasoning"),
    ev.ReasoningKept("anthropic", SIGNED),
    ev.ReasoningKept("anthropic", REDACTED),
    ev.OutputDelta("not shown", "stderr"),
    ev.OutputDelta("Hel"),
    ev.ToolCalled("c0", "search", {}, "hub"),
    ev.OutputDelta("lo"),
    ev.ToolCalled("c1", "weather", {"at": "Oslo"}, "caller"),
    ev.ToolCalled("c2", "weather", "not JSON", "caller"),
    ev.TurnCompleted("m_1", "Hello", "tool_calls", USAGE),
]
CONTENT: list[Any] = [
    SIGNED,
    REDACTED,
    {"type": "text", "text": "Hello"},
    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"at": "Oslo"}},
    {"type": "tool_use", "id": "c2", "name": "weather", "input": {"INVALID_JSON": "not JSON"}},
]


def frames(payloads: Sequence[ev.Payload]) -> list[Any]:
    view = MessageStream(TURN, "apollo", "req_1")
    sent = b"".join(view.encode(record) for record in records_of(payloads, TURN))
    assert view.is_over
    found = []
    for frame in sent.decode().split("\n\n")[:-1]:
        name, _, data = frame.partition("\ndata: ")
        found.append(json.loads(data))
        assert name == f"event: {found[-1]['type']}"
    return found


def whole(payloads: Sequence[ev.Payload]) -> dict[str, Any]:
    return message(records_of(payloads, TURN), TURN, "apollo")


def accumulated(events: Sequence[Any]) -> list[Any]:
    """The content that a client makes of the events."""
    content: list[Any] = []
    pieces = ""
    for event in events:
        match event:
            case {"type": "content_block_start"}:
                assert event["index"] == len(content)
                content.append(dict(event["content_block"]))
                pieces = ""
            case {"delta": {"type": "text_delta", "text": text}}:
                content[event["index"]]["text"] += text
            case {"delta": {"type": "thinking_delta", "thinking": text}}:
                content[event["index"]]["thinking"] += text
            case {"delta": {"type": "signature_delta", "signature": signature}}:
                content[event["index"]]["signature"] = signature
            case {"delta": {"type": "input_json_delta", "partial_json": piece}}:
                pieces += piece
                content[event["index"]]["input"] = json.loads(pieces)
    return content


def test_a_stream_and_a_whole_message_have_the_same_content() -> None:
    events = frames(TURN_OF_TOOLS)
    assert events[0]["message"]["id"] == "msg_1"
    assert events[0]["message"]["content"] == []
    assert accumulated(events) == CONTENT
    starts = [event["index"] for event in events if event["type"] == "content_block_start"]
    stops = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert starts == stops == [0, 1, 2, 3, 4]
    assert events[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {
            "input_tokens": 4,
            "output_tokens": 5,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2,
        },
    }
    assert events[-1] == {"type": "message_stop"}
    found = whole(TURN_OF_TOOLS)
    assert found["content"] == CONTENT
    assert (found["stop_reason"], found["usage"]) == ("tool_use", events[-2]["usage"])


def test_thoughts_of_another_vendors_model_are_shown_without_a_signature() -> None:
    said: list[ev.Payload] = [
        ev.OutputDelta("hm", "reasoning"),
        ev.OutputDelta("x"),
        ev.TurnCompleted("m", "x", "stop"),
    ]
    content = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "x"}]
    assert whole(said)["content"] == content
    events = frames(said)
    assert accumulated(events) == content
    assert events[0]["type"] == "message_start"


def test_thoughts_that_were_not_streamed_are_in_the_kept_block() -> None:
    said: list[ev.Payload] = [
        ev.ReasoningKept("anthropic", SIGNED),
        ev.OutputDelta("x"),
        ev.TurnCompleted("m", "x", "stop"),
    ]
    assert accumulated(frames(said)) == whole(said)["content"] == [SIGNED, {"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("refusal", "refusal"), ("other", "end_turn")],
)
def test_the_stop_reason_is_anthropics(reason: str, shown: str) -> None:
    assert whole([ev.TurnCompleted("m", "x", reason)])["stop_reason"] == shown


def test_an_answer_without_text_has_its_reason() -> None:
    failed = ev.TurnFailed("empty_answer", "no text", False, {"finish_reason": "length"})
    found = whole([failed])
    assert (found["content"], found["stop_reason"]) == ([], "max_tokens")
    assert [event["type"] for event in frames([failed])] == ["message_start", "message_delta", "message_stop"]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (ev.TurnFailed("rate_limited", "slow down", True, {"hint": "wait"}), "rate_limit_error"),
        (ev.TurnCancelled("me"), "api_error"),
    ],
)
def test_a_turn_that_was_not_completed_is_an_error(end: ev.TurnEnd, kind: str) -> None:
    with pytest.raises(TurnFailure):
        whole([ev.OutputDelta("par"), end])
    last = frames([ev.OutputDelta("par"), end])[-1]
    assert (last["type"], last["error"]["type"], last["request_id"]) == ("error", kind, "req_1")
