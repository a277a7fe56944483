"""A program that speaks the JSON protocol: it expects an envelope with a real context for each message."""

from __future__ import annotations

import json

import pytest
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import with_programs

pytestmark = pytest.mark.anyio
REPEATS = """
import json, sys
said = []
for line in sys.stdin:
    said.append(json.loads(line))
    if said[-1]["type"] == "command":
        print(json.dumps({"type": "response", "content": json.dumps(said)}), flush=True)
    elif said[-1]["type"] == "capability_query":
        print(json.dumps({"capabilities": {"maths": 0.9}}), flush=True)
        said.pop()
"""


async def test_a_program_receives_its_context_and_its_session() -> None:
    async with with_programs() as home:
        await home.announce("box", *PYTHON, REPEATS, protocol="aish-json")
        await home.ask("PUT", "/api/v2/purposes/box", {"text": "computes"})
        await home.ask("POST", "/api/v2/context/box/stage", {"text": "in hex"})
        await home.ask("POST", "/api/v2/context/box/promote")
        answer = (await home.say("box", "3 + 4", **{"from": "jill"})).json
        *injected, command = json.loads(answer["response"])
        assert [(each["type"], each["prompts"]) for each in injected] == [
            ("context_injection", ["in hex"]),
            ("context_injection", ["computes"]),
        ]
        for each in injected:
            assert each["metadata"]["source"] == "apollo-rhetor"
            assert isinstance(each["metadata"]["timestamp"], float)
        assert command == {
            "type": "command",
            "content": "3 + 4",
            "context": {"from": "jill", "turn_id": answer["turn_id"], "purpose": "computes", "via": []},
            "session_id": answer["session_id"],
        }
