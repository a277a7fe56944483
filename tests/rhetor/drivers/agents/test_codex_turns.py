"""Codex: how conversations are opened, and where turns begin and end."""

from __future__ import annotations

from typing import Any

import pytest

from rhetor.domain.output import Late, Plain, Text, ToolResult, Usage
from rhetor.drivers.agents.codex.protocol import Codex
from tests.rhetor.drivers.agents.codex_lines import THREAD, meaning, protocol, sent, started, take, tell


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
        (
            {"memory": {"session_id": "t0", "last": "u0"}, "fork": True},
            "thread/fork",
            {"threadId": "t0", "excludeTurns": True, "lastTurnId": "u0"},
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


def rewinding() -> Codex:
    """Return a protocol that has made a copy which should end with the turn `u0`, and asked how it ends."""
    codex = protocol(memory={"session_id": "t0", "last": "u0"}, fork=True)
    codex.opening_lines()
    (asked,) = sent(take(codex, **THREAD).writes)
    assert (asked["method"], asked["params"]["threadId"]) == ("thread/turns/list", "t1")
    assert not codex.has_copy
    return codex


def test_a_rewound_copy_is_used_if_it_ends_with_the_right_turn() -> None:
    codex = rewinding()
    assert codex.prompt("hi") == ()
    (begun,) = sent(take(codex, id=3, result={"data": [{"id": "u0"}]}).writes)
    assert (begun["method"], begun["params"]["threadId"]) == ("turn/start", "t1")
    assert (codex.has_copy, codex.saved["session_id"]) == (True, "t1")


@pytest.mark.parametrize("found", [{"result": {"data": [{"id": "u1"}]}}, {"result": {}}, {"error": {}}])
def test_a_copy_that_has_other_turns_is_not_used(found: dict[str, Any]) -> None:
    codex = rewinding()
    codex.prompt("hi")
    heard = take(codex, id=3, **found)
    assert (heard.ended, heard.writes, codex.has_copy) == (True, (), False)
    assert codex.refused is not None


def test_the_last_turn_is_remembered_unless_one_runs() -> None:
    codex = started()
    assert (codex.can_rewind(), codex.place) == (False, None)
    tell(codex, "turn/completed", turn={"id": "u1", "status": "completed"})
    assert (codex.can_rewind(), codex.place) == (True, ("t1", "u1"))
    codex.prompt("again")
    assert codex.place is None


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
