"""Claude Code: where turns begin and end, and to which turn a text belongs."""

from __future__ import annotations

from typing import Any

import pytest

from rhetor.domain.output import Late, Text, Usage
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.protocol import Decoded, Opening
from rhetor.errors import ProviderDenied
from tests.rhetor.drivers.agents.claude_lines import protocol, sent, take, texts

INIT = {"type": "system", "subtype": "init", "session_id": "s1", "model": "m"}


def whole(text: str, model: str = "m", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "model": model, "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None} | more


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": kind} | fields, "parent_tool_use_id": None}


def delta(text: str) -> dict[str, Any]:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "num_turns": 1} | fields


def late(*heard: Decoded) -> list[Late]:
    return [output for one in heard for output in one.outputs if isinstance(output, Late)]


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


def test_the_last_message_is_remembered_unless_a_turn_runs() -> None:
    claude = protocol(memory={"session_id": "s1", "last": "m0"})
    places = [claude.place]
    claude.prompt("hi")
    places.append(claude.place)
    take(claude, type="user", message={}, uuid="m1", isReplay=True)
    take(claude, **{**whole("done"), "uuid": "m2"})
    take(claude, type="assistant", message={}, uuid="m3", parent_tool_use_id="a sub-agent's")
    places.append(claude.place)
    take(claude, **result(result="done"))
    assert places == [("s1", "m0"), None, None]
    assert (claude.place, claude.can_rewind()) == (("s1", "m2"), True)


def test_a_copy_of_a_lost_conversation_is_abandoned() -> None:
    claude = ClaudeCode(Opening("/", {"session_id": "parent"}, fork=True))
    said = ["No conversation found with session ID: parent"]
    heard = take(claude, **result(subtype="error_during_execution", errors=said))
    assert (heard.ended, claude.saved) == (True, {"copy_of": {}})


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
