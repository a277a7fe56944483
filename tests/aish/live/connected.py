"""A client that is connected to a hub of its own, and the log to compare with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aish
from aish.live import Event, Follow, Hub
from tests.served import Served, served


@asynccontextmanager
async def connected(folder: Path, *scripts: Any, **options: Any) -> AsyncIterator[tuple[Served, Hub]]:
    async with served(folder, *scripts, **options) as home, aish.connect(str(folder), start=False) as hub:
        yield home, hub


async def log(hub: Hub, stream: str) -> list[dict[str, Any]]:
    """Return the whole stream over REST."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await hub.request("GET", f"/api/v2/sessions/{stream}/events?limit=1000{after}")
        found += page["events"]
        if not page["events"]:
            return found
        after = f"&after={found[-1]['cursor']}"


def as_logged(event: Event) -> dict[str, Any]:
    names = ("epoch", "seq", "prev", "cursor", "session_id", "turn_id", "at", "type", "data")
    return {name: getattr(event, name) for name in names}


async def follow_until(follow: Follow, last: str, count: int = 1) -> list[dict[str, Any]]:
    """Follow up to the `count`th event of type `last`; return the events."""
    found: list[dict[str, Any]] = []
    async for event in follow:
        found.append(as_logged(event))
        count -= event.type == last
        if not count:
            return found
    raise AssertionError("following does not end")
