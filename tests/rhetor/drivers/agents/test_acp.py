"""The ACP protocol, with recordings of real agents and with messages that none of them sends.

A recording is a dialogue: `do`, a call to the protocol; `write`, what it wrote; `read`, a line from the
agent. Beside each recording is a file with the expected outputs, one per line.
"""

import json
import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec.lines import Lines
from rhetor.domain.output import Permission, Plain, Record, Text, ToolResult, ToolUse
from rhetor.drivers.agents.acp.updates import MAX_CALLS, Calls
from rhetor.drivers.agents.protocol import Opening
from tests.rhetor.drivers.agents.acp_dialogue import CWD, DATA, RECORDINGS, Dialogue, opening, steps


def replay(name: str, cuts: random.Random | None = None, damage: Any = None) -> Dialogue:
    """Replay a recording. `cuts`: where its bytes are split; `damage`: changes a line."""
    dialogue, lines, unread = Dialogue(opening(name)), Lines(), b""
    for step in [*steps(name), {"do": None}]:
        if "read" in step:
            line = json.dumps(step["read"]).encode()
            unread += (line if damage is None else damage(line)) + b"\n"
        elif "do" in step:
            for piece in pieces(unread, cuts):
                for whole in lines.feed(piece):
                    assert isinstance(whole, bytes)
                    dialogue.decode(whole)
            unread = b""
            if step["do"]:
                dialogue.do(*step["do"])
    return dialogue


def pieces(data: bytes, cuts: random.Random | None) -> list[bytes]:
    if cuts is None:
        return [data]
    places = sorted({0, len(data), *(cuts.randrange(len(data) + 1) for _ in range(40))})
    return [data[a:b] for a, b in pairwise(places)]


def shown(dialogue: Dialogue) -> list[str]:
    dialogue.settle()
    rows = [_shown(output) for output in dialogue.outputs]
    return [*rows, *(f"end {end}" for end in dialogue.ends), f"memory {json.dumps(dialogue.protocol.memory)}"]


def _shown(output: Plain) -> str:
    if not isinstance(output, Record):
        fields = msgspec.to_builtins(output)
        if isinstance(output, Permission) and not output.questions:
            del fields["questions"]
        return f"{type(output).__name__} {json.dumps(fields)}"
    record = output.record
    what = (
        record.get("params", {}).get("update", {}).get("sessionUpdate")
        or record.get("method")
        or record["id"]
    )
    return f"Record {what}"


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_gives_the_expected_outputs(name: str) -> None:
    dialogue = replay(name)
    assert shown(dialogue) == (DATA / f"acp_{name}.meaning.txt").read_text().splitlines()
    assert dialogue.written == [step["write"] for step in steps(name) if "write" in step]


@pytest.mark.parametrize("name", RECORDINGS)
def test_each_line_is_recorded_once_except_deltas_history_and_answers_to_barriers(name: str) -> None:
    kept = [output.record for output in replay(name).outputs if isinstance(output, Record)]
    read = [step["read"] for step in steps(name) if "read" in step]
    left_out = [message for message in read if message not in kept]
    kinds = {message["params"]["update"]["sessionUpdate"] for message in left_out if "params" in message}
    assert {message["id"] for message in left_out if "params" not in message} <= {"barrier"}
    assert kept == [message for message in read if message in kept]
    repeats = name in ("gemini_resume", "opencode_fork")
    history = {"user_message_chunk", "tool_call", "tool_call_update"} if repeats else set()
    assert kinds - history <= {"agent_message_chunk", "agent_thought_chunk"}


@pytest.mark.long
@given(name=st.sampled_from(RECORDINGS), cuts=st.randoms(use_true_random=False))
def test_any_chunking_gives_the_same_outputs(name: str, cuts: random.Random) -> None:
    assert shown(replay(name, cuts)) == shown(replay(name))


def test_single_bytes_give_the_same_outputs() -> None:
    whole = replay("opencode_turns")
    lines, protocol = Lines(), Dialogue(opening("opencode_turns"))
    for step in steps("opencode_turns"):
        if "do" in step:
            protocol.do(*step["do"])
        for byte in json.dumps(step["read"]).encode() + b"\n" if "read" in step else b"":
            for line in lines.feed(bytes((byte,))):
                assert isinstance(line, bytes)
                protocol.decode(line)
    assert shown(protocol) == shown(whole)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(RECORDINGS), extra=st.dictionaries(st.text(min_size=1).map("_x".__add__), values))
def test_unknown_fields_are_ignored(name: str, extra: dict[str, Any]) -> None:
    def added(line: bytes) -> bytes:
        message = json.loads(line)
        update = message.get("params", {}).get("update", {})
        update |= extra
        return json.dumps(extra | message).encode()

    plain = [output for output in replay(name).outputs if not isinstance(output, Record)]
    with_more = [output for output in replay(name, damage=added).outputs if not isinstance(output, Record)]
    assert with_more == plain


@given(name=st.sampled_from(RECORDINGS), keep=st.floats(0, 1))
def test_truncated_lines_are_recorded_raw_and_never_raise(name: str, keep: float) -> None:
    dialogue = replay(name, damage=lambda line: line[: int(len(line) * keep)])
    assert len(dialogue.outputs) <= len(replay(name).outputs) + len(steps(name))


@given(
    name=st.sampled_from(RECORDINGS),
    at=st.randoms(use_true_random=False),
    value=values,
)
def test_a_value_of_another_type_never_raises(name: str, at: random.Random, value: Any) -> None:
    def changed(line: bytes) -> bytes:
        message = json.loads(line)
        place, key = message, at.choice(list(message))
        while isinstance(place[key], dict | list) and place[key] and at.random() < 0.8:
            place = place[key]
            key = at.choice(list(place)) if isinstance(place, dict) else at.randrange(len(place))
        place[key] = value
        return json.dumps(message).encode()

    assert replay(name, damage=changed).outputs


@given(lines=st.lists(values.map(lambda value: json.dumps(value).encode()) | st.binary()))
def test_lines_that_are_not_messages_become_records(lines: list[bytes]) -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    before = len(dialogue.outputs)
    for line in lines:
        dialogue.decode(line)
    assert all(isinstance(output, Record) for output in dialogue.outputs[before:])
    assert len(dialogue.outputs) == before + len(lines)


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "opencode"])
def test_the_updates_of_four_agents_give_each_tool_call_once(agent: str) -> None:
    # the rest arrived while a second process loaded the conversation
    lines, _, _ = (DATA / f"acp_{agent}.jsonl").read_text().partition("user_message_chunk")
    dialogue = Dialogue(Opening(CWD)).ready()
    for line in lines.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        row = json.loads(line)
        if row["kind"] == "update":
            dialogue.hear(method="session/update", params={"update": row["msg"]})
        elif row["kind"] == "prompt_response":
            dialogue.hear(id="prompt-1", result=row["msg"])
            dialogue.do("say", "next")
    outputs = dialogue.outputs
    told = [output.call_id for output in outputs if isinstance(output, ToolUse)]
    returned = [output.call_id for output in outputs if isinstance(output, ToolResult)]
    assert len(told) == len(set(told)) > 0
    assert len(returned) == len(set(returned)) > 0
    assert set(returned) <= set(told)
    assert "first" in "".join(output.text for output in outputs if isinstance(output, Text))


@pytest.mark.parametrize(
    "content", [{"type": "text"}, {"type": "text", "text": 1}, {"type": "image", "data": "x"}]
)
def test_a_chunk_that_is_not_text_becomes_a_record(content: Any) -> None:
    heard = Dialogue(Opening(CWD)).ready().update("agent_message_chunk", content=content)
    assert [type(output) for output in heard.outputs] == [Record]


def test_a_tool_call_is_reported_once_its_arguments_are_complete() -> None:
    calls = Calls()
    assert calls.take({"toolCallId": "c", "title": "bash", "status": "pending", "rawInput": {}}) == []
    whole = {"toolCallId": "c", "title": "ls", "status": "in_progress", "rawInput": {"command": "ls"}}
    assert calls.take(whole) == [ToolUse("c", "bash", {"command": "ls"}, "agent")]
    content = [{"type": "content", "content": {"type": "text", "text": "x"}}]
    ended = {"toolCallId": "c", "status": "failed", "content": content}
    assert calls.take(ended) == [ToolResult("c", "x", is_error=True)]
    assert calls.take(ended) == []
    assert calls.take({"toolCallId": "d", "kind": "read"}) == []
    assert calls.over() == [ToolUse("d", "read", {"kind": "read"}, "agent")]
    assert calls.take({"toolCallId": "d", "kind": "read", "status": "in_progress"}) != []


@pytest.mark.parametrize(
    ("title", "given", "name"),
    [
        ("bash", {"cwd": "/"}, "bash"),
        ("run the tests", {"command": "make test"}, "execute"),
        ("Tests", {"command": "make test", "description": "Tests"}, "execute"),
        ("", {"command": "make test"}, "execute"),
        ("bash", None, "execute"),
    ],
)
def test_the_title_of_a_tool_call_is_its_name_only_if_it_describes_nothing(
    title: str, given: Any, name: str
) -> None:
    announced = {"toolCallId": "c", "title": title, "kind": "execute", "status": "in_progress"}
    (told,) = Calls().take({**announced, "rawInput": given})
    assert isinstance(told, ToolUse) and told.name == name


def test_the_number_of_tool_calls_is_bounded() -> None:
    calls = Calls()
    for number in range(MAX_CALLS + 10):
        calls.take({"toolCallId": str(number)})
    assert len(calls.over()) == MAX_CALLS
