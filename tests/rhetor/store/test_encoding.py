"""The stored form of payloads. Data stored by older hubs, and keys derived from commands, stay valid."""

from __future__ import annotations

import msgspec
import pytest

from rhetor.domain import event as ev
from rhetor.domain.command import Command, SendMessage, StartPlan
from rhetor.domain.plan import Step
from rhetor.store.encoding import decode, encode

STORED: list[tuple[ev.Payload, bytes]] = [
    (
        ev.MessageAccepted("m", "user", "hi", "me", ("apollo",), execute=True),
        b'{"message_id":"m","role":"user","content":"hi","from":"me","via":["apollo"],"execute":true,"delimiter":null}',
    ),
    (
        ev.MessageForwarded("apollo", "w", ("hera",), "hi", "t", source={"turn_id": "t"}),
        b'{"from":"apollo","to":"w","via":["hera"],"content":"hi","time":"t","purpose":null,"as_json":false,'
        b'"source":{"turn_id":"t"}}',
    ),
    (
        ev.ForwardFailed("apollo", "w", "gone", "why"),
        b'{"from":"apollo","to":"w","code":"gone","detail":"why"}',
    ),
    (
        ev.BlobKept("b", "image/png", 3, "me"),
        b'{"blob_id":"b","media_type":"image/png","bytes":3,"from":"me"}',
    ),
    (ev.OutputDelta("é"), '{"text":"é","channel":"answer"}'.encode()),
    (
        ev.PermissionAsked("r", "Bash", {"a": [1]}, (ev.PermissionOption("o", "Yes", "allow_once"),)),
        b'{"request_id":"r","tool":"Bash","detail":{"a":[1]},'
        b'"options":[{"option_id":"o","name":"Yes","kind":"allow_once"}],"expires_at":null}',
    ),
    (ev.AgentRecord({"b": 1, "a": None}), b'{"record":{"b":1,"a":null},"raw":null,"encoding":null}'),
]


@pytest.mark.parametrize(("payload", "stored"), STORED, ids=lambda value: getattr(value, "type", ""))
def test_the_stored_form_of_a_payload_does_not_change(payload: ev.Payload, stored: bytes) -> None:
    assert encode(payload) == stored
    assert msgspec.json.encode(ev.data_of(payload)) == stored
    assert decode(payload.type, stored) == payload


COMMANDS: list[tuple[Command, bytes]] = [
    (
        SendMessage("hi", "apollo", from_="me", context=(ev.ContextInjected(("a",)),)),
        b'{"content":"hi","target":"apollo","session_id":null,"context_window":null,"execute":false,'
        b'"delimiter":null,"if_busy":"queue","command_id":null,"from_":"me","via":[],"cwd":null,'
        b'"context":[{"prompts":["a"],"metadata":{}}]}',
    ),
    (
        StartPlan((Step("1", "apollo"),), from_="me"),
        b'{"steps":[{"id":"1","target":"apollo","template":"","needs":[],"session_id":null,'
        b'"context_window":null,"execute":false,"delimiter":null,"if_busy":"queue","context":[]}],"stdin":"",'
        b'"max_parallel":null,"command_id":null,"from_":"me","cwd":null}',
    ),
]


@pytest.mark.parametrize(("command", "hashed"), COMMANDS, ids=lambda value: type(value).__name__)
def test_the_bytes_that_a_command_key_hashes_do_not_change(command: Command, hashed: bytes) -> None:
    assert msgspec.json.encode(command) == hashed
