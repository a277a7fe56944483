"""A hub with its real sockets, a peer whose model is a scripted provider, and a client with tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rhetor.domain.permission import Rules
from rhetor.drivers.model_tools.driver import with_tools
from rhetor.drivers.model_tools.mcp_reach import ServerEntry
from rhetor.drivers.model_tools.mcp_server import Limits
from rhetor.drivers.model_tools.servers import ToolServers
from tests.provider import ProviderServer
from tests.rhetor.drivers.talk import APOLLO, chat_driver, openai_at
from tests.served import Answer, Served, served

At = Callable[[ProviderServer], dict[str, str]]
NESTOR = replace(APOLLO, name="nestor", prompt="You are Nestor.")
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"place": {}}, "required": ["place"]},
}
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SECRET": "s"}
ROOT = str(Path(__file__).parent.parent)


@dataclass
class Tooled:
    home: Served
    provider: ProviderServer
    servers: ToolServers
    session_id: str = ""

    async def ask(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.home.ask(method, f"/api/v2{path}", json, **options)

    async def open(self, *tools: Mapping[str, Any], peer: str = "nestor") -> str:
        """Open a session with these tools, and use it from now on."""
        answer = await self.ask("POST", "/sessions", {"specialist_id": peer, "tools": tools})
        assert answer.status == 200, answer.text
        self.session_id = answer.json["id"]
        return self.session_id

    def say(self, message: str = "How is it outside?") -> asyncio.Task[Answer]:
        path = f"/sessions/{self.session_id}/message"
        return asyncio.create_task(self.ask("POST", path, {"message": message}))

    async def events(self, stop: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the session's events up to the `count`th of type `stop`."""
        found: list[dict[str, Any]] = []
        async for event in self.home.frames(f"/api/v2/sessions/{self.session_id}/events"):
            found.append(event)
            count -= event["type"] == stop
            if not count:
                break
        return found

    async def asked(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for the first `count` events of that type; return their data."""
        events = await self.events(kind, count)
        return [event["data"] for event in events if event["type"] == kind]

    async def give(self, call_id: str, result: Any, **more: Any) -> Answer:
        path = f"/sessions/{self.session_id}/tool-results/{call_id}"
        headers = more.pop("headers", None)
        return await self.ask("POST", path, {"result": result, **more}, headers=headers)

    async def choose(self, request_id: str, option: str, stream: str | None = None) -> Answer:
        path = f"/sessions/{stream or self.session_id}/permissions/{request_id}"
        return await self.ask("POST", path, {"option_id": option})

    async def state(self) -> str:
        answer = await self.ask("GET", f"/sessions/{self.session_id}")
        return str(answer.json["state"])


@asynccontextmanager
async def tooled(
    folder: Path,
    *,
    at: At = openai_at,
    entries: Mapping[str, ServerEntry] | None = None,
    tool_limits: Limits = Limits(60, 60),  # noqa: B008  frozen
    rules: Rules = Rules(),  # noqa: B008  frozen
    **options: Any,
) -> AsyncIterator[Tooled]:
    """Run a hub whose peer `nestor` has the tools of all `entries`, with `rules`. `options`: see `served`."""
    entries = entries or {}
    peer = replace(NESTOR, mcp_servers=tuple(entries), permissions=rules)
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(ProviderServer())
        chat = await stack.enter_async_context(chat_driver(at(provider)))
        servers = ToolServers(entries, ENVIRONMENT, ROOT, tool_limits)
        stack.push_async_callback(servers.aclose)
        drivers = {"chat": with_tools(chat, servers)}
        home = await stack.enter_async_context(served(folder, drivers=drivers, also=[peer], **options))
        yield Tooled(home, provider, servers)
