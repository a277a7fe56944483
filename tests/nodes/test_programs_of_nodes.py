"""Programs of one node take messages from all nodes, and their programs call the hub at their own."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.nodes.pairs import ONE, TWO, Homes, pair, until
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.served import PROGRAM_ENVIRONMENT

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]
ECHO = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import sys\nfor line in sys.stdin: print('heard', line.strip(), flush=True)",
)


@pytest.fixture
async def homes(postgres_url: str) -> AsyncIterator[Homes]:
    """The program `echo` runs at the first node, and the second one knows it."""
    with tempfile.TemporaryDirectory(prefix="rt") as place:  # the paths of sockets must be short
        async with pair(postgres_url, Path(place), hosting=hosting) as found:
            yield await _with_echo(found)


async def _with_echo(found: Homes) -> Homes:
    await found.one.announce("echo", *ECHO)

    async def is_known() -> bool:
        return found.two.hub.state.nodes.of_peer("echo") == ONE

    await until(is_known)
    return found


async def test_a_message_to_a_program_of_another_node_is_answered(homes: Homes) -> None:
    for text in ("one", "two"):
        answer = await homes.two.ask("POST", "/api/v2/ai/echo/message", {"content": text, "execute": True})
        assert answer.status == 200, answer.text
        assert f"heard {text}" in answer.text
    one, two = homes.one.hub.state, homes.two.hub.state
    assert list(two.instances) == []
    assert len(one.instances) == 1
    [session] = await one.store.find("session", parent="echo")
    assert await two.nodes.owner(session.id) == ONE


async def test_a_session_with_a_program_of_another_node_begins_there(homes: Homes) -> None:
    opened = await homes.two.ask("POST", "/api/v2/sessions", {"specialist_id": "echo", "name": "talk"})
    assert opened.status == 200, opened.text
    assert await homes.two.hub.state.nodes.owner(opened.json["id"]) == ONE


async def test_a_plan_has_a_step_at_a_program_of_another_node(homes: Homes) -> None:
    steps = [{"id": "a", "ai": "echo", "message": "first"}, {"id": "b", "ai": "apollo", "depends_on": ["a"]}]
    answer = await homes.two.ask("POST", "/api/v2/plans", {"steps": steps})
    assert answer.status == 200, answer.text
    events = [
        json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if "data: " in line
    ]
    assert events[-1]["data"] == {"status": "completed"}
    assert await homes.one.hub.state.nodes.owner(events[-1]["plan_id"]) == TWO
    assert "heard first" in homes.two.driver.heard[0][1]


async def test_an_answer_is_forwarded_to_a_program_of_another_node(homes: Homes) -> None:
    put = await homes.two.ask("PUT", "/api/v2/forwards/apollo", {"to": "echo"})
    assert put.status == 200, put.text
    sent = await homes.two.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
    assert sent.status == 200, sent.text

    async def has_answered() -> bool:
        rows = await homes.one.hub.state.store.find("turn", state="completed")
        return sorted(row.doc.count(b"echo") > 0 for row in rows) == [False, True]

    await until(has_answered)
    assert await homes.one.hub.state.store.find("delivery") == []


async def test_a_program_is_ended_from_another_node(homes: Homes) -> None:
    ended = await homes.two.ask("DELETE", "/api/v2/programs/echo")
    assert ended.status == 200, ended.text
    assert homes.one.hub.state.instances == {}

    async def is_gone() -> bool:
        return not homes.two.hub.state.peers.has("echo")

    await until(is_gone)
    again = await homes.two.ask("DELETE", "/api/v2/programs/echo")
    assert again.json["code"] == "unknown_peer"


async def test_only_one_node_gets_a_name_that_two_ask_for_at_once(homes: Homes) -> None:
    body = {"kind": "stdio", "argv": ECHO, "cwd": "/", "env": PROGRAM_ENVIRONMENT}
    for name in ("waiter", "porter", "cook"):
        given = {"name": name, **body}
        asked = [home.ask("POST", "/api/v2/programs", given) for home in (homes.one, homes.two)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [200, 409]
        assert {answer.json.get("code") for answer in answers} == {None, "name_taken"}
