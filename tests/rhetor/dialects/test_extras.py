"""Parts, a model, a prompt and a schema, in the messages of every API."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.pictures import PNG
from tests.rhetor.dialects.reading import call_of

from rhetor.codec.jsonrpc import Refused
from rhetor.dialects import interactive, peer_socket, socketio
from rhetor.dialects.named_socket import SocketInput
from rhetor.domain.command import SendMessage
from rhetor.domain.lines import steps_of_line
from rhetor.domain.parts import GivenPart
from rhetor.domain.plan import Step
from rhetor.domain.socket import Socket
from rhetor.errors import RhetorError, Unprocessable
from rhetor.transports.rest import bodies as b

ID = "a" * 64
PARTS = [
    {"type": "text", "text": "and"},
    {"type": "image", "media_type": "image/png", "name": "x.png", "data": b64encode(PNG).decode()},
    {"type": "audio", "blob_id": ID},
    {"type": "file", "url": "https://a.example/y.pdf"},
]
EXTRAS: dict[str, Any] = {
    "parts": PARTS,
    "model": "a/b",
    "system": "be brief",
    "response_schema": {"type": "object"},
}
GIVEN = (
    GivenPart("image", "image/png", "x.png", data=PNG),
    GivenPart("audio", blob_id=ID),
    GivenPart("file", url="https://a.example/y.pdf"),
)


def _call(method: str, params: dict[str, Any]) -> Any:
    return call_of({"method": method, "params": params})


def chat(extras: dict[str, Any]) -> SendMessage:
    found = peer_socket.decode(_call("chat", {"message": "look", **extras}), "apollo")
    assert isinstance(found, peer_socket.Chat)
    return found.command


def loop(extras: dict[str, Any]) -> SendMessage:
    found = interactive.decode(_call("sendUserMessage", {"sessionId": "s", "message": "look", **extras}))
    assert isinstance(found, SendMessage)
    return found


def emitted(extras: dict[str, Any]) -> SendMessage:
    argument = {"session_id": "s", "content": "look", **extras}
    found = socketio.decode([msgspec.Raw(b'"send"'), msgspec.Raw(json.dumps(argument).encode())])
    assert isinstance(found, SendMessage)
    return found


def written(extras: dict[str, Any]) -> SendMessage:
    socket = SocketInput(Socket("apollo-1", "me", "apollo", "s", 0))
    (found,) = socket.decode(json.dumps({"type": "write", "content": "look", **extras}))
    if isinstance(found, RhetorError):
        raise found
    assert isinstance(found, SendMessage)
    return found


def in_session(extras: dict[str, Any]) -> SendMessage:
    return msgspec.json.decode(json.dumps({"message": "look", **extras}), type=b.SessionMessageBody).command(
        "s", None
    )


def posted_as_json(extras: dict[str, Any]) -> SendMessage:
    body = json.dumps({"content": "look", **extras})
    return msgspec.json.decode(body, type=b.MessageBody).command("apollo", None)


def step(extras: dict[str, Any]) -> Step:
    body = json.dumps({"steps": [{"id": "a", "ai": "apollo", "message": "look", **extras}]})
    return msgspec.json.decode(body, type=b.PlanBody).own_steps()[0]


def operation(extras: dict[str, Any]) -> Step:
    body = json.dumps({"operations": [{"id": "a", "ai": "apollo", "message": "look", **extras}]})
    return msgspec.json.decode(body, type=b.BulkBody).command(1, None).steps[0]


Decode = Callable[[dict[str, Any]], SendMessage | Step]
APIS: tuple[Decode, ...] = (chat, loop, emitted, written, in_session, posted_as_json, step, operation)


@pytest.mark.parametrize("decode", APIS)
def test_a_message_carries_the_same_on_every_api(decode: Decode) -> None:
    found = decode(EXTRAS)
    text = found.template if isinstance(found, Step) else found.content
    assert (text, found.parts) == ("look\n\nand", GIVEN)
    assert (found.model, found.system, found.response_schema) == ("a/b", "be brief", {"type": "object"})
    plain = decode({})
    assert {plain.parts, plain.model, plain.system, plain.response_schema} == {msgspec.UNSET}


@pytest.mark.parametrize("decode", APIS)
@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "image"}],
        [{"type": "image", "blob_id": ID, "url": "http://a.example"}],
        [{"type": "image", "blob_id": "../../token"}],
        [{"type": "image", "data": "not base64!"}],
        [{"type": "text"}],
        [{"type": "video", "blob_id": ID}],
        [{"type": "image", "blob_id": ID, "media_type": "image"}],
        [{"type": "text", "text": "x"}] * 21,
        "x",
    ],
)
def test_an_invalid_part_is_rejected(decode: Decode, parts: Any) -> None:
    with pytest.raises((Refused, RhetorError, msgspec.ValidationError)):
        decode({"parts": parts})


def test_a_line_takes_urls_and_a_schema_itself() -> None:
    (step,) = steps_of_line("""apollo look -a https://a.example/x.png --schema '{"type": "object"}'""")
    assert step.parts == (GivenPart("file", url="https://a.example/x.png"),)
    assert step.response_schema == {"type": "object"}
    for line in ("apollo look -a x.png", "apollo look --schema s.json", "apollo look --schema '[1]'"):
        with pytest.raises(Unprocessable):
            steps_of_line(line)
