"""The parts of a message in the lines that agents get."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from msgspec.json import decode, encode

from rhetor.domain.output import Record
from rhetor.domain.parts import Part, known_type, type_of
from rhetor.drivers.agents.acp.protocol import Acp
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.continue_dev.serve import ContinueServe
from rhetor.drivers.agents.inputs import agent_inputs
from rhetor.drivers.agents.parts import REMOVED
from rhetor.drivers.agents.protocol import AgentProtocol, Opening
from rhetor.drivers.base import Attachment
from rhetor.errors import InputUnsupported
from tests.pictures import JPEG, PDF, PNG, WAV


def attached(content: bytes, name: str = "") -> Attachment:
    media_type = known_type(content)
    return Attachment(Part(type_of(media_type), media_type, "0" * 64, len(content), name), content)


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_claude_gets_images_and_pdf_as_blocks_and_the_log_gets_no_copy_of_them() -> None:
    claude = ClaudeCode(Opening("/"))
    (line,) = claude.prompt("what?", [attached(PNG), attached(PDF, "y.pdf")])
    message = decode(line)["message"]
    image, document, text = message["content"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": in_base64(PNG)}
    assert (document["type"], document["title"]) == ("document", "y.pdf")
    assert document["source"]["data"] == in_base64(PDF)
    assert text == {"type": "text", "text": "what?"}
    replay = {"type": "user", "message": message, "isReplay": True, "uuid": "u"}
    (record, *_) = claude.decode(encode(replay)).outputs
    assert isinstance(record, Record)
    kept = record.record["message"]["content"]
    assert [block.get("source", {}).get("data") for block in kept] == [REMOVED, REMOVED, None]
    assert kept[0]["source"]["media_type"] == "image/png"


def test_codex_gets_images_with_the_message_that_waits_for_its_thread() -> None:
    codex = Codex(Opening("/"))
    codex.opening_lines()
    assert codex.prompt("", [attached(JPEG)]) == ()
    opened = {"id": 2, "result": {"thread": {"id": "th"}}}
    (turn,) = codex.decode(encode(opened)).writes
    assert decode(turn)["params"]["input"] == [
        {"type": "image", "url": f"data:image/jpeg;base64,{in_base64(JPEG)}"}
    ]


def acp(can: dict[str, Any]) -> Acp:
    """An agent that is asked to begin, and has said what it can do."""
    agent = Acp(Opening("/"))
    agent.opening_lines()
    capabilities = {"promptCapabilities": can}
    hello = {"protocolVersion": 1, "agentCapabilities": capabilities, "agentInfo": {"name": "pen"}}
    agent.decode(encode({"jsonrpc": "2.0", "id": "initialize", "result": hello}))
    return agent


OPENED = encode({"jsonrpc": "2.0", "id": "session", "result": {"sessionId": "s"}})


def test_an_acp_agent_gets_what_it_declares() -> None:
    agent = acp({"image": True, "audio": True})
    assert agent.prompt("what?", [attached(PNG), attached(WAV)]) == ()
    (line,) = agent.decode(OPENED).writes
    assert decode(line)["params"]["prompt"] == [
        {"type": "image", "mimeType": "image/png", "data": in_base64(PNG)},
        {"type": "audio", "mimeType": "audio/wav", "data": in_base64(WAV)},
        {"type": "text", "text": "what?"},
    ]
    # a later hub knows it from the memory
    again = Acp(Opening("/", agent.saved))
    again.resume(False, {})
    assert len(again.prompt("and?", [attached(PNG)])) == 1


def test_an_acp_agent_that_does_not_take_a_part_gets_nothing() -> None:
    agent = acp({"image": True})
    agent.prompt("what?", [attached(WAV)])
    end = agent.decode(OPENED)
    assert (end.ended, end.writes) == (True, ())
    assert isinstance(end.failure, InputUnsupported)
    assert (end.failure.code, end.failure.data["unsupported"]) == ("unsupported", "audio/wav")
    with pytest.raises(InputUnsupported, match="pen does not take"):
        agent.prompt("what?", [attached(PDF)])
    (line,) = agent.prompt("hi")
    assert decode(line)["params"]["prompt"] == [{"type": "text", "text": "hi"}]


def test_other_agents_take_only_text() -> None:
    protocol: AgentProtocol = ContinueServe(Opening("/"))
    with pytest.raises(InputUnsupported, match="continue does not take"):
        protocol.prompt("what?", [attached(PNG)])
    taken = {name: agent_inputs("x", name).takes for name in ("claude", "codex", "acp", "continue", "stdio")}
    assert taken == {
        "claude": {"image", "pdf"},
        "codex": {"image"},
        "acp": None,
        "continue": frozenset(),
        "stdio": frozenset(),
    }
