"""How a turn is shown to clients of the Chat Completions API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.rhetor.dialects.reading import records_of

from rhetor.dialects.openai_chat_answer import ChatStream, completion
from rhetor.domain import event as ev
from rhetor.errors import TurnFailure

TURN, CREATED = "t_1", 1_700_000_000
USAGE = {"input_tokens": 7, "output_tokens": 5, "cached_tokens": None}
DELTAS: list[ev.Payload] = [
    ev.OutputDelta("hm", "reasoning"),
    ev.OutputDelta("not shown", "stderr"),
    ev.OutputDelta("Hel"),
    ev.ToolCalled("c0", "search", {}, "hub"),
    ev.OutputDelta("lo"),
]
CALLS: list[ev.Payload] = [
    ev.ToolCalled("c1", "weather", {"at": "Oslo"}, "caller"),
    ev.ToolCalled("c2", "weather", "not JSON", "caller"),
]


def completed(reason: str = "stop", text: str = "Hello") -> ev.TurnCompleted:
    return ev.TurnCompleted("m_1", text, reason, USAGE)


def chunks(payloads: Sequence[ev.Payload], *, include_usage: bool = False) -> list[Any]:
    view = ChatStream(TURN, "apollo", CREATED, include_usage)
    sent = b"".join(view.encode(record) for record in records_of(payloads, TURN))
    assert view.is_over
    frames = sent.decode().split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame[6:]) if frame[6:] != "[DONE]" else frame[6:] for frame in frames]


def whole(payloads: Sequence[ev.Payload]) -> dict[str, Any]:
    return completion(records_of(payloads, TURN), TURN, "apollo", CREATED)


def test_an_answer_is_a_stream_of_chunks() -> None:
    *found, done = chunks([*DELTAS, *CALLS, completed("tool_calls")], include_usage=True)
    assert done == "[DONE]"
    assert found[0] == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": "apollo",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": "", "reasoning_content": "hm"},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        "usage": None,
    }
    deltas = [chunk["choices"][0]["delta"] for chunk in found[1:-1]]
    assert deltas == [
        {"content": "Hel"},
        {"content": "lo"},
        {"tool_calls": [call(0)]},
        {"tool_calls": [call(1)]},
        {},
    ]
    assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert (found[-1]["choices"], found[-1]["usage"]["total_tokens"]) == ([], 12)


def call(index: int) -> dict[str, Any]:
    arguments = ('{"at":"Oslo"}', "not JSON")[index]
    function = {"name": "weather", "arguments": arguments}
    return {"index": index, "id": f"c{index + 1}", "type": "function", "function": function}


def test_without_the_wish_for_usage_no_chunk_has_it() -> None:
    *found, done = chunks([ev.OutputDelta("x"), completed()])
    assert done == "[DONE]"
    assert all("usage" not in chunk for chunk in found)
    assert found[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_whole_answer_is_one_completion() -> None:
    found = whole([*DELTAS, *CALLS, completed("tool_calls", "")])
    message = found["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (None, "hm")
    assert [each["id"] for each in message["tool_calls"]] == ["c1", "c2"]
    assert "index" not in message["tool_calls"][0]
    assert found["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    unknown = whole([ev.TurnCompleted("m", "x", "stop")])["usage"]
    assert unknown["total_tokens"] == 0  # clients such as llm fail without numbers


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("length", "length"), ("content_filter", "content_filter"), ("refusal", "content_filter")],
)
def test_an_answer_without_text_has_its_reason(reason: str, shown: str) -> None:
    failed = ev.TurnFailed("empty_answer", "no text", False, {"finish_reason": reason})
    choice = whole([failed])["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", shown)
    chunk, done = chunks([failed])
    assert (chunk["choices"][0]["finish_reason"], done) == (shown, "[DONE]")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (ev.TurnFailed("provider_failed", "it broke", False, {"hint": "try again"}), "provider_failed"),
        (ev.TurnFailed("context_overflow", "too long", False), "context_length_exceeded"),
        (ev.TurnCancelled("me"), "cancelled"),
        (ev.TurnInterrupted("the hub was shut down"), "interrupted"),
    ],
)
def test_a_turn_that_was_not_completed_is_an_error(end: ev.TurnEnd, code: str) -> None:
    with pytest.raises(TurnFailure):
        whole([ev.OutputDelta("par"), end])
    first, error = chunks([ev.OutputDelta("par"), end])
    assert first["choices"][0]["delta"]["content"] == "par"
    assert error["error"]["code"] == code
    if isinstance(end, ev.TurnFailed) and end.data:
        assert error["error"]["message"] == "it broke; try again"


def test_events_of_other_turns_are_left_out() -> None:
    view = ChatStream("t_2", "apollo", CREATED)
    assert [view.encode(record) for record in records_of([*DELTAS, completed()], TURN)] == [b""] * 6
    assert not view.is_over
