"""The names under which a model sees the tools of servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rhetor.domain.output import ToolResult
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.tool import Tool
from rhetor.drivers.model_tools.toolbox import collect

pytestmark = pytest.mark.anyio


class Alike:
    """Servers whose tools differ only after the 64th character."""

    async def tools(self, server: str) -> Sequence[Tool]:
        return [Tool(f"{'x' * 70}{number}") for number in range(1_100)]

    async def call(self, server: str, call_id: str, tool: str, arguments: Any) -> ToolResult:
        raise AssertionError


async def test_the_names_of_very_many_similar_tools_are_unique_and_not_too_long() -> None:
    peer = Peer("apollo", PeerKind.SPECIALIST, "chat", mcp_servers=("files",))
    found = await collect(peer, (), Alike())
    assert len(found) == 1_100
    assert {len(name) for name in found} == {64}
    assert sorted(tool.name for tool in found.values()) == sorted(f"{'x' * 70}{n}" for n in range(1_100))
