"""The tool runner of Anthropic's client, which asks the server to hold the conversation if it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from anthropic import beta_async_tool

from rhetor.domain.output import Done, Text, ToolUse
from tests.served import TOKEN, served

from .clients import anthropic

pytestmark = pytest.mark.anyio


@beta_async_tool
async def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


async def test_the_tool_runner_sends_the_whole_conversation_instead_of_a_thread(tmp_path: Path) -> None:
    calling = [ToolUse("c1", "weather", {"city": "Oslo"}, "caller"), Done("tool_calls")]
    async with served(tmp_path, calling, [Text("Take a coat."), Done()]) as home, anthropic(home) as client:
        runner = client.beta.messages.tool_runner(
            model="apollo",
            max_tokens=99,
            messages=[{"role": "user", "content": "What is the weather?"}],
            tools=[weather],
        )
        last = await runner.until_done()
        assert [block.text for block in last.content if block.type == "text"] == ["Take a coat."]


async def test_a_thread_is_rejected_so_that_clients_continue_without_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = {
            "model": "apollo",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}],
            "thread": {"type": "create"},
        }
        answer = await home.ask_tcp("POST", "/v1/messages", {"x-api-key": TOKEN}, json=body)
        assert answer.status == 400
        assert answer.json["error"] == {
            "type": "invalid_request_error",
            "message": "thread: not supported; send the whole conversation with each request",
            "details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        }
        assert home.driver.heard == []
