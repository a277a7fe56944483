"""A conversation that began at one node continues at the other one, through any API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.pairs import ONE, Homes, pair
from tests.served import Served

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


@pytest.fixture
async def homes(postgres_url: str, tmp_path: Path) -> AsyncIterator[Homes]:
    async with pair(postgres_url, tmp_path) as found:
        yield found


async def done(home: Served, path: str, body: Any) -> Any:
    answer = await home.ask("POST", path, body)
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_conversation_that_a_chat_client_gives(homes: Homes) -> None:
    question = {"role": "user", "content": "one"}
    first = await done(homes.one, "/v1/chat/completions", {"model": "apollo", "messages": [question]})
    said = first["choices"][0]["message"]["content"]
    assert said == "apollo heard: one"
    more = [question, {"role": "assistant", "content": said}, {"role": "user", "content": "two"}]
    second = await done(homes.two, "/v1/chat/completions", {"model": "apollo", "messages": more})
    assert second["choices"][0]["message"]["content"] == "apollo heard: two"
    assert homes.one.driver.heard == [("apollo", "one"), ("apollo", "two")]
    assert homes.two.driver.heard == []
    [session] = await homes.two.hub.state.store.find("session", parent="apollo")
    assert await homes.two.hub.state.nodes.owner(session.id) == ONE


async def test_a_response_that_follows_another_one(homes: Homes) -> None:
    first = await done(homes.one, "/v1/responses", {"model": "apollo", "input": "one"})
    more = {"model": "apollo", "input": "two", "previous_response_id": first["id"]}
    second = await done(homes.two, "/v1/responses", more)
    assert second["output"][-1]["content"][0]["text"] == "apollo heard: two"
    assert homes.one.driver.heard == [("apollo", "one"), ("apollo", "two")]


async def test_a_message_to_a_session(homes: Homes) -> None:
    opened = await done(homes.one, "/api/v2/sessions", {"specialist_id": "apollo"})
    answer = await homes.two.ask("POST", f"/api/v2/sessions/{opened['id']}/message", {"message": "two"})
    assert answer.status == 200, answer.text
    assert "apollo heard: two" in answer.text
    assert homes.one.driver.heard == [("apollo", "two")]
    stopped = await homes.two.ask("DELETE", f"/api/v2/sessions/{opened['id']}")
    assert stopped.status == 200, stopped.text
    again = [
        await each.ask("POST", f"/api/v2/sessions/{opened['id']}/message", {"message": "x"})
        for each in (homes.one, homes.two)
    ]
    assert again[0].status == again[1].status == 409
    assert again[0].json == again[1].json
