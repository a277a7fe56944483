"""The ACP protocol, with recordings of real agents and with messages that none of them sends.

A recording is a dialogue: `do`, a call to the protocol; `write`, what it wrote; `read`, a line from the
agent. Beside each recording is a file with the expected outputs, one per line.
"""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec.lines import Lines
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Late, Permission, Plain, Record, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.acp.protocol import BARRIER_SECONDS, MAX_ASKED, TAIL_SECONDS, Acp
from rhetor.drivers.agents.acp.updates import MAX_CALLS, Calls
from rhetor.drivers.agents.protocol import Decoded, Opening
from tests.rhetor.drivers.agents.replay import METHODS

DATA = Path(__file__).parents[3] / "data" / "agents"
CWD = "/home/user/work"
RECORDINGS = [
    f"{agent}_{kind}" for agent in ("opencode", "gemini") for kind in ("turns", "resume", "fork", "model")
]
ONCE = {"optionId": "once", "name": "Allow once", "kind": "allow_once"}

Step = dict[str, Any]


def steps(name: str) -> list[Step]:
    return [json.loads(line) for line in (DATA / f"acp_{name}.jsonl").read_text().splitlines()]


def opening(name: str) -> Opening:
    """How the conversation of a recording was opened."""
    agent, _, kind = name.partition("_")
    if kind == "turns":
        return Opening(CWD)
    if kind == "model":
        return Opening(CWD, model="stub/other" if agent == "opencode" else "gemini-2.5-pro")
    opened = (step["read"].get("result", {}) for step in steps(f"{agent}_turns") if "read" in step)
    session_id = next(result["sessionId"] for result in opened if "sessionId" in result)
    return Opening(CWD, {"session_id": session_id, "prompts": 8, "open": True}, fork=kind == "fork")


class Dialogue:
    """A protocol, with all that it wrote and all its outputs, in order."""

    def __init__(self, opening: Opening) -> None:
        self.protocol = Acp(opening)
        self.written: list[Any] = []
        self.outputs: list[Plain] = []
        self.ends: list[str] = []

    def do(self, name: str, *arguments: Any) -> list[Any]:
        self.settle()
        return self.write(getattr(self.protocol, METHODS.get(name, name))(*arguments))

    def write(self, lines: tuple[bytes, ...]) -> list[Any]:
        """Write lines; a barrier after the end of a prompt is answered at once, as real agents do."""
        written = [json.loads(line) for line in lines]
        for barrier in [one for one in written if str(one.get("id")).startswith("end-")]:
            written.remove(barrier)
            self.hear(id=barrier["id"], error={"code": -32601, "message": "Method not found"})
        self.written += written
        return written

    def decode(self, line: bytes) -> Decoded:
        return self.take(self.protocol.decode(line))

    def settle(self) -> None:
        """Let the pause after which the protocol settles pass."""
        if self.protocol.settle_after is not None:
            self.take(self.protocol.settle())

    def take(self, heard: Decoded) -> Decoded:
        self.write(heard.writes)
        self.outputs += heard.outputs
        if heard.ended:
            done = "done" if heard.finish_reason == "stop" else heard.finish_reason
            self.ends.append(
                done if heard.failure is None else f"{heard.failure.code}: {heard.failure.detail}"
            )
        return heard

    def hear(self, **message: Any) -> Decoded:
        return self.decode(json.dumps({"jsonrpc": "2.0"} | message).encode())

    def update(self, kind: str, **fields: Any) -> Decoded:
        params = {"sessionId": "s", "update": {"sessionUpdate": kind, **fields}}
        return self.hear(method="session/update", params=params)

    def ready(self, can: dict[str, Any] | None = None, **result: Any) -> "Dialogue":
        """Send the first message of a new conversation, and let the agent become ready."""
        self.do("open")
        self.do("say", "hello")
        self.hear(id="initialize", result={"protocolVersion": 1, "agentCapabilities": can or {}})
        self.hear(id="session", result={"sessionId": "s", **result})
        return self

    def ask(self, id: Any, options: list[Any] | None = None) -> Decoded:
        params = {
            "toolCall": {"toolCallId": "c", "title": "rm x", "kind": "execute"},
            "options": [ONCE] if options is None else options,
        }
        return self.hear(id=id, method="session/request_permission", params=params)


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
def test_each_line_is_recorded_once_except_deltas_and_history(name: str) -> None:
    kept = [output.record for output in replay(name).outputs if isinstance(output, Record)]
    read = [step["read"] for step in steps(name) if "read" in step]
    left_out = [message for message in read if message not in kept]
    kinds = {message["params"]["update"]["sessionUpdate"] for message in left_out}
    assert kept == [message for message in read if message in kept]
    repeats = name in ("gemini_resume", "opencode_fork")
    history = {"user_message_chunk", "tool_call", "tool_call_update"} if repeats else set()
    assert kinds - history <= {"agent_message_chunk", "agent_thought_chunk"}


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


def test_requests_for_files_and_terminals_are_rejected() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.hear(id=7, method="fs/read_text_file", params={"path": "/etc/passwd"})
    dialogue.hear(id="t", method="terminal/create", params={})
    answers = [(answer["id"], answer["error"]["code"]) for answer in dialogue.written[-2:]]
    assert answers == [(7, -32601), ("t", -32601)]
    assert dialogue.written[0]["params"]["clientCapabilities"] == {}


@pytest.mark.parametrize("id", [0, 7, -1, "a/b c", "ü" * 20])
def test_a_permission_is_answered_with_the_id_of_its_request(id: Any) -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    asked = dialogue.ask(id).outputs[-1]
    assert isinstance(asked, Permission)
    assert (asked.tool, asked.detail) == ("execute", {"toolCallId": "c", "title": "rm x", "kind": "execute"})
    assert asked.options == (PermissionOption("once", "Allow once", "allow_once"),)
    assert asked.request_id.replace("-", "").replace("_", "").isalnum()
    later = Dialogue(Opening(CWD, dialogue.protocol.memory))
    later.protocol.resume(True, {asked.request_id: asked.detail})
    for speaking in (dialogue, later):
        chosen = {"outcome": {"outcome": "selected", "optionId": "once"}}
        assert speaking.do("answer", asked.request_id, "once") == [
            {"jsonrpc": "2.0", "id": id, "result": chosen}
        ]
        assert speaking.do("answer", asked.request_id, "once") == []


def test_permissions_of_different_turns_have_different_ids() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    first = dialogue.ask(0).outputs[-1]
    dialogue.hear(id="prompt-1", result={"stopReason": "end_turn"})
    dialogue.do("say", "again")
    second = dialogue.ask(0).outputs[-1]
    assert isinstance(first, Permission)
    assert isinstance(second, Permission)
    assert first.request_id != second.request_id


@pytest.mark.parametrize(
    "content", [{"type": "text"}, {"type": "text", "text": 1}, {"type": "image", "data": "x"}]
)
def test_a_chunk_that_is_not_text_becomes_a_record(content: Any) -> None:
    heard = Dialogue(Opening(CWD)).ready().update("agent_message_chunk", content=content)
    assert [type(output) for output in heard.outputs] == [Record]


def test_an_expired_permission_is_answered_as_cancelled() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    asked = dialogue.ask(0).outputs[-1]
    assert isinstance(asked, Permission)
    (answer,) = dialogue.do("answer", asked.request_id, None)
    assert answer["result"] == {"outcome": {"outcome": "cancelled"}}


@pytest.mark.parametrize("options", [[], [{"name": "no id"}], "none"])
def test_a_permission_without_valid_options_is_cancelled_at_once(options: Any) -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    heard = dialogue.ask(3, options)
    assert [type(output) for output in heard.outputs] == [Record]
    assert dialogue.written[-1]["result"] == {"outcome": {"outcome": "cancelled"}}


def test_permissions_above_the_limit_of_pending_ones_are_cancelled() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    for id in range(MAX_ASKED + 1):
        dialogue.ask(id)
    asked = [output for output in dialogue.outputs if isinstance(output, Permission)]
    assert len(asked) == MAX_ASKED
    assert dialogue.written[-1]["id"] == MAX_ASKED


def test_an_interrupt_cancels_the_turn_then_pending_and_later_permissions() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.ask(0)
    cancel, answer = dialogue.do("interrupt")
    assert cancel == {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "s"}}
    assert (answer["id"], answer["result"]) == (0, {"outcome": {"outcome": "cancelled"}})
    assert [type(output) for output in dialogue.ask(1).outputs] == [Record]
    assert dialogue.written[-1]["id"] == 1
    dialogue.hear(id="prompt-1", error={"code": -32603, "message": "aborted"})
    assert dialogue.ends == ["interrupted: the agent was interrupted"]
    assert dialogue.do("interrupt") == []


def test_an_interrupt_before_the_agent_is_ready_ends_the_turn_once_it_is() -> None:
    dialogue = Dialogue(Opening(CWD))
    dialogue.do("open")
    dialogue.do("say", "hello")
    assert dialogue.do("interrupt") == []
    dialogue.hear(id="initialize", result={"protocolVersion": 1})
    dialogue.hear(id="session", result={"sessionId": "s"})
    assert dialogue.ends == ["interrupted: the agent was interrupted"]
    assert dialogue.do("say", "again")[0]["method"] == "session/prompt"


def test_permissions_pending_at_the_end_of_a_turn_are_cancelled() -> None:
    dialogue = Dialogue(Opening(CWD)).ready()
    dialogue.ask(5)
    heard = dialogue.hear(id="prompt-1", result={"stopReason": "end_turn"})
    assert [json.loads(line)["id"] for line in heard.writes] == [5, "end-1"]
    dialogue.settle()
    assert dialogue.ends == ["done"]


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


def test_the_number_of_tool_calls_is_bounded() -> None:
    calls = Calls()
    for number in range(MAX_CALLS + 10):
        calls.take({"toolCallId": str(number)})
    assert len(calls.over()) == MAX_CALLS


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


def done(dialogue: Dialogue, number: int, **result: Any) -> None:
    dialogue.hear(id=f"prompt-{number}", **(result or {"result": {"stopReason": "end_turn"}}))
    dialogue.settle()


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
