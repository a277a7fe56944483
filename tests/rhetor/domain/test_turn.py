"""A turn has the same states and events in whatever order outputs arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain import event as ev
from rhetor.domain.output import (
    Began,
    Done,
    Output,
    Permission,
    Reasoned,
    Record,
    Text,
    ToolResult,
    ToolUse,
    Usage,
)
from rhetor.domain.turn import OPEN, Turn, TurnOver, TurnState, total_usage
from rhetor.errors import ProviderFailed

OUTPUTS = st.one_of(
    st.builds(Text, st.text(max_size=5), st.sampled_from(["answer", "reasoning", "stderr"])),
    st.builds(ToolUse, st.sampled_from("ab"), st.just("tool"), st.none(), st.sampled_from(["hub", "client"])),
    st.builds(ToolResult, st.sampled_from("ab"), st.none()),
    st.builds(Permission, st.sampled_from("cd"), st.just("tool"), st.none(), st.just(())),
    st.builds(Usage, st.just("m"), st.integers(0, 9), st.integers(0, 9)),
    st.builds(Record, st.just({"type": "x"})),
    st.just(Began("m")),
)


def started() -> Turn:
    turn = Turn("t", "m", "apollo")
    turn.start()
    return turn


@given(st.lists(OUTPUTS, max_size=20))
def test_a_turn_ends_once_with_its_whole_answer(outputs: list[Output]) -> None:
    turn = started()
    payloads = [payload for output in outputs for payload in turn.step(output)]
    (end,) = turn.step(Done())
    said = "".join(o.text for o in outputs if isinstance(o, Text) and o.channel == "answer")
    assert isinstance(end, ev.TurnCompleted)
    assert end.text == said
    assert not any(isinstance(payload, ev.TurnEnd) for payload in payloads)
    with pytest.raises(TurnOver):
        turn.step(Text("more"))
    with pytest.raises(TurnOver):
        turn.cancel("me")


@pytest.mark.parametrize("reason", ["length", "content_filter", "refusal"])
def test_a_withheld_answer_fails_the_turn_and_a_truncated_one_does_not(reason: str) -> None:
    turn = started()
    turn.step(Text("\n"))
    *_, end = turn.step(Done(reason))
    assert isinstance(end, ev.TurnFailed)
    assert (end.code, end.data["finish_reason"], turn.state) == ("empty_answer", reason, TurnState.FAILED)
    turn = started()
    turn.step(Text("half"))
    (cut,) = turn.step(Done(reason))
    assert isinstance(cut, ev.TurnCompleted)
    assert cut.finish_reason == reason


@given(st.lists(OUTPUTS, max_size=20), st.sampled_from(["fail", "cancel", "interrupt"]))
def test_a_turn_that_does_not_complete_keeps_its_partial_answer(outputs: list[Output], how: str) -> None:
    turn = started()
    for output in outputs:
        turn.step(output)
    said = turn.text
    endings = {
        "fail": lambda: turn.fail("code", "why", True, {}),
        "cancel": lambda: turn.cancel("me"),
        "interrupt": lambda: turn.interrupt("because"),
    }
    *partial, end = endings[how]()
    assert isinstance(end, ev.TurnEnd)
    anything = any(isinstance(o, Text | ToolUse | ToolResult | Permission) for o in outputs)
    assert partial == ([ev.OutputPartial(said)] if anything else [])
    assert turn.state not in OPEN


def test_a_turn_waits_until_all_its_requests_are_answered() -> None:
    turn = started()
    turn.step(ToolUse("a", "look", {}, "client"))
    turn.step(Permission("b", "write", {}, ()))
    turn.step(ToolUse("c", "hub's own", {}, "hub"))
    states = [turn.state]
    for answered in ("a", "b"):
        turn.step(ToolResult(answered, 1))
        states.append(turn.state)
    assert states == [TurnState.WAITING, TurnState.WAITING, TurnState.RUNNING]


def test_a_turn_that_has_not_started_has_no_output() -> None:
    turn = Turn("t", "m", "apollo")
    with pytest.raises(TurnOver):
        turn.step(Text("early"))
    assert turn.start("p/m") == ev.TurnStarted("apollo", "p/m")
    with pytest.raises(TurnOver):
        turn.start()


def test_a_turn_with_nothing_but_stderr_has_not_begun_its_answer() -> None:
    turn = started()
    begun = []
    for output in (Text("a warning", "stderr"), Text("hm", "reasoning"), Text("more", "stderr")):
        turn.step(output)
        begun.append(turn.has_output)
    assert begun == [False, True, True]


def test_a_turn_does_not_wait_for_tools_that_the_caller_runs_after_it() -> None:
    turn = started()
    called = turn.step(ToolUse("c1", "clock", {"zone": "UTC"}, "caller"))
    kept = turn.step(Reasoned("anthropic", {"signature": "x"}))
    (end,) = turn.step(Done("tool_calls"))
    assert called == turn.calls == (ev.ToolCalled("c1", "clock", {"zone": "UTC"}, "caller"),)
    assert kept == (ev.ReasoningKept("anthropic", {"signature": "x"}),)
    assert isinstance(end, ev.TurnCompleted)
    assert (turn.state, end.text, end.finish_reason) == (TurnState.COMPLETED, "", "tool_calls")
    assert end.called == ("clock",)


def test_a_call_that_the_limit_of_tokens_cut_off_is_an_answer() -> None:
    turn = started()
    turn.step(ToolUse("c1", "clock", '{"zo', "caller"))
    (end,) = turn.step(Done("length"))
    assert isinstance(end, ev.TurnCompleted)
    assert (end.text, end.finish_reason) == ("", "length")


def test_costs_add_up_exactly_and_an_unknown_one_is_never_zero() -> None:
    calls = [Usage("m", 1, 2, 1, "0.1"), Usage("m", 3, 4, None, "0.2")]
    assert total_usage(calls) == ({"input_tokens": 4, "output_tokens": 6, "cached_tokens": 1}, "0.3")
    written, _ = total_usage([*calls, Usage("m", 5, 0, cache_written_tokens=4)])
    assert written is not None
    assert written["cache_written_tokens"] == 4
    assert total_usage([*calls, Usage("n", 0, 0)])[1] is None
    assert total_usage([Usage("m", 1, 1, None, "0.0000004")])[1] == "0.0000004"
    assert total_usage([]) == (None, None)


def test_every_payload_has_its_own_type_and_its_fields_as_data() -> None:
    assert len({kind.type for kind in ev.PAYLOADS.values()}) == len(ev.PAYLOADS) == 46
    message = ev.MessageAccepted("m", "user", "hi", "me")
    assert ev.data_of(message)["from"] == "me"


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_is_rejected(text: str) -> None:
    position = ev.Position.parse(text)
    assert position is None or str(position).partition(":")[0] == position.epoch


@given(st.integers(0, 10**18 - 1))
def test_a_printed_position_parses_to_itself(seq: int) -> None:
    position = ev.Position("0123456789abcdef" * 2, seq)
    assert ev.Position.parse(str(position)) == position


def test_a_failure_is_reported_in_one_line_whatever_the_provider_wrote() -> None:
    turn = started()
    *_, end = turn.fail("provider_failed", "overloaded:\n  try later\r\nor not\u2028", True, {})
    assert end == ev.TurnFailed("provider_failed", "overloaded: try later or not", True, {})
    error = ProviderFailed("first\nsecond", retryable=True)
    assert (error.detail, str(error)) == ("first second", "first second")
