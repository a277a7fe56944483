"""Images and PDF reach the models of real coding agents byte for byte, and nothing reaches one that does not
take them."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import pytest
from tests.interop.agents import Agent
from tests.interop.home import House
from tests.pictures import MP3
from tests.provider.script import Script


def _png() -> bytes:
    """A real picture of 16 × 16 points: agents look at its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((16 * row, 16 * row, 99)) * 16 for row in range(16))
    head, data = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0), zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PICTURE = _png()
TAKES = {"claude-code": True, "codex": True, "gemini": True, "copilot": True, "continue": False}


def test_a_picture_reaches_the_agents_model_byte_for_byte(agent: Agent, house: House) -> None:
    if agent.name == "opencode":
        pytest.skip("it keeps pictures from a model whose entry in its configuration declares none")
    (house.work / "x.png").write_bytes(PICTURE)
    house.provider.script(Script(chunks=("A square",)))
    ran = house.aish(agent.name, "-a", "x.png", "what is this?")
    if not TAKES[agent.name]:
        assert (ran.code, ran.out) == (2, "")
        assert f"{agent.name} does not take x.png (image/png)" in ran.err
        assert house.provider.calls() == []
        return
    assert (ran.code, ran.out) == (0, "A square\n"), (ran, house.log())
    sent = [json.dumps(call["body"]) for call in house.provider.calls() if agent.asks(call)]
    assert base64.b64encode(PICTURE).decode() in sent[-1].replace("\\/", "/")


def test_a_sound_is_refused_before_the_agents_model_is_called(agent: Agent, house: House) -> None:
    if agent.name == "gemini":
        return  # it declares audio
    (house.work / "x.mp3").write_bytes(MP3)
    ran = house.aish(agent.name, "-a", "x.mp3", "what is this?")
    assert (ran.code in (1, 2), ran.out, "does not take x.mp3 (audio/mpeg)" in ran.err) == (True, "", True), (
        ran
    )
    assert [call for call in house.provider.calls() if agent.asks(call)] == []
