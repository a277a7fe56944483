"""A session as a Socket.IO client sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.dialects.socketio import NAMES, Filter, filter_of
from rhetor.dialects.socketio_events import SessionView
from rhetor.domain import event as ev
from rhetor.domain.event import Event, Payload, PermissionOption, Position
from rhetor.store.base import Record
from rhetor.store.messages import folded

EPOCH, SESSION = "e" * 32, "s_1"
OPTIONS = (PermissionOption("yes", "Allow", "allow_once"), PermissionOption("no", "Deny", "reject_once"))
Frame = tuple[str, dict[str, Any]]


def log(*payloads: Payload | tuple[Payload, str], turn: str = "t_1") -> list[Record]:
    """Return the payloads as events of one turn; a pair names another turn."""
    found = [each if isinstance(each, tuple) else (each, turn) for each in payloads]
    return [
        Record.of(Event(SESSION, Position(EPOCH, n), 1_700_000_000_000 + n, payload, turn_id))
        for n, (payload, turn_id) in enumerate(found, 1)
    ]


def view(seen: int = 0, filter: Filter | None = None, *, is_claude: bool = False) -> SessionView:
    return SessionView(SESSION, filter or filter_of(None), is_claude, seen, seen)


def shown(records: Sequence[Record], of: SessionView | None = None) -> list[Frame]:
    """Return the frames that a client receives, without the session's id in their names."""
    of = of or view()
    packets = b"".join(map(of.encode, records)).split(b"\x1e")
    assert packets.pop() == b""
    frames = []
    for packet in packets:
        assert packet.startswith(b"42")
        name, body = json.loads(packet[2:])
        frames.append((name.removesuffix(f":{SESSION}"), body))
    return frames


def places(frames: Sequence[Frame]) -> list[tuple[str, int, int]]:
    return [(name, body["seq"], body["prev"]) for name, body in frames]


def without_place(body: dict[str, Any]) -> dict[str, Any]:
    assert (body["epoch"], body["at"][:10]) == (EPOCH, "2023-11-14")
    return {name: value for name, value in body.items() if name not in ("epoch", "seq", "prev", "at")}


def lines(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    return [without_place(body) for name, body in frames if name == "claude-output"]


STARTED = ev.TurnStarted("apollo", "openai/gpt")
DONE = ev.TurnCompleted(
    "m_1", "Hello there", "stop", {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 1}, "0.01", 1.5
)


def test_a_turn_of_a_specialist_has_the_lines_of_claude_code() -> None:
    accepted = ev.MessageAccepted("m_1", "user", "hi")
    frames = shown(log(accepted, STARTED, ev.OutputDelta("Hello "), ev.OutputDelta("there"), DONE))
    assert [(name, body["seq"], body["prev"]) for name, body in frames] == [
        ("claude-output", 2, 0),
        ("session-status", 2, 0),
        ("claude-output", 4, 2),
        ("claude-output", 5, 4),
        ("claude-complete", 5, 4),
    ]
    init, assistant, result = lines(frames)
    assert (init["type"], init["subtype"], init["session_id"], init["model"]) == (
        "system",
        "init",
        SESSION,
        "openai/gpt",
    )
    assert (assistant["type"], assistant["message"]["content"]) == (
        "assistant",
        [{"type": "text", "text": "Hello there"}],
    )
    assert result == {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "Hello there",
        "session_id": SESSION,
        "duration_ms": 1500,
        "duration_api_ms": 1500,
        "num_turns": 1,
        "stop_reason": "stop",
        "total_cost_usd": 0.01,
        "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1},
    }
    assert without_place(frames[1][1]) == {"state": "active", "turn_id": "t_1"}
    usage = {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 1}
    assert without_place(frames[-1][1]) == {
        "success": True,
        "finish_reason": "stop",
        "usage": usage,
        "cost": "0.01",
    }


def test_tool_calls_and_results_come_between_the_texts() -> None:
    frames = shown(
        log(
            STARTED,
            ev.OutputDelta("Thinking", "reasoning"),
            ev.OutputDelta("I look"),
            ev.ToolCalled("c_1", "search", {"q": 1}, "hub"),
            ev.ToolReturned("c_1", {"found": 2}),
            ev.OutputDelta("It is 2"),
            ev.TurnCompleted("m_1", "I lookIt is 2", "stop"),
        )
    )
    content = [line["message"]["content"] for line in lines(frames)[1:-1]]
    assert content == [
        [{"type": "thinking", "thinking": "Thinking", "signature": ""}],
        [{"type": "text", "text": "I look"}],
        [{"type": "tool_use", "id": "c_1", "name": "search", "input": {"q": 1}}],
        [{"type": "tool_result", "tool_use_id": "c_1", "content": '{"found":2}', "is_error": False}],
        [{"type": "text", "text": "It is 2"}],
    ]
    tools = [without_place(body) for name, body in frames if name == "tool-execution"]
    assert tools == [
        {"call_id": "c_1", "name": "search", "status": "running", "input": {"q": 1}},
        {"call_id": "c_1", "name": "search", "status": "done", "result": {"found": 2}},
    ]
    assert lines(frames)[-1]["usage"] == {} and lines(frames)[-1]["total_cost_usd"] is None


def test_lines_of_claude_code_are_sent_unchanged() -> None:
    line = {"type": "assistant", "message": {"content": [{"type": "text", "text": "Hi ✓"}]}, "uuid": "u"}
    frames = shown(
        log(
            STARTED,
            ev.AgentRecord(line),
            ev.OutputDelta("Hi ✓"),
            ev.AgentRecord(None, "AAE=", "base64"),
            ev.AgentRecord([1]),
            ev.AgentRecord({}),
            DONE,
        ),
        view(is_claude=True),
    )
    assert lines(frames) == [line, {"raw": "AAE=", "encoding": "base64"}, {"record": [1]}, {}]
    assert [name for name, _ in frames if name != "claude-output"] == ["session-status", "claude-complete"]


def test_the_answer_of_another_agent_in_a_session_of_claude_code_has_the_lines_of_claude_code() -> None:
    own, guest = ev.AgentRecord({"type": "system"}), ev.AgentRecord({"method": "turn/started"})
    passed_on = ev.TurnStarted("codex", instead_of="claude-code")
    answer = ev.OutputDelta("Hello there")
    frames = shown(log(STARTED, own, passed_on, guest, answer, DONE, STARTED, own), view(is_claude=True))
    assert [line["type"] for line in lines(frames)] == ["system", "system", "assistant", "result", "system"]
    assert lines(frames)[1]["model"] == "codex"


def test_records_of_other_agents_are_not_output() -> None:
    frames = shown(
        log(STARTED, ev.OutputDelta("Hello "), ev.AgentRecord({"a": 1}), ev.OutputDelta("there"), DONE)
    )
    assert [line["type"] for line in lines(frames)] == ["system", "assistant", "result"]
    assert lines(frames)[1]["message"]["content"][0]["text"] == "Hello there"


@pytest.mark.parametrize(
    ("end", "reason", "detail"),
    [
        (ev.TurnFailed("timeout", "too slow", True), "error", "too slow"),
        (ev.TurnCancelled("me"), "cancelled", "cancelled by me"),
        (ev.TurnInterrupted("the hub was shut down"), "interrupted", "the hub was shut down"),
    ],
)
def test_a_turn_that_does_not_complete_ends_without_success(end: Payload, reason: str, detail: str) -> None:
    frames = shown(log(STARTED, ev.OutputDelta("Hel"), ev.OutputPartial("Hel"), end))
    assert lines(frames)[1]["message"]["content"] == [{"type": "text", "text": "Hel"}]
    result = lines(frames)[-1]
    assert (result["subtype"], result["is_error"], result["result"]) == (
        "error_during_execution",
        True,
        detail,
    )
    name, complete = frames[-1]
    done = {"success": False, "finish_reason": reason, "usage": None, "cost": None}
    assert (name, without_place(complete)) == ("claude-complete", done)
    errors = [without_place(body) for name, body in frames if name == "claude-error"]
    failed = {"message": "too slow", "code": "timeout", "retryable": True}
    assert errors == ([failed] if reason == "error" else [])


def test_output_on_stderr_is_an_error() -> None:
    frames = shown(log(STARTED, ev.OutputDelta("oops", "stderr")))
    assert (frames[-1][0], without_place(frames[-1][1])) == (
        "claude-error",
        {"message": "oops", "code": "stderr", "retryable": False},
    )


@pytest.mark.parametrize(
    "detail", [{"tool_use_id": "c_1"}, {"call_id": "c_1"}, {"toolCall": {"toolCallId": "c_1"}}]
)
def test_a_call_that_was_denied_is_shown_as_denied(detail: dict[str, Any]) -> None:
    frames = shown(
        log(
            STARTED,
            ev.ToolCalled("c_1", "Bash", {"command": "ls"}, "agent"),
            ev.PermissionAsked("r_1", "Bash", detail, OPTIONS, "2024-01-01T00:00:00.000Z"),
            ev.PermissionAnswered("r_1", "no", "me"),
            ev.ToolReturned("c_1", "denied", is_error=True),
        )
    )
    tools = [
        (body["call_id"], body["name"], body["status"]) for name, body in frames if name == "tool-execution"
    ]
    assert tools == [("c_1", "Bash", "running"), ("c_1", "Bash", "denied"), ("c_1", "Bash", "denied")]
    states = [without_place(body) for name, body in frames if name == "session-status"]
    assert [status["state"] for status in states] == ["active", "waiting", "active"]
    assert states[1]["permission"]["options"][0] == {
        "option_id": "yes",
        "name": "Allow",
        "kind": "allow_once",
    }
    assert states[1]["permission"]["request_id"] == "r_1"


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (ev.PermissionAnswered("r_1", "yes", "me"), []),
        (ev.PermissionAnswered("r_1", None, "expiry"), ["denied"]),
        (ev.PermissionAnswered("r_1", None, "policy"), ["denied"]),
        (ev.PermissionAnswered("r_1", None, "me", {"q": "a"}), []),
        (ev.PermissionAnswered("r_1", None, "codex"), []),
    ],
)
def test_only_a_denial_is_shown_as_denied(answer: Payload, statuses: list[str]) -> None:
    frames = shown(log(STARTED, ev.PermissionAsked("r_1", "Bash", {}, OPTIONS), answer))
    tools = [(body["call_id"], body["status"]) for name, body in frames if name == "tool-execution"]
    assert tools == [("r_1", status) for status in statuses]


def test_a_session_waits_for_a_tool_that_a_client_runs() -> None:
    frames = shown(
        log(STARTED, ev.ToolCalled("c_1", "ask", {}, "client"), ev.ToolReturned("c_1", 1, is_error=True))
    )
    states = [body["state"] for name, body in frames if name == "session-status"]
    statuses = [body["status"] for name, body in frames if name == "tool-execution"]
    assert (states, statuses) == (["active", "waiting", "active"], ["running", "failed"])


def test_a_session_waits_until_nothing_is_pending() -> None:
    frames = shown(
        log(
            STARTED,
            ev.ToolCalled("c_1", "ask", {}, "client"),
            ev.PermissionAsked("r_1", "Read", {}, OPTIONS),
            ev.PermissionAsked("r_2", "Bash", {}, OPTIONS),
            ev.PermissionAnswered("r_2", "yes", "me"),
            ev.PermissionAnswered("r_1", "yes", "me"),
            ev.ToolReturned("c_1", 1),
        )
    )
    states = [
        (body["state"], body.get("permission", {}).get("request_id"))
        for name, body in frames
        if name == "session-status"
    ]
    assert states == [
        ("active", None),
        ("waiting", None),
        ("waiting", "r_1"),
        ("waiting", "r_2"),
        ("waiting", "r_1"),
        ("waiting", None),
        ("active", None),
    ]


def test_a_filter_leaves_the_other_events_out() -> None:
    records = log(
        STARTED, ev.OutputDelta("a"), ev.ToolCalled("c_1", "x", {}, "hub"), ev.OutputDelta("b"), DONE
    )
    assert places(shown(records, view(filter=filter_of(["tool-execution"])))) == [("tool-execution", 3, 0)]
    raw = shown(records, view(filter=filter_of(["event"])))
    assert places(raw) == [("event", n, n - 1) for n in range(1, 6)]
    assert raw[1][1]["data"] == {"text": "a", "channel": "answer"}
    one = shown(records, view(filter=filter_of(["tool.*", "claude-complete"])))
    assert places(one) == [("event", 3, 0), ("claude-complete", 5, 3)]


def test_events_that_share_an_event_share_its_number() -> None:
    both = Filter(NAMES, frozenset({"output.delta", "turn.completed"}))
    frames = shown(log(STARTED, ev.OutputDelta("Hello "), ev.OutputDelta("there"), DONE), view(filter=both))
    assert places(frames)[2:] == [
        ("event", 2, 1),
        ("event", 3, 2),
        ("claude-output", 3, 2),
        ("event", 4, 3),
        ("claude-output", 4, 3),
        ("claude-complete", 4, 3),
    ]


def _folded(records: list[Record]) -> list[Record]:
    folds = [Record.of(event) for event in folded([record.event for record in records])]
    kept = [r for r in records if not any(fold.prev < r.seq <= fold.seq for fold in folds)]
    return sorted([*kept, *folds], key=lambda record: record.seq)


def test_a_folded_answer_is_sent_whole() -> None:
    records = _folded(log(STARTED, ev.OutputDelta("Hello "), ev.OutputDelta("there"), DONE))
    frames = shown(records)
    assert places(frames)[2:4] == [("claude-output", 3, 1), ("claude-output", 4, 3)]
    whole = lines(frames)[1]
    assert (whole["whole"], whole["message"]["content"]) == (True, [{"type": "text", "text": "Hello there"}])
    assert places(shown(records[-1:], _resumed(records, 3))) == [
        ("claude-output", 4, 3),
        ("claude-complete", 4, 3),
    ]


def test_an_answer_whose_end_was_folded_meanwhile_is_sent_whole() -> None:
    records = log(STARTED, ev.OutputDelta("Hello "), ev.OutputDelta("there"), DONE)
    live = view()
    assert len(shown(records[:2], live)) == 2
    frames = shown(_folded(records)[1:], live)
    assert lines(frames)[0]["message"]["content"] == [{"type": "text", "text": "Hello there"}]


def test_a_queued_turn_that_is_cancelled_does_not_disturb_the_running_one() -> None:
    records = log(
        STARTED,
        ev.ToolCalled("c_1", "search", {}, "hub"),
        (ev.TurnCancelled("me"), "t_2"),
        ev.ToolReturned("c_1", "x"),
    )
    assert [body["name"] for name, body in shown(records) if name == "tool-execution"] == ["search", "search"]


PIECES = st.one_of(
    st.builds(
        ev.OutputDelta, st.text("ab", min_size=1, max_size=3), st.sampled_from(["answer", "reasoning"])
    ),
    st.builds(ev.OutputDelta, st.just("e"), st.just("stderr")),
    st.just(ev.AgentRecord({"a": 1})),
    st.just(ev.UsageReported("m", 1, 2)),
    st.just(ev.ToolCalled("c", "tool", {}, "agent")),
    st.just(ev.ToolReturned("c", "r", is_error=True)),
    st.just(ev.PermissionAsked("r", "tool", {"call_id": "c"}, OPTIONS)),
    st.just(ev.PermissionAnswered("r", "no", "me")),
)
FILTERS = st.sampled_from(
    [
        filter_of(None),
        filter_of(["claude-output"]),
        filter_of(["tool-execution", "session-status"]),
        filter_of(["event"]),
        filter_of([*NAMES, "event"]),
        filter_of([*NAMES, "permission.*", "usage.reported"]),
    ]
)


@st.composite
def _logs(draw: st.DrawFn) -> list[Record]:
    found: list[tuple[Payload, str]] = []
    for n in range(draw(st.integers(1, 3))):
        pieces = draw(st.lists(PIECES, max_size=10))
        text = "".join(p.text for p in pieces if isinstance(p, ev.OutputDelta) and p.channel == "answer")
        end = draw(st.sampled_from([ev.TurnCompleted("m", text, "stop"), ev.TurnFailed("x", "y", False)]))
        found += [
            (payload, f"t_{n}") for payload in (ev.MessageAccepted("m", "user", "?"), STARTED, *pieces, end)
        ]
    return log(*found)


def _resumed(
    records: Sequence[Record], cursor: int, filter: Filter | None = None, **options: Any
) -> SessionView:
    """Return a view that resumes after the cursor, primed like in the transport."""
    resumed = view(cursor, filter, **options)
    turn = records[cursor - 1].turn_id if 0 < cursor <= len(records) else None
    for record in records:
        if record.seq <= cursor and record.turn_id == turn:
            resumed.prime(record)
    return resumed


@given(_logs(), FILTERS, st.booleans(), st.data())
def test_a_client_that_resumes_receives_exactly_what_it_missed(
    records: list[Record], filter: Filter, is_claude: bool, data: st.DataObject
) -> None:
    whole = shown(records, view(filter=filter, is_claude=is_claude))
    names = [(name, body["seq"]) for name, body in whole]
    assert len(set(names)) == len(names)
    assert [body["seq"] for _, body in whole] == sorted(body["seq"] for _, body in whole)
    last = {0: 0}
    for _, body in whole:
        assert body["prev"] == max(seq for seq in last if seq < body["seq"])
        last[body["seq"]] = body["prev"]
    cursor = data.draw(st.sampled_from(sorted(last)))
    missed = shown(
        [record for record in records if record.seq > cursor],
        _resumed(records, cursor, filter, is_claude=is_claude),
    )
    assert missed == [frame for frame in whole if frame[1]["seq"] > cursor]
