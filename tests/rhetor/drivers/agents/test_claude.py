"""Claude Code's protocol, with recordings of the real program (2.1.197) and hand-written lines."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhetor.domain.output import Record, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.claude.lines import ARGUMENTS
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.protocol import Decoded
from tests.rhetor.drivers.agents.claude_lines import protocol, texts
from tests.scale import scaled

from .replay import DATA, Replayed, heard_in_pieces, processes, said_by

RECORDINGS = ["claude_plain.jsonl", "claude_tool.jsonl", "claude_turns.jsonl", "claude_resumed.jsonl"]
MODEL = "claude-opus-4-8[1m]"


@pytest.mark.parametrize("name", ["claude_turns", "claude_resumed"])
def test_a_recording_gives_the_expected_outputs_ends_memory_and_writes(name: str) -> None:
    found = [
        {"ends": one.ends, "memory": one.protocol.memory, "told": one.told()}
        for one in processes(ClaudeCode, f"{name}.jsonl", "/home/user/claude")
    ]
    assert found == msgspec.json.decode((DATA / f"{name}.outputs.json").read_bytes())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "claude_plain.jsonl",
            [
                *map(Text, ["Stub ", "reply ", "#1 ", "to: ", "hello ", "there"]),
                Usage(MODEL, 11, 7, 0, "0.00023"),
            ],
        ),
        (
            "claude_tool.jsonl",
            [
                ToolUse("toolu_7", "Bash", {"command": "echo hi"}, "agent"),
                ToolResult("toolu_7", "hi"),
                *map(Text, ["Tool ", "said: ", "hi"]),
                Usage(MODEL, 22, 14, 0, "0.00046"),
            ],
        ),
    ],
)
def test_a_turn_gives_its_outputs_in_order(name: str, told: list[Any]) -> None:
    replayed = Replayed(protocol())
    for line in said_by(name):
        replayed.hear(line)
    assert [one for one in replayed.outputs if not isinstance(one, Record)] == told
    assert replayed.ends == [""]


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_line_except_deltas_is_recorded_once_before_its_outputs(name: str) -> None:
    claude = protocol()
    for line in said_by(name):
        message = msgspec.json.decode(line)
        outputs = claude.decode(line).outputs
        if message["type"] == "stream_event" and message["event"]["type"] == "content_block_delta":
            assert not any(isinstance(output, Record) for output in outputs)
        elif message.get("response", {}).get("request_id") == "rhetor-ready":
            assert outputs == ()  # it has data about the user's account
        else:
            assert outputs[0] == Record(message)
            assert not any(isinstance(output, Record) for output in outputs[1:])


@pytest.mark.parametrize("name", RECORDINGS)
def test_single_bytes_give_the_same_outputs_as_whole_lines(name: str) -> None:
    data = b"\n".join(said_by(name))
    together = heard_in_pieces(protocol(), data, [])
    apart = heard_in_pieces(protocol(), data, range(len(data)))
    assert (apart.outputs, apart.ends) == (together.outputs, together.ends)
    assert together.ends


@settings(max_examples=scaled(25, 10), deadline=None)
@given(st.lists(st.integers(0, 130_000), max_size=40), st.sampled_from(RECORDINGS))
def test_any_chunking_gives_the_same_outputs_as_whole_lines(cuts: list[int], name: str) -> None:
    data = b"\r\n".join(said_by(name))
    together, apart = heard_in_pieces(protocol(), data, []), heard_in_pieces(protocol(), data, cuts)
    assert (apart.outputs, apart.written) == (together.outputs, together.written)


@settings(max_examples=scaled(25, 10), deadline=None)
@given(st.data())
def test_unknown_messages_and_fields_change_nothing(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(RECORDINGS))
    anything = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2))
    plainly, mixed = Replayed(protocol()), Replayed(protocol())
    for line in said_by(name):
        plainly.hear(line)
        if data.draw(st.integers(0, 9)) == 0:
            mixed.hear(msgspec.json.encode({"type": "of_tomorrow", "session_id": data.draw(anything)}))
        mixed.hear(msgspec.json.encode(msgspec.json.decode(line) | {"of_tomorrow": data.draw(anything)}))
    assert (mixed.told(), mixed.ends) == (plainly.told(), plainly.ends)


@settings(max_examples=scaled(60, 20), deadline=None)
@given(st.data())
def test_no_line_raises(data: st.DataObject) -> None:
    """Decode lines that are cut short, have a value replaced, or are random bytes."""
    claude = protocol()
    lines = said_by(data.draw(st.sampled_from(RECORDINGS)))
    for _ in range(20):
        line = data.draw(st.sampled_from(lines))
        match data.draw(st.integers(0, 2)):
            case 0:
                line = line[: data.draw(st.integers(0, len(line)))]
            case 1:
                message = msgspec.json.decode(line)
                spoil(message, data)
                line = msgspec.json.encode(message)
            case 2:
                line = data.draw(st.binary(max_size=40))
        assert isinstance(claude.decode(line), Decoded)


def spoil(message: Any, data: st.DataObject) -> None:
    """Replace some value in the message by one of another type."""
    keys = list(message) if isinstance(message, dict) else list(range(len(message)))
    key = data.draw(st.sampled_from(keys))
    if isinstance(message[key], dict | list) and message[key] and data.draw(st.booleans()):
        spoil(message[key], data)
    else:
        message[key] = data.draw(st.sampled_from([None, 1, -1, 2.5, True, "x", [], ["x"], {}, {"x": 1}]))


def test_a_line_that_is_not_an_object_is_recorded_as_bytes() -> None:
    for line in (b"plain words", b"[1]", b'{"type": "result"', b"\xff", b'{"a":' + b"[" * 5000):
        kept = Record(raw=base64.b64encode(line).decode())
        assert protocol().decode(line) == Decoded((kept,))


def test_a_lone_surrogate_does_not_hide_the_end_of_a_turn() -> None:
    line = rb'{"type":"result","subtype":"success","result":"\ud83d \\ud83d \ud83d\ude00"}'
    heard = protocol().decode(line)
    assert heard.ended
    assert texts(heard) == [Text("� \\ud83d 😀")]


def test_the_arguments_resume_fork_and_set_the_model() -> None:
    known = {"session_id": "s1"}
    assert protocol().arguments() == ARGUMENTS
    assert protocol(memory=known).arguments() == (*ARGUMENTS, "--resume", "s1")
    assert protocol(memory=known, fork=True, model="opus").arguments() == (
        *ARGUMENTS,
        *("--resume", "s1", "--fork-session", "--model", "opus"),
    )
    left = {"session_id": "s1", "last": "m1"}
    rewound = ("--resume", "s1", "--fork-session", "--resume-session-at", "m1")
    assert protocol(memory=left, fork=True).arguments() == (*ARGUMENTS, *rewound)
    assert protocol(memory=left).arguments() == (*ARGUMENTS, "--resume", "s1")
    assert protocol(memory={"session_id": "--dangerous"}).arguments() == ARGUMENTS
