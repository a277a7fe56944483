"""Codex's app-server protocol, with recordings of the real program (0.169) and hand-written lines."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhetor.domain.output import Permission, Record, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.protocol import Decoded
from tests.rhetor.drivers.agents.codex_lines import protocol
from tests.scale import scaled

from .replay import DATA, Replayed, entries, heard_in_pieces, processes, said_by
from .test_claude import spoil

RECORDINGS = ["codex_appserver.jsonl", "codex_turns.jsonl", "codex_resumed.jsonl"]
DELTAS = {"item/agentMessage/delta", "item/reasoning/summaryTextDelta"}


@pytest.mark.parametrize("name", ["codex_turns", "codex_resumed"])
def test_a_recording_gives_the_expected_outputs_ends_memory_and_writes(name: str) -> None:
    found = [
        {"ends": one.ends, "memory": one.protocol.memory, "told": one.told()}
        for one in processes(Codex, f"{name}.jsonl", "/home/user/codex")
    ]
    assert found == msgspec.json.decode((DATA / f"{name}.outputs.json").read_bytes())


def test_the_turns_of_another_client_give_their_outputs_in_order() -> None:
    """Two processes. The first one has answers, a command that is allowed, one declined, and an interrupt."""
    first, second = Replayed(protocol()), None
    first.write(first.protocol.opening_lines())
    replayed = first
    for kind, message in entries("codex_appserver.jsonl"):
        if message.get("id") == 9 and second is None:
            replayed = second = Replayed(protocol(memory=dict(first.protocol.memory)))
            second.write(second.protocol.opening_lines())
        if kind == "in":
            replay_act(replayed, message)
        elif second is not None and message.get("id", 0) > 8:
            replayed.hear(msgspec.json.encode(message | {"id": message["id"] - 8}))
        else:
            replayed.hear(msgspec.json.encode(message))
    assert second is not None
    assert first.answer() == (
        "Stub reply #1 to: firstStub reply #2 to: second"
        "Tool said: Chunk ID: e42f27\nWall time: 0.0000 seconds\nProcess exited with code 0\n"
        "Original token count: 2\nOutput:\nmade"
        'Tool said: exec_command failed: CreateProcess { message: "Rejected(\\"rejected by user\\")" }'
        "w0 "
    )
    assert first.ends == ["", "", "", "", "Interrupted"]
    tools = [one for one in first.outputs if isinstance(one, ToolUse | ToolResult)]
    run = {"command": "/bin/bash -lc 'touch /home/user/codex/%s && echo made'", "cwd": "/home/user/codex"}
    assert tools == [
        ToolUse("call_45", "shell", run | {"command": run["command"] % "x"}, "agent"),
        ToolResult("call_45", {"aggregatedOutput": "made\n", "exitCode": 0, "status": "completed"}),
        ToolUse("call_50", "shell", run | {"command": run["command"] % "y"}, "agent"),
        ToolResult("call_50", {"aggregatedOutput": None, "exitCode": None, "status": "declined"}, True),
    ]
    assert [one for one in first.outputs if isinstance(one, Usage)] == [Usage("stub", 11, 7, 0)] * 6
    assert (second.answer(), second.ends) == ("Stub reply #6 to: resumed", [""])
    assert [one for one in second.outputs if isinstance(one, Usage)] == [Usage("stub", 11, 7, 0)]


def replay_act(replayed: Replayed, message: Any) -> None:
    match message:
        case {"method": "turn/start", "params": {"input": [{"text": text}]}}:
            replayed.write(replayed.protocol.prompt(text))
        case {"method": "turn/interrupt"}:
            replayed.write(replayed.protocol.interrupt())
        case {"result": {"decision": decision}}:
            [asked] = [one for one in replayed.outputs if isinstance(one, Permission)][-1:]
            replayed.write(replayed.protocol.answer(asked.request_id, decision))
            assert replayed.written[-1] == message


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_line_except_deltas_is_recorded_once_before_its_outputs(name: str) -> None:
    codex = protocol()
    for line in said_by(name):
        message = msgspec.json.decode(line)
        outputs = codex.decode(line).outputs
        if message.get("method") in DELTAS:
            assert not any(isinstance(output, Record) for output in outputs)
        else:
            assert outputs[0] == Record(message)
            assert not any(isinstance(output, Record) for output in outputs[1:])


@pytest.mark.parametrize("name", RECORDINGS)
def test_single_bytes_give_the_same_outputs_as_whole_lines(name: str) -> None:
    data = b"\n".join(said_by(name))
    together = heard_in_pieces(protocol(), data, [])
    apart = heard_in_pieces(protocol(), data, range(len(data)))
    assert (apart.outputs, apart.ends) == (together.outputs, together.ends)
    assert any(isinstance(one, Text) for one in together.outputs)


@settings(max_examples=scaled(25, 10), deadline=None)
@given(st.lists(st.integers(0, 130_000), max_size=40), st.sampled_from(RECORDINGS))
def test_any_chunking_gives_the_same_outputs_as_whole_lines(cuts: list[int], name: str) -> None:
    data = b"\r\n".join(said_by(name))
    together, apart = heard_in_pieces(protocol(), data, []), heard_in_pieces(protocol(), data, cuts)
    assert (apart.outputs, apart.written) == (together.outputs, together.written)


@pytest.mark.long
@settings(max_examples=scaled(25, 10), deadline=None)
@given(st.data())
def test_unknown_messages_and_fields_change_nothing(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(RECORDINGS))
    anything: st.SearchStrategy[Any] = st.none() | st.integers() | st.text() | st.just({"id": []})
    plainly, mixed = Replayed(protocol()), Replayed(protocol())
    for line in said_by(name):
        plainly.hear(line)
        if data.draw(st.integers(0, 9)) == 0:
            mixed.hear(msgspec.json.encode({"method": "of/tomorrow", "params": data.draw(anything)}))
        mixed.hear(msgspec.json.encode(msgspec.json.decode(line) | {"ofTomorrow": data.draw(anything)}))
    assert (mixed.told(), mixed.ends) == (plainly.told(), plainly.ends)


@settings(max_examples=scaled(60, 20), deadline=None)
@given(st.data())
def test_no_line_raises(data: st.DataObject) -> None:
    """Decode and answer lines that are cut short, have a value replaced, or are random bytes."""
    codex = protocol()
    codex.opening_lines()
    lines = said_by(data.draw(st.sampled_from([*RECORDINGS, "codex_plain.jsonl", "codex_tool.jsonl"])))
    for _ in range(20):
        line = data.draw(st.sampled_from(lines))
        match data.draw(st.integers(0, 3)):
            case 0:
                line = line[: data.draw(st.integers(0, len(line)))]
            case 1:
                message = msgspec.json.decode(line)
                spoil(message, data)
                line = msgspec.json.encode(message)
            case 2:
                line = data.draw(st.binary(max_size=40))
            case 3:
                codex.prompt("go on")
        for output in codex.decode(line).outputs:
            if isinstance(output, Permission):
                codex.answer(output.request_id, data.draw(st.sampled_from([None, "accept", "cancel"])))
    assert all(isinstance(msgspec.json.decode(line), dict) for line in codex.interrupt())


def test_a_line_that_is_not_an_object_is_recorded_as_bytes() -> None:
    for line in (b"plain words", b"[1]", b'{"method": "turn', b"\xff"):
        assert protocol().decode(line) == Decoded((Record(raw=base64.b64encode(line).decode()),))
