"""ACP: permission requests, their answers, and interrupts."""

import json
from typing import Any

import pytest

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Permission, Record
from rhetor.drivers.agents.acp.protocol import MAX_ASKED
from rhetor.drivers.agents.protocol import Opening
from tests.rhetor.drivers.agents.acp_dialogue import CWD, Dialogue


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
