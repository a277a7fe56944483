"""ACP: how turns begin and end, and to which turn a late message belongs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.output import Late, Plain, Record, Text, ToolUse, Usage
from rhetor.drivers.agents.acp.protocol import BARRIER_SECONDS, TAIL_SECONDS, Acp
from rhetor.drivers.agents.protocol import Opening
from tests.rhetor.drivers.agents.acp_dialogue import CWD, Dialogue, done


def test_a_message_waits_until_the_agent_is_ready() -> None:
    dialogue = Dialogue(Opening(CWD))
    assert [message["method"] for message in dialogue.do("open")] == ["initialize"]
    assert dialogue.do("say", "hello") == []
    dialogue.hear(id="initialize", result={"protocolVersion": 1})
    dialogue.hear(id="session", result={"sessionId": "s"})
    prompt = {"sessionId": "s", "prompt": [{"type": "text", "text": "hello"}]}
    assert dialogue.written[1:] == [
        {
            "jsonrpc": "2.0",
            "id": "session",
            "method": "session/new",
            "params": {"cwd": CWD, "mcpServers": []},
        },
        {"jsonrpc": "2.0", "id": "prompt-1", "method": "session/prompt", "params": prompt},
    ]


@pytest.mark.parametrize(
    ("result", "end"),
    [
        ({"stopReason": "end_turn"}, "done"),
        ({"stopReason": "a_new_one"}, "done"),
        ({"stopReason": "cancelled"}, "interrupted: the agent was interrupted"),
        ({"stopReason": "max_tokens"}, "length"),
        (
            {"stopReason": "refusal"},
            "turn_failed: the agent failed: it refuses to continue this conversation",
        ),
    ],
)
def test_the_stop_reason_decides_how_a_turn_ends(result: dict[str, Any], end: str) -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.hear(id="prompt-1", result=result)
    dialogue.settle()
    assert dialogue.ends == [end]


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (
            {"code": -32603, "message": "Internal error", "data": {"details": "no disk"}},
            "turn_failed: the agent failed: Internal error no disk",
        ),
        (
            {"code": 429, "message": "slower"},
            "rate_limited: the agent got no answer from its model: slower",
        ),
        (
            {"code": -32000, "message": "Authentication required"},
            "provider_denied: the agent is not logged in: it requires a login: Authentication required "
            "(options: none listed)",
        ),
        ("odd", "turn_failed: the agent failed: no reason given"),
    ],
)
def test_an_error_fails_the_turn(error: Any, end: str) -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.hear(id="prompt-1", error=error)
    assert dialogue.ends == [end]


def test_a_failed_opening_is_retried_with_the_next_message() -> None:
    dialogue = Dialogue(Opening(CWD))
    dialogue.do("open")
    dialogue.do("say", "hello")
    methods = [{"id": "key", "name": "An API key"}]
    dialogue.hear(
        id="initialize", result={"protocolVersion": 1, "authMethods": methods, "agentInfo": {"name": "ag"}}
    )
    dialogue.hear(id="session", error={"code": -32000, "message": "no key"})
    assert dialogue.ends == [
        "provider_denied: ag is not logged in: it requires a login: no key (options: An API key)"
    ]
    assert [message["method"] for message in dialogue.do("say", "again")] == ["session/new"]
    dialogue.hear(id="session", result={"sessionId": "s"})
    assert dialogue.written[-1]["params"]["prompt"] == [{"type": "text", "text": "again"}]


def test_another_protocol_version_fails_the_turn_and_is_named() -> None:
    dialogue = Dialogue(Opening(CWD))
    dialogue.do("open")
    dialogue.do("say", "hello")
    dialogue.hear(id="initialize", result={"protocolVersion": 2})
    assert dialogue.ends == ["turn_failed: the agent failed: it speaks version 2 of the protocol, not 1"]


@pytest.mark.parametrize(
    ("can", "method"),
    [
        ({"loadSession": True}, "session/load"),
        ({"loadSession": True, "sessionCapabilities": {"resume": {}}}, "session/resume"),
        ({}, None),
    ],
)
def test_a_conversation_is_resumed_or_loaded_as_the_agent_supports(
    can: dict[str, Any], method: str | None
) -> None:
    dialogue = Dialogue(Opening(CWD, {"session_id": "old", "open": True}))
    dialogue.do("open")
    dialogue.do("say", "hello")
    dialogue.hear(id="initialize", result={"protocolVersion": 1, "agentCapabilities": can})
    if method is None:
        assert dialogue.ends == ["turn_failed: the agent failed: it cannot resume a conversation"]
        return
    assert (dialogue.written[-1]["method"], dialogue.written[-1]["params"]["sessionId"]) == (method, "old")
    dialogue.hear(id="session", result={})
    if method != "session/resume":  # resuming replays no history
        dialogue.update("agent_message_chunk", content={"type": "text", "text": "history"})
        dialogue.hear(id="barrier", error={"code": -32601})
    dialogue.update("agent_message_chunk", content={"type": "text", "text": "new"})
    assert [output for output in dialogue.outputs if isinstance(output, Text)] == [Text("new")]
    assert dialogue.written[-1]["method"] == "session/prompt"


def test_a_later_hub_continues_a_running_turn() -> None:
    first = Dialogue(Opening(CWD)).ready()
    later = Dialogue(Opening(CWD, first.protocol.memory))
    later.protocol.resume(True, {})
    later.update("agent_message_chunk", content={"type": "text", "text": "on"})
    later.hear(id="prompt-1", result={"stopReason": "end_turn"})
    later.settle()
    assert (later.outputs[0], later.ends) == (Text("on"), ["done"])
    assert later.do("say", "next")[0]["id"] == "prompt-2"


def test_a_message_lost_with_its_hub_fails_the_turn() -> None:
    first = Dialogue(Opening(CWD))
    first.do("open")
    later = Dialogue(Opening(CWD, first.protocol.memory))
    later.protocol.resume(True, {})
    later.hear(id="initialize", result={"protocolVersion": 1})
    later.hear(id="session", result={"sessionId": "s"})
    assert later.ends == ["turn_failed: the hub stopped before the message was delivered; send it again"]


def test_the_model_is_set_with_the_agents_configuration_option() -> None:
    option = {"id": "m", "category": "model", "currentValue": "small"}
    dialogue = Dialogue(Opening(CWD, model="large")).ready(configOptions=[option])
    choice = dialogue.written[-1]
    assert (choice["method"], choice["params"]) == (
        "session/set_config_option",
        {"sessionId": "s", "configId": "m", "value": "large"},
    )
    dialogue.hear(id="model", error={"code": -32602, "message": "no such model"})
    assert dialogue.ends == ["turn_failed: the agent failed: no such model"]


def test_the_cost_of_a_turn_is_the_increase_in_the_conversations_cost() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    spent = {"inputTokens": 5, "outputTokens": 1}
    for number, total in enumerate((0.25, 0.75, 0), 1):
        dialogue.update("usage_update", cost={"amount": total, "currency": "USD"})
        dialogue.hear(id=f"prompt-{number}", result={"stopReason": "end_turn", "usage": spent})
        dialogue.do("say", "next")
    usages = [output for output in dialogue.outputs if isinstance(output, Usage)]
    assert usages == [Usage(None, 5, 1, None, "0.25"), Usage(None, 5, 1, None, "0.50"), Usage(None, 5, 1)]


def test_text_after_the_end_of_a_prompt_belongs_to_its_answer() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.update("agent_message_chunk", content={"type": "text", "text": "one "})
    dialogue.hear(id="prompt-1", result={"stopReason": "max_tokens"})
    assert (dialogue.ends, dialogue.protocol.settle_after) == ([], TAIL_SECONDS)
    dialogue.update("agent_message_chunk", content={"type": "text", "text": "two"})
    dialogue.settle()
    assert (dialogue.outputs[-1], dialogue.ends) == (Text("two"), ["length"])


def chunk(
    dialogue: Dialogue, text: str, id: str | None = None, kind: str = "agent_message_chunk"
) -> list[Plain]:
    message = {} if id is None else {"messageId": id}
    return list(dialogue.update(kind, content={"type": "text", "text": text}, **message).outputs)


def turn(dialogue: Dialogue, number: int) -> None:
    """Begin the turn with that number."""
    dialogue.settle()
    dialogue.protocol.turn = f"t{number}"
    if number == 1:
        dialogue.ready()
    else:
        dialogue.do("say", "more")


@given(st.data())
def test_each_piece_of_a_message_belongs_to_its_turn_however_late_it_comes(data: st.DataObject) -> None:
    turns = data.draw(st.integers(2, 4))
    # for each piece of a message after its first one: how many half turns later it comes
    delays = st.lists(st.integers(0, 2 * turns), max_size=3)
    messages = [data.draw(st.lists(delays, min_size=1, max_size=2)) for _ in range(turns)]
    coming: dict[int, list[tuple[str, str]]] = {}
    for number, sent in enumerate(messages, 1):
        for index, later in enumerate(sent):
            for piece, delay in enumerate([0, *sorted(later)]):
                place = min(2 * number + delay, 2 * turns + 1)
                coming.setdefault(place, []).append((f"m{number}.{index}", f"{number}.{index}.{piece} "))
    dialogue, said = Dialogue(Opening(CWD)), {f"t{number}": [] for number in range(1, turns + 1)}  # type: ignore[var-annotated]
    for place in range(2, 2 * turns + 2):
        number, between = divmod(place, 2)
        if not between:
            turn(dialogue, number)
        before = len(dialogue.outputs)
        for id, text in coming.get(place, []):
            chunk(dialogue, text, id)
        if not between:
            done(dialogue, number)
        for output in dialogue.outputs[before:]:
            if isinstance(output, Text | Late):
                said[output.turn if isinstance(output, Late) else f"t{number}"].append(output.text)
    for number in range(1, turns + 1):
        own = [text for texts in coming.values() for _, text in texts if text.startswith(f"{number}.")]
        assert sorted(said[f"t{number}"]) == sorted(own)


def test_an_agent_that_uses_an_id_for_several_messages_is_believed_the_turn() -> None:
    dialogue = Dialogue(Opening(CWD))
    for number in (1, 2, 3):
        turn(dialogue, number)
        before = len(dialogue.outputs)
        at_once = chunk(dialogue, f"answer {number}", "same")
        assert [type(output) for output in at_once] == [Record if number == 2 else Text]
        done(dialogue, number)
        assert [o for o in dialogue.outputs[before:] if isinstance(o, Text | Late)] == [
            Text(f"answer {number}")
        ]


def test_the_rest_of_an_interrupted_answer_belongs_to_no_later_turn() -> None:
    dialogue = Dialogue(Opening(CWD))
    turn(dialogue, 1)
    chunk(dialogue, "one ", "a")
    dialogue.do("interrupt")
    done(dialogue, 1, result={"stopReason": "cancelled"})
    turn(dialogue, 2)
    assert [type(output) for output in chunk(dialogue, "two", "a")] == [Record]
    assert [type(output) for output in chunk(dialogue, "a thought", "a", "agent_thought_chunk")] == [Record]
    dialogue.do("interrupt")
    before = len(dialogue.outputs)
    done(dialogue, 2, result={"stopReason": "cancelled"})
    assert [o for o in dialogue.outputs[before:] if isinstance(o, Late)] == [Late("two", turn="t1")]


def test_what_follows_about_a_call_of_an_earlier_turn_is_no_call_of_the_next_one() -> None:
    dialogue = Dialogue(Opening(CWD))
    turn(dialogue, 1)
    dialogue.update("tool_call", toolCallId="c", status="in_progress", rawInput={"command": "x"})
    done(dialogue, 1)
    dialogue.update("tool_call", toolCallId="d", title="bash", status="pending", rawInput={})
    turn(dialogue, 2)
    before = len(dialogue.outputs)
    for id in ("c", "d"):
        dialogue.update("tool_call_update", toolCallId=id, status="completed", rawOutput="late")
    assert [type(output) for output in dialogue.outputs[before:]] == [Record, Record]
    told = dialogue.update(
        "tool_call", toolCallId="c", title="read", status="completed", rawInput={"path": "p"}
    )
    assert ToolUse("c", "read", {"path": "p"}, "agent") in told.outputs


def test_an_agent_that_answers_no_barrier_is_sent_only_one() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    end = {"jsonrpc": "2.0", "id": "prompt-1", "result": {"stopReason": "end_turn"}}
    heard = dialogue.protocol.decode(json.dumps(end).encode())
    assert [json.loads(line)["id"] for line in heard.writes] == ["end-1"]
    assert dialogue.protocol.settle_after == BARRIER_SECONDS
    assert dialogue.protocol.settle().ended
    dialogue.do("say", "more")
    heard = dialogue.protocol.decode(json.dumps(end | {"id": "prompt-2"}).encode())
    assert (heard.writes, dialogue.protocol.settle_after) == ((), TAIL_SECONDS)


def test_an_agent_with_a_list_of_sessions_is_sent_no_unknown_method() -> None:
    can = {"loadSession": True, "sessionCapabilities": {"list": {}}}
    dialogue = Dialogue(Opening(CWD, {"session_id": "old", "open": True}))
    dialogue.do("open")
    dialogue.do("say", "hello")
    dialogue.hear(id="initialize", result={"protocolVersion": 1, "agentCapabilities": can})
    dialogue.hear(id="session", result={})
    assert (dialogue.written[-1]["method"], dialogue.written[-1]["params"]) == ("session/list", {"cwd": CWD})
    theirs = {"sessions": [{"sessionId": "other", "title": "what another conversation is about"}]}
    assert dialogue.hear(id="barrier", result=theirs).outputs == ()
    later = Acp(Opening(CWD, dialogue.protocol.memory))
    later.resume(True, {})
    end = {"jsonrpc": "2.0", "id": "prompt-1", "result": {"stopReason": "end_turn"}}
    [barrier] = map(json.loads, later.decode(json.dumps(end).encode()).writes)
    assert (barrier["id"], barrier["method"]) == ("end-1", "session/list")
    assert later.decode(json.dumps({"id": "end-1", "result": theirs}).encode()).outputs == ()
    assert later.settle().ended


def test_a_turn_whose_prompt_was_answered_ends_under_the_next_hub() -> None:
    first = Dialogue(Opening(CWD)).ready()
    first.hear(id="prompt-1", result={"stopReason": "end_turn"})
    later = Dialogue(Opening(CWD, first.protocol.memory))
    later.protocol.resume(True, {})
    later.settle()
    assert later.ends == ["done"]


def test_a_late_result_of_a_failed_prompt_does_not_end_the_next_one() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.hear(id="prompt-1", error={"code": -32603, "message": "broken"})
    dialogue.do("say", "more")
    dialogue.hear(id="prompt-1", result={"stopReason": "end_turn"})
    assert len(dialogue.ends) == 1
    dialogue.hear(id="prompt-2", result={"stopReason": "end_turn"})
    dialogue.settle()
    assert dialogue.ends[1:] == ["done"]
