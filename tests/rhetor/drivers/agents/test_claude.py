"""Claude Code's protocol, with recordings of the real program (2.1.197) and hand-written lines."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhetor.domain.output import Late, Permission, Record, Text, ToolResult, ToolUse, Usage
from rhetor.domain.questions import Answers
from rhetor.drivers.agents.claude.lines import ARGUMENTS
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.protocol import Decoded, Opening
from rhetor.errors import ProviderDenied
from tests.scale import scaled

from .replay import DATA, Replayed, heard_in_pieces, processes, said_by

RECORDINGS = ["claude_plain.jsonl", "claude_tool.jsonl", "claude_turns.jsonl", "claude_resumed.jsonl"]
MODEL = "claude-opus-4-8[1m]"
INIT = {"type": "system", "subtype": "init", "session_id": "s1", "model": "m"}
ASKED = {
    "subtype": "can_use_tool",
    "tool_name": "Bash",
    "input": {"command": "ls"},
    "permission_suggestions": [
        {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "ls *"}], "behavior": "allow"}
        | {"destination": "localSettings"},
        {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
    ],
}


def protocol(**opening: Any) -> ClaudeCode:
    return ClaudeCode(Opening("/home/user", **opening))


def take(claude: ClaudeCode, **line: Any) -> Decoded:
    return claude.decode(msgspec.json.encode(line))


def whole(text: str, model: str = "m", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "model": model, "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None} | more


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": kind} | fields, "parent_tool_use_id": None}


def delta(text: str) -> dict[str, Any]:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "num_turns": 1} | fields


def texts(*heard: Decoded) -> list[Text]:
    return [output for one in heard for output in one.outputs if isinstance(output, Text)]


def late(*heard: Decoded) -> list[Late]:
    return [output for one in heard for output in one.outputs if isinstance(output, Late)]


def sent(lines: tuple[bytes, ...]) -> list[Any]:
    return [msgspec.json.decode(line) for line in lines]


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
    assert protocol(memory={"session_id": "--dangerous"}).arguments() == ARGUMENTS


def test_a_text_without_deltas_is_given_once() -> None:
    claude = protocol()
    claude.prompt("hi")
    heard = [
        take(claude, **whole("one ")),
        take(claude, **whole("two")),
        take(claude, **result(result="two")),
    ]
    assert texts(*heard) == [Text("one "), Text("two")]


def test_a_streamed_text_is_not_repeated_and_its_missing_rest_is_added() -> None:
    claude = protocol()
    start = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    lines = [
        event("message_start"),
        start,
        delta("one "),
        start,
        delta("two"),
        whole("one "),
        whole("two, three"),
    ]
    assert texts(*(take(claude, **line) for line in lines)) == [Text("one "), Text("two"), Text(", three")]


def test_the_deltas_of_a_broken_stream_do_not_shorten_the_whole_text() -> None:
    claude = protocol()
    heard = [
        take(claude, **line)
        for line in (event("message_start"), delta("part1 part2 "), whole("whole answer"))
    ]
    assert texts(*heard) == [Text("part1 part2 "), Text("whole answer")]


def test_the_message_of_a_hook_is_the_answer_if_there_is_no_other() -> None:
    claude = protocol()
    claude.prompt("hi")
    heard = take(claude, **result(num_turns=0, result="blocked by hook"))
    assert texts(heard) == [Text("blocked by hook")]
    assert heard.ended


def test_text_of_a_sub_agent_is_not_part_of_the_answer() -> None:
    claude = protocol()
    inner = {"parent_tool_use_id": "toolu_1"}
    heard = [take(claude, **delta("sub") | inner), take(claude, **whole("sub text") | inner)]
    assert texts(*heard, take(claude, **whole("main"))) == [Text("main")]


def test_a_turn_that_the_agent_started_does_not_end_the_turn_of_the_message() -> None:
    claude = protocol()
    take(claude, type="user", isReplay=True)
    take(claude, **INIT)
    claude.prompt("mine")
    theirs = [take(claude, **delta("of itself")), take(claude, **result(result="of itself"))]
    assert (texts(*theirs), late(*theirs)) == ([], [Late("of itself", True)])
    assert not theirs[1].ended
    take(claude, **INIT)
    take(claude, type="user", isReplay=True, message={"role": "user", "content": "mine"})
    ours = [take(claude, **delta("asked for")), take(claude, **result(result="asked for"))]
    assert texts(*ours) == [Text("asked for")]
    assert ours[1].ended


REPLAY = {"type": "user", "isReplay": True, "message": {"role": "user", "content": "mine"}}
NOTIFIED = {"type": "system", "subtype": "task_notification"}
OWN = {"origin": {"kind": "task-notification"}}


@pytest.mark.parametrize(
    "own",
    [
        [NOTIFIED, INIT, result(num_turns=0, result="")],
        [INIT, result(num_turns=0, result="", **OWN)],
        [INIT, result(num_turns=0, result="old answer")],
        [INIT, whole("old answer"), result(result="old answer")],
        [INIT, whole("old answer"), result(result="old answer", **OWN)],
        [INIT, event("message_start"), delta("old "), delta("answer"), result(result="old answer")],
        [INIT, result(num_turns=0, result=""), INIT, whole("old answer"), result()],
    ],
)
def test_an_old_turn_of_a_resumed_process_does_not_answer_the_message(own: list[dict[str, Any]]) -> None:
    claude = protocol(memory={"session_id": "s1"})
    claude.opening_lines()
    claude.prompt("mine")
    theirs = [take(claude, **line) for line in own]
    ours = [take(claude, **line) for line in (INIT, delta("mi"), REPLAY, whole("mine"))]
    assert not any(one.ended for one in (*theirs, *ours))
    assert claude.settle_after is None
    end = take(claude, **result(result="mine"))
    assert (texts(*theirs, *ours, end), end.ended) == ([Text("mi"), Text("ne")], True)
    said_before = "".join(each.text for each in late(*theirs, *ours))
    assert said_before == ("old answer" if whole("old answer") in own or len(own) > 4 else "")


@pytest.mark.parametrize(("num_turns", "text"), [(0, ""), (0, "blocked"), (1, "mine")])
def test_the_turn_of_a_resumed_process_without_replay_ends_after_a_pause(num_turns: int, text: str) -> None:
    claude = protocol(memory={"session_id": "s1"})
    claude.opening_lines()
    claude.prompt("mine")
    heard = [take(claude, **INIT), *([take(claude, **whole(text))] if num_turns else [])]
    heard.append(take(claude, **result(num_turns=num_turns, result=text)))
    assert (texts(*heard), heard[-1].ended) == ([], False)
    assert claude.settle_after is not None
    end = claude.settle()
    assert (texts(end), end.ended) == ([Text(text)] if text else [], True)
    claude.prompt("more")
    heard = [take(claude, **whole("more")), take(claude, **result(result="more"))]
    assert (texts(*heard), heard[-1].ended) == ([Text("more")], True)


def test_an_old_turn_of_a_resumed_process_does_not_answer_a_command() -> None:
    claude = protocol(memory={"session_id": "s1"})
    claude.opening_lines()
    claude.prompt("/compact")
    own = [take(claude, **line) for line in (NOTIFIED, INIT, result(num_turns=0, result=""))]
    assert not any(one.ended for one in own)
    assert take(claude, **result(num_turns=0, result="compacted")).ended


def test_text_after_a_turn_is_late_and_a_turn_of_the_agent_is_a_new_message() -> None:
    claude = protocol()
    claude.prompt("hi")
    take(claude, **result(result="hello"))
    tail = take(claude, **whole("and more"))
    own = [take(claude, **line) for line in (INIT, whole("of itself"), result(result="of itself"))]
    assert late(tail, *own) == [Late("and more"), Late("of itself", True)]
    assert texts(tail, *own) == []


def test_a_turn_that_waits_for_its_replay_still_waits_under_the_next_hub() -> None:
    first = protocol(memory={"session_id": "s1"})
    first.opening_lines()
    first.prompt("mine")
    take(first, **INIT)
    second = protocol(memory=first.saved)
    second.resume(True, {})
    own = [take(second, **whole("old")), take(second, **result(result="old", **OWN))]
    assert (late(*own), own[-1].ended) == ([Late("old")], False)
    ours = [take(second, **line) for line in (INIT, REPLAY, whole("mine"), result(result="mine"))]
    assert (texts(*ours), ours[-1].ended) == ([Text("mine")], True)


def test_the_cost_is_that_of_the_turn_even_after_a_new_hub_or_process() -> None:
    used = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 8,
    }

    def cost(claude: ClaudeCode, total: float) -> list[Any]:
        return list(take(claude, **result(usage=used, total_cost_usd=total)).outputs[1:])

    first = protocol()
    assert cost(first, 0.1) == [Usage(None, 13, 2, 4, "0.1")]
    assert cost(first, 0.30000000000000004) == [Usage(None, 13, 2, 4, "0.2")]
    later = protocol(memory=dict(first.memory))
    later.resume(False, {})
    assert cost(later, 0.35) == [Usage(None, 13, 2, 4, "0.05")]
    resumed = protocol(memory=dict(later.memory))
    resumed.opening_lines()
    assert cost(resumed, 0.5) == [Usage(None, 13, 2, 4, "0.5")]
    assert take(resumed, **result(usage=used)).outputs[1:] == (Usage(None, 13, 2, 4, None),)


def ask(claude: ClaudeCode, **request: Any) -> Permission:
    heard = take(claude, type="control_request", request_id="r1", request=ASKED | request)
    [permission] = [output for output in heard.outputs if isinstance(output, Permission)]
    return permission


@pytest.mark.parametrize(
    ("chosen", "answer"),
    [
        ("allow", {"behavior": "allow", "updatedInput": {"command": "ls"}}),
        (
            "allow_always",
            {"behavior": "allow", "updatedInput": {"command": "ls"}}
            | {"updatedPermissions": [ASKED["permission_suggestions"][0]]},  # type: ignore[index]
        ),
        (
            "allow_always_2",
            {"behavior": "allow", "updatedInput": {"command": "ls"}}
            | {"updatedPermissions": [ASKED["permission_suggestions"][1]]},  # type: ignore[index]
        ),
        ("deny", {"behavior": "deny", "message": "The user does not want this to be done."}),
        (None, {"behavior": "deny", "message": "The user did not answer."}),
        ("allow_always_9", {"behavior": "deny", "message": "The user did not answer."}),
        ("yes, do it", {"behavior": "deny", "message": "The user did not answer."}),
    ],
)
@pytest.mark.parametrize("reopened", [False, True])
def test_a_permission_is_answered_once_with_the_unchanged_input(
    chosen: str | None, answer: dict[str, Any], reopened: bool
) -> None:
    claude = protocol()
    permission = ask(claude)
    assert [(one.option_id, one.kind) for one in permission.options] == [
        ("allow", "allow_once"),
        ("allow_always", "allow_always"),
        ("allow_always_2", "allow_always"),
        ("deny", "reject_once"),
    ]
    if reopened:
        claude = protocol()
        claude.resume(True, {"r1": permission.detail})
    response = {"subtype": "success", "request_id": "r1", "response": answer}
    assert sent(claude.answer("r1", chosen)) == [{"type": "control_response", "response": response}]
    assert claude.answer("r1", chosen) == ()


def test_a_question_is_answered_with_one_of_its_options() -> None:
    claude = protocol()
    asked = {"questions": [{"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}]}
    permission = ask(claude, tool_name="AskUserQuestion", input=asked)
    assert [(one.option_id, one.name) for one in permission.options] == [
        ("choose", "Red"),
        ("choose_2", "Blue"),
        ("deny", "Deny"),
    ]
    [answer] = sent(claude.answer("r1", "choose_2"))
    assert answer["response"]["response"] == {
        "behavior": "allow",
        "updatedInput": asked | {"answers": {"Which?": "Blue"}},
    }


def asked(text: str, *labels: str, several: bool = False, header: str = "") -> dict[str, Any]:
    options = [{"label": label, "description": f"{label}!"} for label in labels]
    return {"question": text, "header": header, "multiSelect": several, "options": options}


def test_several_questions_are_answered_together() -> None:
    claude = protocol()
    given = {"questions": [asked("Colour?", "Red", "Blue"), asked("Sizes?", "S", "L", several=True)]}
    permission = ask(claude, tool_name="AskUserQuestion", input=given)
    assert [(one.option_id, one.kind) for one in permission.options] == [
        ("answer", "allow_once"),
        ("deny", "reject_once"),
    ]
    assert [(q.id, q.question, q.multi_select) for q in permission.questions] == [
        ("1", "Colour?", False),
        ("2", "Sizes?", True),
    ]
    [answer] = sent(claude.answer("r1", None, {"1": ["Red"], "2": ["S", "L"]}))
    assert answer["response"]["response"] == {
        "behavior": "allow",
        "updatedInput": given | {"answers": {"Colour?": "Red", "Sizes?": "S, L"}},
    }


def test_a_multiple_choice_question_accepts_one_option_several_or_a_text() -> None:
    given = {"questions": [asked("Sizes?", "S", "L", several=True, header="size")]}
    cases: list[tuple[str | None, Answers | None, str]] = [
        ("choose_2", None, "L"),
        (None, {"size": ["S", "L"]}, "S, L"),
        (None, {"size": "any"}, "any"),
    ]
    for chosen, answers, expected in cases:
        claude = protocol()
        permission = ask(claude, tool_name="AskUserQuestion", input=given)
        assert [one.name for one in permission.options] == ["S", "L", "Deny"]
        [answer] = sent(claude.answer("r1", chosen, answers))
        assert answer["response"]["response"]["updatedInput"]["answers"] == {"Sizes?": expected}


def test_a_withdrawn_request_accepts_no_answer() -> None:
    claude = protocol()
    ask(claude)
    take(claude, type="control_cancel_request", request_id="r1")
    assert claude.answer("r1", "allow") == ()


def test_after_an_interrupt_pending_requests_accept_no_answer() -> None:
    claude = protocol()
    ask(claude)
    [order] = sent(claude.interrupt())
    assert (order["type"], order["request"]) == ("control_request", {"subtype": "interrupt"})
    assert sent(claude.interrupt())[0]["request_id"] != order["request_id"]
    assert claude.answer("r1", "allow") == ()


def test_a_copy_has_its_own_id_once_the_agent_has_started_with_it() -> None:
    opening = Opening("/", {"session_id": "parent"}, fork=True)
    claude = ClaudeCode(opening)
    assert (claude.can_fork(), claude.has_copy) == (True, False)
    assert claude.saved == {"copy_of": {"session_id": "parent"}}
    (asked,) = sent(claude.opening_lines())
    response = {"subtype": "success", "request_id": asked["request_id"], "response": {"account": {}}}
    assert take(claude, type="control_response", response=response) == Decoded()
    assert claude.has_copy
    take(claude, type="system", subtype="init", session_id="child", model="m")
    assert claude.memory == {"session_id": "child", "model": "m"}


def test_a_copy_of_a_lost_conversation_is_abandoned() -> None:
    claude = ClaudeCode(Opening("/", {"session_id": "parent"}, fork=True))
    said = ["No conversation found with session ID: parent"]
    heard = take(claude, **result(subtype="error_during_execution", errors=said))
    assert (heard.ended, claude.saved) == (True, {"copy_of": {}})


def test_an_unknown_control_request_is_rejected() -> None:
    heard = take(protocol(), type="control_request", request_id="r2", request={"subtype": "of_tomorrow"})
    assert sent(heard.writes) == [
        {
            "type": "control_response",
            "response": {"subtype": "error", "request_id": "r2", "error": "not supported"},
        }
    ]


def test_text_reported_by_an_earlier_hub_is_not_repeated() -> None:
    claude = protocol(memory={"session_id": "s1"})
    claude.resume(True, {})
    heard = [take(claude, **line) for line in (delta("the rest"), whole("the beginning and the rest"))]
    heard += [take(claude, **line) for line in (event("message_start"), whole("another"))]
    heard.append(take(claude, **result(result="another")))
    assert texts(*heard) == [Text("the rest"), Text("another")]
    assert heard[-1].ended


@pytest.mark.parametrize(
    ("ended", "failure"),
    [
        ({"is_error": True, "api_error_status": 429, "result": "slow down"}, ("rate_limited", True)),
        ({"is_error": True, "api_error_status": 529, "result": "overloaded"}, ("rate_limited", True)),
        ({"is_error": True, "api_error_status": 500, "result": "oops"}, ("provider_failed", True)),
        ({"is_error": True, "api_error_status": 401, "result": "bad key"}, ("provider_denied", False)),
        ({"is_error": True, "api_error_status": 404, "result": "model"}, ("model_unknown", False)),
        (
            {"is_error": True, "api_error_status": 400, "result": "Prompt is too long"},
            ("context_overflow", False),
        ),
        ({"is_error": True, "result": "API Error: Unable to connect to API"}, ("provider_unreachable", True)),
        ({"is_error": True, "result": "API Error: unable to respond to this"}, ("turn_failed", False)),
        ({"subtype": "error_max_turns", "is_error": True}, ("turn_failed", False)),
        ({"subtype": "error_during_execution", "terminal_reason": "aborted_tools"}, ("interrupted", True)),
    ],
)
def test_a_failed_result_gives_a_typed_failure(ended: dict[str, Any], failure: tuple[str, bool]) -> None:
    claude = protocol()
    claude.prompt("hi")
    heard = take(claude, **result(**ended))
    assert heard.ended
    assert heard.failure is not None
    assert (heard.failure.code, heard.failure.retryable) == failure


@pytest.mark.parametrize(
    ("status", "said"),
    [(None, "Not logged in · Please run /login"), (401, "Invalid authentication credentials")],
)
def test_a_logged_out_agent_fails_with_a_hint_how_to_log_in(status: int | None, said: str) -> None:
    claude = protocol()
    claude.prompt("hi")
    heard = take(claude, **result(is_error=True, api_error_status=status, result=said))
    assert isinstance(heard.failure, ProviderDenied)
    assert said in heard.failure.detail
    assert heard.failure.data["hint"] == "log in with: claude auth login"


def test_an_error_after_an_interrupt_counts_as_the_interrupt() -> None:
    claude = protocol()
    claude.prompt("hi")
    claude.interrupt()
    heard = take(claude, **result(subtype="error_during_execution", is_error=True))
    assert heard.failure is not None
    assert heard.failure.code == "interrupted"
