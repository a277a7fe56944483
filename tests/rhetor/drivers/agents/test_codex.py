"""Codex's app-server protocol, with recordings of the real program (0.169) and hand-written lines."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhetor.domain.output import Late, Permission, Plain, Record, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.protocol import Decoded, Opening
from tests.scale import scaled

from .replay import DATA, Replayed, entries, heard_in_pieces, processes, said_by
from .test_claude import spoil

RECORDINGS = ["codex_appserver.jsonl", "codex_turns.jsonl", "codex_resumed.jsonl"]
DELTAS = {"item/agentMessage/delta", "item/reasoning/summaryTextDelta"}
COMMAND = "item/commandExecution/requestApproval"
THREAD = {"id": 2, "result": {"thread": {"id": "t1"}, "model": "m"}}


def protocol(**opening: Any) -> Codex:
    return Codex(Opening("/home/user", **opening))


def take(codex: Codex, **line: Any) -> Decoded:
    return codex.decode(msgspec.json.encode(line))


def tell(codex: Codex, method: str, **params: Any) -> Decoded:
    return take(codex, method=method, params={"threadId": "t1"} | params)


def started() -> Codex:
    """Return a protocol with an open conversation and a running turn."""
    codex = protocol()
    codex.opening_lines()
    take(codex, **THREAD)
    codex.prompt("hi")
    take(codex, id=3, result={"turn": {"id": "u1"}})
    tell(codex, "turn/started", turn={"id": "u1"})
    return codex


def meaning(heard: Decoded) -> list[Plain]:
    return [output for output in heard.outputs if not isinstance(output, Record)]


def sent(lines: tuple[bytes, ...]) -> list[Any]:
    return [msgspec.json.decode(line) for line in lines]


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


@pytest.mark.parametrize(
    ("opening", "method", "params"),
    [
        ({}, "thread/start", {}),
        ({"model": "big"}, "thread/start", {"model": "big"}),
        ({"memory": {"session_id": "t0"}}, "thread/resume", {"threadId": "t0", "excludeTurns": True}),
        (
            {"memory": {"session_id": "t0"}, "fork": True},
            "thread/fork",
            {"threadId": "t0", "excludeTurns": True},
        ),
    ],
)
def test_a_conversation_is_opened_new_resumed_or_forked(
    opening: dict[str, Any], method: str, params: dict[str, Any]
) -> None:
    codex = protocol(**opening)
    hello, ready, thread = sent(codex.opening_lines())
    assert (codex.arguments(), hello["method"], ready) == (
        ("app-server",),
        "initialize",
        {"method": "initialized"},
    )
    assert thread == {"id": 2, "method": method, "params": {"cwd": "/home/user"} | params}


def test_a_message_waits_until_the_conversation_is_open() -> None:
    codex = protocol()
    codex.opening_lines()
    assert codex.prompt("hi") == ()
    turn = {"threadId": "t1", "input": [{"type": "text", "text": "hi"}]}
    assert sent(take(codex, **THREAD).writes) == [{"id": 3, "method": "turn/start", "params": turn}]
    assert codex.memory == {"session_id": "t1", "model": "m"}


def test_a_failed_opening_ends_the_turn_and_is_retried_with_the_next_message() -> None:
    codex = protocol(memory={"session_id": "t0"})
    codex.opening_lines()
    codex.prompt("hi")
    heard = take(codex, id=2, error={"code": -32600, "message": "it is locked"})
    assert heard.ended
    assert heard.failure is not None
    assert heard.failure.detail == "codex failed: it is locked"
    assert [line["method"] for line in sent(codex.prompt("hi"))] == ["thread/resume"]


def test_a_rejected_turn_fails() -> None:
    codex = protocol()
    codex.opening_lines()
    take(codex, **THREAD)
    codex.prompt("hi")
    heard = take(codex, id=3, error={"code": -32600, "message": "no"})
    assert heard.ended
    assert heard.failure is not None


def test_another_hub_does_not_reuse_request_numbers() -> None:
    codex = started()
    again = protocol(memory=dict(codex.memory))
    again.resume(False, {})
    [first] = sent(again.prompt("more"))
    third = protocol(memory=dict(again.memory))
    third.resume(False, {})
    [second] = sent(third.prompt("more"))
    assert (first["id"], second["id"]) == (1_000_001, 2_000_001)
    assert first["params"]["threadId"] == "t1"


def test_an_interrupt_names_the_turn_even_under_another_hub() -> None:
    codex = started()
    again = protocol(memory=dict(codex.memory))
    again.resume(True, {})
    [order] = sent(again.interrupt())
    assert (order["method"], order["params"]) == ("turn/interrupt", {"threadId": "t1", "turnId": "u1"})


def test_an_interrupt_before_the_turn_has_started_is_sent_once_it_has() -> None:
    codex = protocol()
    codex.opening_lines()
    take(codex, **THREAD)
    codex.prompt("hi")
    assert codex.interrupt() == ()
    assert take(codex, id=3, result={"turn": {"id": "u1"}}).writes == ()
    [order] = sent(tell(codex, "turn/started", turn={"id": "u1"}).writes)
    assert order["method"] == "turn/interrupt"


def test_an_interrupt_before_the_conversation_is_open_ends_the_turn() -> None:
    codex = protocol()
    codex.opening_lines()
    codex.prompt("hi")
    codex.interrupt()
    heard = take(codex, **THREAD)
    assert (heard.ended, heard.writes) == (True, ())
    assert heard.failure is not None
    assert heard.failure.code == "interrupted"


def test_the_end_of_another_turn_does_not_end_the_requested_one() -> None:
    codex = started()
    codex.prompt("the next")
    assert not tell(codex, "turn/completed", turn={"id": "u1", "status": "completed"}).ended
    take(codex, id=4, result={"turn": {"id": "u2"}})
    tell(codex, "turn/started", turn={"id": "u2"})
    assert tell(codex, "turn/completed", turn={"id": "u2", "status": "completed"}).ended
    assert "turn" not in codex.memory


def test_the_text_of_another_turn_is_not_part_of_the_answer() -> None:
    codex = started()
    said = [tell(codex, "item/agentMessage/delta", turnId="u1", itemId="a", delta="one")]
    tell(codex, "turn/completed", turn={"id": "u1", "status": "completed"})
    said.append(tell(codex, "item/agentMessage/delta", turnId="u1", itemId="a", delta=" and a half"))
    codex.prompt("two")
    said.append(tell(codex, "item/agentMessage/delta", turnId="u1", itemId="a", delta="."))
    item = {"id": "b", "type": "agentMessage", "text": "of itself"}
    said.append(tell(codex, "item/completed", turnId="u2", item=item))
    take(codex, id=4, result={"turn": {"id": "u3"}})
    tell(codex, "turn/started", turn={"id": "u3"})
    said.append(tell(codex, "item/agentMessage/delta", turnId="u2", itemId="c", delta=", and more"))
    said.append(tell(codex, "item/agentMessage/delta", turnId="u3", itemId="d", delta="two"))
    own = tell(codex, "turn/completed", turn={"id": "u2", "status": "completed"})
    assert [output for one in said for output in meaning(one)] == [
        Text("one"),
        Late(" and a half"),
        Late("."),
        Late("of itself", True),
        Late(", and more"),
        Text("two"),
    ]
    assert not own.ended
    assert tell(codex, "turn/completed", turn={"id": "u3", "status": "completed"}).ended


def test_another_thread_adds_no_text_and_ends_no_turn() -> None:
    codex = started()
    other = {"threadId": "t2"}
    message = {"type": "agentMessage", "id": "i1", "text": "sub"}
    for method, params in (
        ("item/agentMessage/delta", {"itemId": "i1", "delta": "sub"}),
        ("item/started", {"item": message}),
        ("item/completed", {"item": message}),
        ("turn/completed", {"turn": {"id": "u1", "status": "completed"}}),
    ):
        heard = tell(codex, method, **params | other)
        assert (meaning(heard), heard.ended) == ([], False)


def test_a_text_is_given_once_and_its_missing_rest_is_added() -> None:
    codex = started()
    message = {"type": "agentMessage", "id": "i1"}
    assert meaning(tell(codex, "item/completed", item=message | {"text": "whole"})) == [Text("whole")]
    tell(codex, "item/started", item=message)
    assert meaning(tell(codex, "item/agentMessage/delta", itemId="i1", delta="one ")) == [Text("one ")]
    assert meaning(tell(codex, "item/completed", item=message | {"text": "one two"})) == [Text("two")]


def test_an_item_reported_by_an_earlier_hub_is_not_repeated() -> None:
    codex = started()
    again = protocol(memory=dict(codex.memory))
    again.resume(True, {})
    message = {"type": "agentMessage", "id": "i1", "text": "the beginning and the rest"}
    assert meaning(tell(again, "item/agentMessage/delta", itemId="i1", delta="the rest")) == [
        Text("the rest")
    ]
    assert meaning(tell(again, "item/completed", item=message)) == []
    command = {"type": "commandExecution", "id": "c1", "status": "completed"}
    assert [type(one) for one in meaning(tell(again, "item/completed", item=command))] == [ToolResult]
    assert tell(again, "turn/completed", turn={"id": "u1", "status": "completed"}).ended


def test_usage_is_reported_if_it_grew_in_the_running_turn() -> None:
    def usage(codex: Codex, total: int, turn: str = "u1") -> list[Plain]:
        last = {"inputTokens": 11, "outputTokens": 7, "cachedInputTokens": 4}
        stats = {"total": {"inputTokens": total, "outputTokens": 7, "cachedInputTokens": 4}, "last": last}
        return meaning(tell(codex, "thread/tokenUsage/updated", turnId=turn, tokenUsage=stats))

    codex = started()
    assert usage(codex, 5, "u0") == []
    assert usage(codex, 16) == [Usage("m", 11, 7, 4)]
    assert usage(codex, 16) == []
    again = protocol(memory=dict(codex.memory))
    again.resume(True, {})
    assert usage(again, 16) == []
    tell(again, "model/rerouted", toModel="other")
    assert usage(again, 27) == [Usage("other", 11, 7, 4)]


def ask(codex: Codex, method: str, **params: Any) -> Permission:
    heard = take(codex, id=0, method=method, params={"threadId": "t1", "turnId": "u1"} | params)
    [permission] = [output for output in heard.outputs if isinstance(output, Permission)]
    return permission


AMEND = {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch", "x"]}}
WANTED = {"network": {"enabled": True}}


@pytest.mark.parametrize(
    ("method", "params", "offered", "chosen", "result"),
    [
        (
            COMMAND,
            {"availableDecisions": ["accept", AMEND, "cancel"]},
            ["accept", "acceptWithExecpolicyAmendment", "decline", "cancel"],
            "acceptWithExecpolicyAmendment",
            {"decision": AMEND},
        ),
        (COMMAND, {}, ["accept", "acceptForSession", "decline", "cancel"], "accept", {"decision": "accept"}),
        (COMMAND, {}, ["accept", "acceptForSession", "decline", "cancel"], None, {"decision": "decline"}),
        (
            "item/fileChange/requestApproval",
            {},
            ["accept", "acceptForSession", "decline", "cancel"],
            "yes, do it",
            {"decision": "decline"},
        ),
        (
            "item/permissions/requestApproval",
            {"permissions": WANTED},
            ["accept", "acceptForSession", "decline"],
            "acceptForSession",
            {"permissions": WANTED, "scope": "session"},
        ),
        (
            "item/permissions/requestApproval",
            {"permissions": WANTED},
            ["accept", "acceptForSession", "decline"],
            None,
            {"permissions": {}, "scope": "turn"},
        ),
        (
            "mcpServer/elicitation/request",
            {"requestedSchema": {"required": ["name"]}},
            ["answer", "decline", "cancel"],
            "accept",
            {"action": "decline"},
        ),
        (
            "mcpServer/elicitation/request",
            {"requestedSchema": {"properties": {}}},
            ["accept", "decline", "cancel"],
            "accept",
            {"action": "accept", "content": {}},
        ),
        (
            "item/tool/requestUserInput",
            {
                "questions": [
                    {"id": "q", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}
                ]
            },
            ["choose_1", "choose_2", "decline"],
            "choose_2",
            {"answers": {"q": {"answers": ["Blue"]}}},
        ),
        (
            "execCommandApproval",
            {},
            ["approved", "approved_for_session", "denied", "abort"],
            None,
            {"decision": "denied"},
        ),
    ],
)
@pytest.mark.parametrize("reopened", [False, True])
def test_a_permission_is_answered_once_in_the_agents_format(
    method: str, params: dict[str, Any], offered: list[str], chosen: str | None, result: Any, reopened: bool
) -> None:
    codex = started()
    permission = ask(codex, method, **params)
    assert [option.option_id for option in permission.options] == offered
    if reopened:
        codex = protocol(memory=dict(codex.memory))
        codex.resume(True, {permission.request_id: permission.detail})
    assert sent(codex.answer(permission.request_id, chosen)) == [{"id": 0, "result": result}]
    assert codex.answer(permission.request_id, chosen) == ()


def test_questions_are_answered_by_their_ids() -> None:
    codex = started()
    questions = [
        {
            "id": "c",
            "header": "Colour",
            "question": "Which?",
            "options": [{"label": "Red"}, {"label": "Blue"}],
        },
        {"id": "k", "header": "Key", "question": "Which key?", "isSecret": True, "options": None},
    ]
    params = {"threadId": "t1", "turnId": "u1", "itemId": "i", "questions": questions}
    [asked] = meaning(take(codex, id=9, method="item/tool/requestUserInput", params=params))
    assert isinstance(asked, Permission)
    assert [option.option_id for option in asked.options] == ["answer", "decline"]
    assert [(q.id, len(q.options), q.secret) for q in asked.questions] == [("c", 2, False), ("k", 0, True)]
    lines = codex.answer(asked.request_id, None, {"c": ["Blue"], "k": "abc"})
    answers = {"c": {"answers": ["Blue"]}, "k": {"answers": ["abc"]}}
    assert sent(lines) == [{"id": 9, "result": {"answers": answers}}]


def test_the_required_fields_of_a_form_are_questions() -> None:
    codex = started()
    fields = {
        "name": {"type": "string", "title": "Name"},
        "count": {"type": "integer"},
        "sure": {"type": "boolean"},
        "kind": {"type": "string", "oneOf": [{"const": "a", "title": "Type A"}]},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}},
        "extra": {"type": "string"},
    }
    schema = {"type": "object", "properties": fields, "required": ["name", "count", "sure", "kind", "tags"]}
    params = {"threadId": "t1", "turnId": "u1", "message": "Fill in", "requestedSchema": schema}
    [asked] = meaning(take(codex, id=9, method="mcpServer/elicitation/request", params=params))
    assert isinstance(asked, Permission)
    assert [option.option_id for option in asked.options] == ["answer", "decline", "cancel"]
    offered = {q.id: [choice.label for choice in q.options] for q in asked.questions}
    assert offered == {"name": [], "count": [], "sure": ["Yes", "No"], "kind": ["Type A"], "tags": ["x", "y"]}
    answers: Any = {"name": "n", "count": "3", "sure": ["No"], "kind": ["Type A"], "tags": ["x", "y"]}
    content = {"name": "n", "count": 3, "sure": False, "kind": "a", "tags": ["x", "y"]}
    assert sent(codex.answer(asked.request_id, None, answers)) == [
        {"id": 9, "result": {"action": "accept", "content": content}}
    ]


def test_the_changes_of_a_patch_are_part_of_its_request() -> None:
    codex = started()
    changes = [{"path": "/home/user/new.txt", "kind": {"type": "add"}, "diff": "hello\n"}]
    tell(codex, "item/started", item={"type": "fileChange", "id": "c1", "changes": changes})
    permission = ask(codex, "item/fileChange/requestApproval", itemId="c1")
    assert (permission.tool, permission.detail["changes"]) == ("apply_patch", changes)


def test_a_request_resolved_elsewhere_accepts_no_answer() -> None:
    codex = started()
    permission = ask(codex, COMMAND)
    tell(codex, "serverRequest/resolved", requestId=0)
    assert codex.answer(permission.request_id, "accept") == ()


def test_an_interrupt_cancels_pending_requests_then_the_turn() -> None:
    codex = started()
    permission = ask(codex, COMMAND)
    answer, order = sent(codex.interrupt())
    assert answer == {"id": 0, "result": {"decision": "cancel"}}
    assert order["method"] == "turn/interrupt"
    assert codex.answer(permission.request_id, "accept") == ()


def test_an_unknown_request_is_rejected() -> None:
    heard = take(started(), id="x", method="item/tool/call", params={})
    assert sent(heard.writes) == [
        {"id": "x", "error": {"code": -32601, "message": "item/tool/call is not supported"}}
    ]


@pytest.mark.parametrize(
    ("turn", "failure"),
    [
        ({"status": "interrupted"}, ("interrupted", True)),
        ({"error": {"message": "m", "codexErrorInfo": "contextWindowExceeded"}}, ("context_overflow", False)),
        ({"error": {"message": "m", "codexErrorInfo": "usageLimitExceeded"}}, ("provider_failed", False)),
        ({"error": {"message": "m", "codexErrorInfo": "serverOverloaded"}}, ("rate_limited", True)),
        ({"error": {"message": "m", "codexErrorInfo": "unauthorized"}}, ("provider_denied", False)),
        (
            {"error": {"message": "m", "codexErrorInfo": {"httpConnectionFailed": {"httpStatusCode": None}}}},
            ("provider_unreachable", True),
        ),
        (
            {
                "error": {
                    "message": "m",
                    "codexErrorInfo": {"responseTooManyFailedAttempts": {"httpStatusCode": 429}},
                }
            },
            ("rate_limited", True),
        ),
        ({"error": {"message": "stream disconnected", "codexErrorInfo": "other"}}, ("provider_cut", True)),
        ({"error": {"message": "m", "codexErrorInfo": "sandboxError"}}, ("turn_failed", False)),
        ({}, ("turn_failed", False)),
    ],
)
def test_a_failed_turn_gives_a_typed_failure(turn: dict[str, Any], failure: tuple[str, bool]) -> None:
    heard = tell(started(), "turn/completed", turn={"id": "u1", "status": "failed"} | turn)
    assert heard.ended
    assert heard.failure is not None
    assert (heard.failure.code, heard.failure.retryable) == failure


def test_an_error_that_the_agent_retries_ends_no_turn() -> None:
    heard = tell(started(), "error", error={"message": "Reconnecting... 1/5"}, willRetry=True, turnId="u1")
    assert (meaning(heard), heard.ended) == ([], False)
