"""The protocol of `cursor-agent`, with the examples of its documentation."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.output import Plain, Record, Text, ToolResult, ToolUse
from rhetor.drivers.agents.acp.cursor import RUN_PER_TURN, Cursor
from rhetor.drivers.agents.protocol import Opening

INIT = {"type": "system", "subtype": "init", "session_id": "s1", "model": "auto", "cwd": "/w"}
USER = {
    "type": "user",
    "message": {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    "session_id": "s1",
}
READING = {"readToolCall": {"args": {"path": "a"}}}
READ = {"readToolCall": {"args": {"path": "a"}, "result": {"success": {"content": "x"}}}}
FAILED = {"shellToolCall": {"args": {}, "result": {"rejected": {"command": "ls"}}}}
RESULT: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "one two",
    "session_id": "s1",
}


def assistant(words: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"type": "text", "text": words}]}
    return {"type": "assistant", "message": message, "session_id": "s1"}


def call(kind: str, tool_call: Any) -> dict[str, Any]:
    return {"type": "tool_call", "subtype": kind, "call_id": "c", "tool_call": tool_call, "session_id": "s1"}


TURN: list[dict[str, Any]] = [
    INIT,
    USER,
    assistant("one "),
    call("started", READING),
    call("completed", READ),
    assistant("two"),
    RESULT,
]


def heard(lines: list[Any], protocol: Cursor | None = None) -> tuple[list[Plain], list[str]]:
    """Return the outputs and ends of a turn."""
    protocol = protocol or Cursor(Opening("/w"))
    protocol.prompt("hi")
    outputs: list[Plain] = []
    ends: list[str] = []
    for line in lines:
        one = protocol.decode(line if isinstance(line, bytes) else json.dumps(line).encode())
        outputs += one.outputs
        if one.ended:
            ends.append("done" if one.failure is None else f"{one.failure.code}: {one.failure.detail}")
    return outputs, ends


def told(lines: tuple[bytes, ...]) -> Any:
    """Return the only order that was written."""
    (line,) = lines
    return json.loads(line)


def test_a_turn_gives_its_outputs_in_order() -> None:
    protocol = Cursor(Opening("/w"))
    outputs, ends = heard(TURN, protocol)
    assert outputs == [
        Record(INIT),
        Record(USER),
        Record(TURN[2]),
        Text("one "),
        Record(TURN[3]),
        ToolUse("c", "read", {"path": "a"}, "agent"),
        Record(TURN[4]),
        ToolResult("c", {"content": "x"}),
        Record(TURN[5]),
        Text("two"),
        Record(RESULT),
    ]
    assert ends == ["done"]
    assert protocol.memory == {"session_id": "s1", "turns": 1, "model": "auto"}


def test_each_turn_is_a_process_that_continues_the_previous_chat() -> None:
    protocol = Cursor(Opening("/w", model="gpt"))
    runner = (sys.executable, "-I", "-S", str(RUN_PER_TURN))
    own = ("-p", "--output-format", "stream-json")
    assert protocol.command(("/bin/cursor-agent", "-f")) == (*runner, "/bin/cursor-agent", "-f", *own)
    assert told(protocol.prompt("-x")) == {"turn": 1, "arguments": ["--model", "gpt", "--", "-x"]}
    heard(TURN, protocol)
    assert told(protocol.prompt("on")) == {
        "turn": 3,
        "arguments": ["--model", "gpt", "--resume", "s1", "--", "on"],
    }
    anew = {"turn": 1, "arguments": ["--", "on"]}
    assert told(Cursor(Opening("/w", protocol.memory, fork=True)).prompt("on")) == anew
    assert told(Cursor(Opening("/w", {"session_id": "--force"})).prompt("on")) == anew


def test_an_answer_that_is_only_in_the_result_is_given_once() -> None:
    assert heard([INIT, RESULT])[0][-1] == Text("one two")


def test_reasoning_is_not_part_of_the_answer() -> None:
    thought = {"type": "thinking", "subtype": "delta", "text": "hm", "session_id": "s1"}
    assert heard([thought])[0] == [Text("hm", "reasoning")]


def test_a_failed_tool_call_is_an_error() -> None:
    assert heard([call("completed", FAILED)])[0][1] == ToolResult(
        "c", {"rejected": {"command": "ls"}}, is_error=True
    )


def test_tools_of_an_unknown_kind_have_a_name() -> None:
    named = {"function": {"name": "grep", "arguments": "{}"}}
    assert heard([call("started", named)])[0][1] == ToolUse("c", "grep", "{}", "agent")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ({"is_error": True, "result": "no credit"}, "turn_failed: cursor failed: no credit"),
        ({"subtype": "error_max_turns"}, "turn_failed: cursor failed: one two"),
    ],
)
def test_an_error_result_fails_the_turn(end: dict[str, Any], told: str) -> None:
    assert heard([INIT, RESULT | end])[1] == [told]


@pytest.mark.parametrize(
    ("said", "why"), [("\nwarning\nno credit\n", "no credit"), ("", "it ended without a result")]
)
def test_a_process_that_ends_without_a_result_fails_the_turn(said: str, why: str) -> None:
    end = {"type": "process.exited", "turn": 1, "code": 1, "signal": None, "said": said}
    assert heard([INIT, end])[1] == [f"turn_failed: cursor failed: {why}"]
    assert heard([*TURN, end])[1] == ["done"]


def test_the_end_of_an_earlier_process_does_not_end_the_turn() -> None:
    protocol = Cursor(Opening("/w"))
    heard(TURN, protocol)
    end = {"type": "process.exited", "turn": 1, "code": 0, "signal": None, "said": ""}
    assert heard([end, *TURN], protocol)[1] == ["done"]


def test_a_process_ended_by_a_signal_counts_as_interrupted() -> None:
    protocol = Cursor(Opening("/w"))
    protocol.prompt("hi")
    protocol.interrupt()
    end = {"type": "process.exited", "turn": 1, "code": None, "signal": 15, "said": ""}
    failure = protocol.decode(json.dumps(end).encode()).failure
    assert (failure and failure.code, protocol.interrupt()) == ("interrupted", ())


def test_a_turn_that_ends_after_an_interrupt_is_interrupted() -> None:
    protocol = Cursor(Opening("/w"))
    protocol.prompt("hi")
    assert told(protocol.interrupt()) == {"stop": True}
    assert protocol.decode(json.dumps(RESULT).encode()).failure is not None


def test_a_later_hub_does_not_repeat_text() -> None:
    protocol = Cursor(Opening("/w", {"session_id": "s1"}))
    protocol.resume(True, {})
    assert protocol.decode(json.dumps(RESULT).encode()).outputs == (Record(RESULT),)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(at=st.randoms(use_true_random=False), value=values, number=st.integers(0, len(TURN) - 1))
def test_a_value_of_another_type_never_raises(at: Any, value: Any, number: int) -> None:
    line = json.loads(json.dumps(TURN[number]))
    place, key = line, at.choice(list(line))
    while isinstance(place[key], dict | list) and place[key] and at.random() < 0.8:
        place = place[key]
        key = at.choice(list(place)) if isinstance(place, dict) else at.randrange(len(place))
    place[key] = value
    outputs, _ = heard([*TURN[:number], line, *TURN[number + 1 :]])
    assert sum(isinstance(output, Record) for output in outputs) >= len(TURN) - 1


@given(extra=st.dictionaries(st.text(min_size=1).map("_x".__add__), values), keep=st.floats(0, 1))
def test_unknown_fields_and_truncated_lines_are_ignored(extra: dict[str, Any], keep: float) -> None:
    plain = [output for output in heard(TURN)[0] if not isinstance(output, Record)]
    more = [
        output for output in heard([{**line, **extra} for line in TURN])[0] if not isinstance(output, Record)
    ]
    assert more == plain
    lines = [json.dumps(line).encode() for line in TURN]
    cut, _ = heard([line[: int(len(line) * keep)] for line in lines])
    assert sum(isinstance(output, Record) for output in cut) == len(TURN)
