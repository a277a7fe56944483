"""Requests to the vendors' APIs whose specialist's model is called over HTTP: a provider, or a hub again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from openai import APIStatusError

from rhetor.domain.event import MessageAccepted
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import Conversation, Driver
from rhetor.hub.core.limits import Limits
from tests.provider import Failure, ProviderServer, Script
from tests.provider.script import ToolCall
from tests.rhetor.drivers.talk import chat_driver, openai_at
from tests.served import TOKEN, Served, served

from .clients import openai

pytestmark = pytest.mark.anyio
HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
MIRROR = Peer("mirror", PeerKind.SPECIALIST, "chat", role="mirror", prompt="You are a mirror.", model="auto")


@pytest.mark.long
async def test_a_clients_tools_and_options_reach_the_model_and_its_calls_come_back(tmp_path: Path) -> None:
    calls = (ToolCall("weather", '{"at": "Oslo"}', "same"), ToolCall("weather", '{"at": "Rome"}', "same"))
    async with ProviderServer() as provider:
        provider.script(
            Script(tool_calls=calls), Script(chunks=("Rain ", "and sun")), Script(failure=Failure(400))
        )
        async with (
            chat_driver(openai_at(provider)) as driver,
            served(tmp_path, drivers={"chat": driver}, also=[MIRROR]) as home,
            openai(home) as client,
        ):
            system: Any = {"role": "system", "content": "Be brief."}
            first = await client.chat.completions.create(
                model="mirror", messages=[system, *HELLO], tools=TOOLS, temperature=0.2, seed=5
            )
            choice = first.choices[0]
            assert choice.finish_reason == "tool_calls"
            ids = [call.id for call in choice.message.tool_calls or []]
            assert len(set(ids)) == 2  # although the model's were the same
            results: Any = [{"role": "tool", "tool_call_id": id, "content": "rain"} for id in ids]
            conversation = [system, *HELLO, choice.message.to_dict(), *results]
            second = await client.chat.completions.create(model="mirror", messages=conversation, tools=TOOLS)
            assert second.choices[0].message.content == "Rain and sun"
            with pytest.raises(APIStatusError) as refused:
                await client.chat.completions.create(model="mirror", messages=HELLO)
            assert refused.value.status_code == 400
        body, again = provider.requests[:2]
    assert (body["temperature"], body["seed"], body["tools"][0]["function"]["name"]) == (0.2, 5, "weather")
    roles = [message["role"] for message in again["messages"]]
    assert roles[-4:] == ["user", "assistant", "tool", "tool"]
    text = json.dumps(body["messages"])
    assert text.index("You are a mirror.") < text.index("Be brief.") < text.index("hello")


def itself(home: Served) -> dict[str, str]:
    """Return the environment in which the hub is its own provider."""
    return {"OPENAI_BASE_URL": f"{home.node.url}/v1", "OPENAI_API_KEY": TOKEN, "RHETOR_MODEL": "mirror"}


class Later:
    """A driver that is made once the hub runs."""

    sessions: Literal["many", "one"] = "many"

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers

    async def open(self, peer: Peer, resume: str | None = None) -> Conversation:
        return await self._drivers["chat"].open(peer, resume)

    async def aclose(self) -> None: ...


@pytest.mark.long
async def test_a_specialist_whose_model_is_itself_ends_at_the_hop_limit(tmp_path: Path) -> None:
    drivers: dict[str, Driver] = {}
    async with (
        served(tmp_path, drivers={"chat": Later(drivers)}, also=[MIRROR], limits=Limits(hops=4)) as home,
        chat_driver(itself(home)) as drivers["chat"],
        openai(home) as client,
    ):
        with pytest.raises(APIStatusError, match="through 5 peers; the limit is 4") as caught:
            await client.chat.completions.create(model="mirror", messages=HELLO)
        assert caught.value.status_code == 400
        sessions = await home.hub.state.store.find("session")
        logs = [await home.log(row.id) for row in sessions]
    via = sorted(len(each.via) for log in logs for each in log if isinstance(each, MessageAccepted))
    assert via == [0, 1, 2, 3]  # each was called once
