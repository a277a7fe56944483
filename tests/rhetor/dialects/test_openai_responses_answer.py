"""Turns as responses: every event, and every response, is of the types of OpenAI's own client."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Any

import pytest
from tests.later import Later

from rhetor.dialects.openai_responses_answer import (
    About,
    Answer,
    answer_of,
    id_of,
    turn_of,
    turn_of_item,
)
from rhetor.dialects.openai_responses_stream import (
    SocketResponse,
    SseResponse,
    error_frame,
    socket_error,
)
from rhetor.dialects.openai_responses_tools import ToolName
from rhetor.domain import event as ev
from rhetor.domain.event import Event, Payload, Position
from rhetor.errors import RateLimited
from rhetor.store.base import Record
from rhetor.store.messages import folded

from .reading import texts
from .test_openai_responses import GROUP, PATCH, WEATHER, wanted

TURN = "t_7"
AT = 1_700_000_000
ACCEPTED = ev.MessageAccepted("m_1", "user", "hello")
STARTED = ev.TurnStarted("apollo", "m")
types_of_openai = Later("openai.types.responses")
pydantic = Later("pydantic")


@cache
def _event_type() -> Any:
    return pydantic.TypeAdapter(types_of_openai.ResponseStreamEvent)


def completed(text: str, reason: str = "stop", usage: dict[str, Any] | None = None) -> ev.TurnCompleted:
    return ev.TurnCompleted("m_1", text, reason, usage)


def log(*payloads: Payload) -> list[Record]:
    """Return the events of a turn, as they are read from the log."""
    return [
        Record.of(Event("s_1", Position("e" * 32, n), (AT + n) * 1000, payload, TURN))
        for n, payload in enumerate((ACCEPTED, STARTED, *payloads), 1)
    ]


def about(**more: Any) -> About:
    found = wanted(tools=[WEATHER, PATCH, GROUP], **more)
    return About(TURN, "s_1", found.shown, found.names, found.encrypted)


def events_of(records: Sequence[Record], of: About | None = None) -> list[dict[str, Any]]:
    """Return the events of a response. Each of them is of one of the client's types, and numbered."""
    answer = Answer(of or about())
    found = [event for record in records for event in answer.add(record)]
    assert answer.is_over
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    for event in found:
        checked(event)
    assert found[-1]["response"] == answer.response() == answer_of(answer.about, records)[0].response()
    return found


def checked(event: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a value that its type does not describe is a warning when dumped
        _event_type().validate_python(event, strict=True).model_dump(mode="json")
        if "response" in event:
            types_of_openai.Response.model_validate(event["response"], strict=True).model_dump(mode="json")


def types(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text_is_a_message_with_the_events_that_clients_expect() -> None:
    usage = {"input_tokens": 7, "output_tokens": 5, "cached_tokens": 3}
    found = events_of(log(ev.OutputDelta("Hel"), ev.OutputDelta("lo"), completed("Hello", usage=usage)))
    assert types(found) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "completed"),
    ]
    assert [event.get("delta") for event in found[4:6]] == ["Hel", "lo"]
    response = found[-1]["response"]
    assert types_of_openai.Response.model_validate(response).output_text == "Hello"
    assert (response["id"], response["created_at"], response["completed_at"]) == ("resp_7", AT + 1, AT + 5)
    assert response["usage"]["total_tokens"] == 12
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 3
    assert response["output"] == [found[-2]["item"]]
    assert found[0]["response"]["status"] == found[1]["response"]["status"] == "in_progress"


def test_reasoning_and_calls_are_items_of_their_own() -> None:
    records = log(
        ev.OutputDelta("hm", "reasoning"),
        ev.ReasoningKept("anthropic", {"signature": "s"}),
        ev.OutputDelta("I look"),
        ev.OutputDelta("not shown", "stderr"),
        ev.ToolCalled("c0", "search", {}, "hub"),
        ev.ToolReturned("c0", "found"),
        ev.ToolCalled("c1", "weather", {"at": "Oslo"}, "caller"),
        ev.ToolCalled("c2", "agents__weather", '{"at": "Rome"}', "caller"),
        ev.ToolCalled("c3", "apply_patch", '{"input": "*** Begin"}', "caller"),
        completed("I look", "tool_calls"),
    )
    found = events_of(records, about(include=["reasoning.encrypted_content"]))
    assert types(found)[2:] == [
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done",),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done",),
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *("output_item.done", "completed"),
    ]
    thought, text, plain, spaced, custom = found[-1]["response"]["output"]
    assert (thought["id"], thought["summary"]) == ("rs_7_0", [{"type": "summary_text", "text": "hm"}])
    assert text["id"] == "msg_7_1"
    assert (plain["id"], plain["call_id"], plain["arguments"]) == ("fc_7_2", "c1", '{"at":"Oslo"}')
    assert (spaced["name"], spaced["namespace"], spaced["arguments"]) == (
        "weather",
        "agents",
        '{"at": "Rome"}',
    )
    assert (custom["id"], custom["name"], custom["input"]) == ("ctc_7_4", "apply_patch", "*** Begin")
    assert "namespace" not in plain


def test_reasoning_comes_back_as_the_vendor_gave_it_if_the_client_wants_it() -> None:
    kept = ev.ReasoningKept("anthropic", {"type": "redacted_thinking", "data": "x"})
    records = log(kept, ev.OutputDelta("hi"), completed("hi"))
    assert [item["type"] for item in events_of(records)[-1]["response"]["output"]] == ["message"]
    [thought, _] = events_of(records, about(include=["reasoning.encrypted_content"]))[-1]["response"][
        "output"
    ]
    [said, _] = wanted(input=[thought, {"role": "user", "content": "go on"}]).given.messages
    assert (said.blocks[0].vendor, said.blocks[0].data) == (kept.vendor, kept.data)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("end", "status", "kind", "details", "error"),
    [
        (completed("a", "length"), "incomplete", "incomplete", "max_output_tokens", None),
        (completed("a", "refusal"), "incomplete", "incomplete", "content_filter", None),
        (
            ev.TurnFailed("empty_answer", "no text", False, {"finish_reason": "length"}),
            "incomplete",
            "incomplete",
            "max_output_tokens",
            None,
        ),
        (ev.TurnFailed("provider_failed", "it broke", True), "failed", "failed", None, "server_error"),
        (ev.TurnFailed("rate_limited", "slow down", True), "failed", "failed", None, "rate_limit_exceeded"),
        (ev.TurnInterrupted("the hub ended"), "failed", "failed", None, "server_error"),
        (ev.TurnCancelled("me"), "cancelled", "incomplete", None, None),
    ],
)
def test_an_answer_that_is_not_complete_says_why(
    end: ev.TurnEnd, status: str, kind: str, details: str | None, error: str | None
) -> None:
    found = events_of(log(ev.OutputDelta("a"), end))
    last, response = found[-1], found[-1]["response"]
    assert (last["type"], response["status"]) == (f"response.{kind}", status)
    assert response["incomplete_details"] == (details and {"reason": details})
    assert (response["error"] or {}).get("code") == error
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["content"][0]["text"] == "a"


def test_a_response_in_the_background_and_one_that_waits_are_queued_first() -> None:
    found = events_of(log(completed("")), about(background=True))
    assert types(found) == ["created", "queued", "in_progress", "completed"]
    assert [event["response"]["status"] for event in found] == [
        "queued",
        "queued",
        "in_progress",
        "completed",
    ]
    waiting = [log()[0], *[_moved(record, 1) for record in log(completed(""))[1:]]]
    waiting.insert(1, Record.of(Event("s_1", Position("e" * 32, 2), AT * 1000, ev.TurnQueued(1), TURN)))
    assert types(events_of(waiting)) == ["created", "queued", "in_progress", "completed"]


def _moved(record: Record, by: int) -> Record:
    position = Position(record.epoch, record.seq + by)
    return Record.of(Event(record.stream, position, record.at, record.event.payload, record.turn_id))


def test_a_response_whose_chunks_were_folded_has_the_same_items_and_numbers() -> None:
    records = log(
        ev.OutputDelta("hm", "reasoning"),
        ev.OutputDelta("Hel"),
        ev.OutputDelta("lo "),
        ev.OutputDelta("world"),
        ev.ToolCalled("c1", "weather", {}, "caller"),
        completed("Hello world", "tool_calls"),
    )
    folds = {event.seq: event for event in folded(record.event for record in records)}
    gone = {seq for event in folds.values() for seq in range(event.prev + 1, event.seq)}
    kept = [Record.of(folds.get(r.seq, r.event)) for r in records if r.seq not in gone]
    assert len(kept) == len(records) - 2
    answer, short = answer_of(about(), kept)
    whole = {event["sequence_number"]: event for event in events_of(records)}
    assert answer.response() == whole[len(whole) - 1]["response"]
    assert [event["delta"] for event in short if "output_text.delta" in event["type"]] == ["Hello world"]
    alike = [event for event in short if "output_text.delta" not in event["type"]]
    assert alike == [whole[event["sequence_number"]] for event in alike]
    assert answer_of(about(), kept, 3)[1] == [event for event in short if event["sequence_number"] > 3]


def test_ids_name_the_turn() -> None:
    assert turn_of(id_of("t_abc")) == turn_of_item("msg_abc_3") == "t_abc"
    assert (turn_of("chatcmpl-1"), turn_of("resp_"), turn_of_item("x")) == ("", "", "")


def test_a_custom_tool_that_is_called_wrongly_gets_all_that_the_model_gave() -> None:
    of = About(TURN, "s_1", wanted().shown, {"p": ToolName("p", is_custom=True)})
    records = log(ev.ToolCalled("c1", "p", '{"text": 1}', "caller"), completed("", "tool_calls"))
    assert events_of(records, of)[-1]["response"]["output"][0]["input"] == '{"text": 1}'


def test_a_stream_begins_after_any_event_and_ends_with_done() -> None:
    records = log(ev.OutputDelta("Hel"), ev.OutputDelta("lo"), completed("Hello"))
    whole = b"".join(map(SseResponse(about()).encode, records))
    events = whole.removesuffix(b"data: [DONE]\n\n").split(b"\n\n")[:-1]
    assert events[4].startswith(b"event: response.output_text.delta\ndata: {")
    rest = b"".join(map(SseResponse(about(), after=4).encode, records))
    assert whole.endswith(rest)
    assert rest.startswith(events[5])


def test_a_view_is_independent_of_its_copy_and_encodes_as_one_that_is_equal() -> None:
    records = log(ev.OutputDelta("Hel"), ev.OutputDelta("lo"), completed("Hello"))
    view = SocketResponse(about())
    begun = b"".join(map(view.encode, records[:3]))
    other = copy(view)
    assert other == view
    assert [*map(other.encode, records[3:])] == [*map(view.encode, records[3:])]
    assert [json.loads(text)["sequence_number"] for text in texts(begun)] == [0, 1, 2, 3, 4]


def test_errors_have_the_shapes_of_both_documents() -> None:
    error = RateLimited("slow down", retryable=True)
    frame = json.loads(error_frame(error).split(b"\n")[1].removeprefix(b"data: "))
    checked(frame)
    assert (frame["code"], frame["error"]["code"]) == ("rate_limit_exceeded", "rate_limit_exceeded")
    assert json.loads(socket_error(error))["status"] == 429
