"""The protocol of `cn serve`, checked against recorded requests and answers of the real program."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Late, Permission, Plain, Record, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.continue_dev.serve import ARGUMENTS, PIPES, ContinueServe
from rhetor.drivers.agents.protocol import Decoded, Opening

DATA = Path(__file__).parents[3] / "data" / "agents"
RECORDINGS = ["cn_turns", "cn_asked", "cn_serve"]
ANSWER = {
    "message": {"role": "assistant", "content": "hi", "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
}


def exchanges(name: str) -> list[tuple[str, Any, Any]]:
    """Return path, body and answer of each request of a recording."""
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    return [(row["req"][1], row["req"][2], row["res"]) for row in rows]


def state(history: list[Any], *, first: int = 0, session_id: str = "s", busy: bool = False) -> dict[str, Any]:
    session = {"sessionId": session_id, "history": history}
    return {"session": session, "from": first, "isProcessing": busy, "messageQueueLength": 0}


class Dialogue:
    def __init__(self, memory: dict[str, Any] | None = None) -> None:
        self.protocol = ContinueServe(Opening("/home/user/work", memory or {}))
        self.outputs: list[Plain] = []
        self.ends: list[str] = []

    def state(self, *history: Any, busy: bool = False, **more: Any) -> Decoded:
        return self.take({**state(list(history), busy=busy), **more})

    def take(self, answer: Any) -> Decoded:
        heard = self.protocol.decode(json.dumps(answer).encode())
        self.outputs += heard.outputs
        if heard.ended:
            self.ends.append(
                "done" if heard.failure is None else f"{heard.failure.code}: {heard.failure.detail}"
            )
        return heard


def opened(memory: dict[str, Any] | None = None) -> Dialogue:
    """Return a dialogue whose process has reported an empty conversation."""
    dialogue = Dialogue(memory)
    dialogue.protocol.opening_lines()
    dialogue.state()
    return dialogue


def replay(name: str, damage: Any = None, every: int = 1, reopen: bool = False) -> Dialogue:
    """Replay a recording. `every`: only each n-th state of a running turn is read; `reopen`: each answer is
    read by a new hub."""
    dialogue = Dialogue()
    dialogue.protocol.opening_lines()
    for number, (path, body, answer) in enumerate(exchanges(name)):
        if path == "/message":
            dialogue.protocol.prompt(body["message"])
        elif path == "/pause":
            dialogue.protocol.interrupt()
        elif path == "/state" and (number % every == 0 or not answer["isProcessing"]):
            dialogue.take(answer if damage is None else damage(answer))
        if reopen:
            later = ContinueServe(
                Opening("/home/user/work", json.loads(json.dumps(dialogue.protocol.memory)))
            )
            later.resume(dialogue.protocol._in_turn, {})
            later._stopping = dialogue.protocol._stopping
            dialogue.protocol = later
    return dialogue


def shown(dialogue: Dialogue) -> list[str]:
    rows = [_shown(output) for output in dialogue.outputs]
    return [*rows, *(f"end {end}" for end in dialogue.ends)]


def _shown(output: Plain) -> str:
    if not isinstance(output, Record):
        return f"{type(output).__name__} {json.dumps(msgspec.to_builtins(output))}"
    return f"Record {output.record['message']['role']} {output.record['message']['content']!r}"


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_gives_the_expected_outputs(name: str) -> None:
    assert shown(replay(name)) == (DATA / f"{name}.meaning.txt").read_text().splitlines()


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("every", [2, 3, 1000])
def test_the_polling_interval_does_not_change_the_answers(name: str, every: int) -> None:
    seldom, often = replay(name, every=every), replay(name)
    assert seldom.ends == often.ends
    assert sorted(shown(seldom)) == sorted(shown(often))


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_later_hub_continues_where_the_earlier_one_stopped(name: str) -> None:
    assert shown(replay(name, reopen=True)) == shown(replay(name))


def test_a_turn_ends_once_its_message_is_in_the_history_and_nothing_runs() -> None:
    dialogue = opened()
    assert dialogue.protocol.prompt("hello") == (b'{"path":"/message","body":{"message":"hello"}}',)
    user = {"message": {"role": "user", "content": "hello"}}
    assert not dialogue.state().ended
    assert not dialogue.state(user, busy=True).ended
    assert dialogue.state(user, ANSWER).ended
    assert dialogue.outputs == [Record(user), Record(ANSWER), Text("hi"), Usage(None, 3, 1)]
    assert not dialogue.state(user, ANSWER).ended


def test_a_growing_text_is_reported_by_its_additions() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("hello")
    user = {"message": {"role": "user", "content": "hello"}}
    for said in ("on", "one", "one two"):
        dialogue.state(user, {"message": {"role": "assistant", "content": said}}, busy=True)
    texts = [output.text for output in dialogue.outputs if isinstance(output, Text)]
    assert texts == ["on", "e", " two"]


def test_text_of_an_interrupted_turn_is_not_part_of_the_next_one() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("one")
    one, two = ({"message": {"role": "user", "content": content}} for content in ("one", "two"))
    dialogue.state(one, busy=True)
    assert dialogue.protocol.interrupt() == (b'{"path":"/pause","body":{}}',)
    dialogue.state(one)
    dialogue.protocol.prompt("two")
    dialogue.state(one, ANSWER, two, busy=True)
    dialogue.state(one, ANSWER, two)
    assert dialogue.ends == ["interrupted: continue was interrupted", "done"]
    assert [output for output in dialogue.outputs if not isinstance(output, Record)] == [Late("hi", True)]


def test_a_permission_is_requested_once_and_answered() -> None:
    pending = {
        "toolName": "Bash",
        "toolArgs": {"command": "ls"},
        "requestId": "tool-request-1",
        "timestamp": 1,
    }
    dialogue = opened()
    dialogue.protocol.prompt("run")
    user = {"message": {"role": "user", "content": "run"}}
    for _ in range(2):
        dialogue.state(user, busy=True, pendingPermission=pending)
    options = (
        PermissionOption("allow", "Allow", "allow_once"),
        PermissionOption("deny", "Deny", "reject_once"),
    )
    assert dialogue.outputs[1:] == [Record(pending), Permission("1-tool-request-1", "Bash", pending, options)]
    assert [json.loads(line) for line in dialogue.protocol.answer("1-tool-request-1", "allow")] == [
        {"path": "/permission", "body": {"requestId": "tool-request-1", "approved": True}}
    ]
    assert dialogue.protocol.answer("1-tool-request-1", "deny") == ()


def test_an_interrupt_denies_the_pending_permission() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("run")
    user = {"message": {"role": "user", "content": "run"}}
    dialogue.state(user, busy=True, pendingPermission={"toolName": "Bash", "requestId": "r"})
    written = [json.loads(line) for line in dialogue.protocol.interrupt()]
    assert [request["path"] for request in written] == ["/pause", "/permission"]
    assert written[1]["body"] == {"requestId": "r", "approved": False}


def test_a_shortened_history_is_continued() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("one")
    one, two = ({"message": {"role": "user", "content": content}} for content in ("one", "two"))
    dialogue.state(one, ANSWER, ANSWER)
    dialogue.protocol.prompt("two")
    dialogue.state(one, busy=True)
    dialogue.state(one, two, ANSWER)
    assert dialogue.ends == ["done", "done"]
    assert [output.text for output in dialogue.outputs if isinstance(output, Text)] == ["hi", "hi", "hi"]


def test_a_tool_call_without_output_has_an_empty_result() -> None:
    call = {"id": "c", "function": {"name": "Bash", "arguments": "{}"}}
    message = {"role": "assistant", "content": "", "toolCalls": [call]}
    dialogue = opened()
    dialogue.protocol.prompt("run")
    states = [{"toolCallId": "c", "status": "done"}]
    dialogue.state(
        {"message": {"role": "user", "content": "run"}}, {"message": message, "toolCallStates": states}
    )
    assert dialogue.outputs[2:] == [ToolUse("c", "Bash", "{}", "agent"), ToolResult("c", "")]


def test_a_new_process_continues_the_conversation() -> None:
    known = {"session_id": "s-1", "turns": 4, "seen": 2, "told": ["c"], "begun": True, "open": True}
    dialogue = Dialogue(known)
    assert dialogue.protocol.arguments() == (*ARGUMENTS, "--id=s-1")
    dialogue.protocol.opening_lines()
    assert dialogue.protocol.prompt("on") == ()
    heard = dialogue.take(state([], first=2, session_id="s-1"))
    assert (heard.outputs, heard.writes) == ((), (b'{"path":"/message","body":{"message":"on"}}',))
    user = {"message": {"role": "user", "content": "on"}}
    dialogue.take(state([user], first=2, session_id="s-1", busy=True))
    assert dialogue.take(state([ANSWER], first=3, session_id="s-1")).ended
    assert dialogue.outputs == [Record(user), Record(ANSWER), Text("hi"), Usage(None, 3, 1)]
    assert (dialogue.protocol.memory["session_id"], dialogue.protocol.memory["seen"]) == ("s-1", 4)


def test_a_missing_conversation_is_reported_as_lost() -> None:
    dialogue = Dialogue({"session_id": "s-1", "turns": 4, "seen": 2})
    dialogue.protocol.opening_lines()
    dialogue.protocol.prompt("on")
    heard = dialogue.take(state([], session_id="s-1"))
    assert (heard.ended, heard.writes, "session_id" in dialogue.protocol.memory) == (True, (), False)
    assert dialogue.ends == [
        "turn_failed: continue failed: no conversation found with the id s-1;"
        " the next message begins a new conversation"
    ]


def test_a_message_that_was_not_delivered_fails_under_a_later_hub() -> None:
    dialogue = Dialogue({"turns": 1, "seen": 0, "open": False})
    dialogue.protocol.resume(True, {})
    assert dialogue.take(state([])).ended
    assert dialogue.ends == ["turn_failed: the hub stopped before the message was delivered; send it again"]


def test_a_later_hub_continues_a_new_turn_without_the_text_of_the_previous_one() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("one")
    one, two = ({"message": {"role": "user", "content": content}} for content in ("one", "two"))
    refusal = {"message": {"role": "assistant", "content": "Error: 401 no"}}
    dialogue.state(one, refusal)
    later = Dialogue(json.loads(json.dumps(dialogue.protocol.memory)))
    later.protocol.resume(True, {})
    later.take(state([two], first=2, busy=True))
    assert later.take(state([ANSWER], first=3)).ended
    assert ([end.partition(":")[0] for end in dialogue.ends], later.ends) == (["provider_denied"], ["done"])


def test_a_turn_interrupted_before_the_agent_is_ready_is_not_started() -> None:
    dialogue = Dialogue()
    dialogue.protocol.opening_lines()
    assert (dialogue.protocol.prompt("long"), dialogue.protocol.interrupt()) == ((), ())
    heard = dialogue.take(state([]))
    assert (heard.writes, dialogue.ends) == ((), ["interrupted: continue was interrupted"])


def test_a_rejected_message_ends_its_turn() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("")
    refusal = {"path": "/message", "status": 400, "refused": "Message field is required"}
    assert dialogue.take(refusal).ended
    assert dialogue.ends == ["turn_failed: continue failed: Message field is required"]
    assert not dialogue.take(refusal | {"path": "/pause"}).ended


def test_unchanged_entries_are_not_repeated() -> None:
    dialogue = opened()
    dialogue.protocol.prompt("run")
    user = {"message": {"role": "user", "content": "run"}}
    first = {"message": {"role": "assistant", "content": "one"}}
    dialogue.take(state([user, first], busy=True))
    dialogue.take(state([ANSWER], first=2, busy=True))
    assert dialogue.take(state([], first=3)).ended
    assert [output.text for output in dialogue.outputs if isinstance(output, Text)] == ["one", "hi"]


def test_the_module_is_loaded_before_the_users_own_modules() -> None:
    protocol = ContinueServe(Opening("/w"))
    load = f'--require "{PIPES}"'
    assert PIPES.is_file()
    assert protocol.environment({"A": "1"}) == {"A": "1", "NODE_OPTIONS": load}
    assert protocol.environment({"NODE_OPTIONS": "-r x"}) == {"NODE_OPTIONS": f"{load} -r x"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(RECORDINGS), at=st.randoms(use_true_random=False), value=values)
def test_a_value_of_another_type_never_raises(name: str, at: Any, value: Any) -> None:
    def changed(answer: Any) -> Any:
        answer = json.loads(json.dumps(answer))
        place, key = answer, at.choice(list(answer))
        while isinstance(place[key], dict | list) and place[key] and at.random() < 0.9:
            place = place[key]
            key = at.choice(list(place)) if isinstance(place, dict) else at.randrange(len(place))
        place[key] = value
        return answer

    assert replay(name, changed).outputs


@given(lines=st.lists(values.map(lambda value: json.dumps(value).encode()) | st.binary()))
def test_a_line_that_is_not_a_state_becomes_a_record(lines: list[bytes]) -> None:
    protocol = ContinueServe(Opening("/home/user/work"))
    heard = [protocol.decode(line) for line in lines]
    assert all([type(output) for output in one.outputs] == [Record] for one in heard)


def test_rejected_tool_calls_are_errors() -> None:
    outputs = replay("cn_asked").outputs
    assert [output.call_id for output in outputs if isinstance(output, ToolUse)] == [
        "call_x",
        "call_y",
        "call_z",
    ][:2]
    results = [(output.result, output.is_error) for output in outputs if isinstance(output, ToolResult)]
    assert results == [("Command blocked by security policy", True)] * 2
