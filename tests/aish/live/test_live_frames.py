"""Following a scripted hub whose frames are repeated, missing or cut off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

import aish
from aish import live

pytestmark = pytest.mark.anyio
EPOCH = "e" * 32


class ScriptedStreams:
    """Answers each `subscribe` with the next script: events to send, as numbers or `(number, prev)`, a close
    code, or the whole result as a dict. `cursors`: the cursor of each `subscribe`."""

    def __init__(self, *scripts: Sequence[Any]) -> None:
        self._scripts = list(scripts)
        self.cursors: list[str | None] = []
        self.left = 0

    async def serve(self, connection: ServerConnection) -> None:
        async for text in connection:
            call = json.loads(text)
            if call["method"] == "unsubscribe":
                self.left += 1
                continue
            params = call["params"]
            self.cursors.append(params.get("cursor"))
            script = self._scripts.pop(0) if self._scripts else []
            result = {"outcome": "ok", "epoch": EPOCH, "head": 9, "earliest": 1}
            if script and isinstance(script[0], dict):
                result = script[0]
            await connection.send(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}))
            for item in script:
                if isinstance(item, int) and item >= 1000:
                    await connection.close(item)
                elif not isinstance(item, dict):
                    await connection.send(json.dumps(_told(item, params["subscription"])))


def _told(item: Any, subscription: str) -> dict[str, Any]:
    seq, prev = item if isinstance(item, tuple) else (item, item - 1)
    params = {"subscription": subscription, "epoch": EPOCH, "seq": seq, "prev": prev, "cursor": at(seq)}
    event = {**params, "at": "2026-11-21T00:00:00.000Z", "type": "output.delta", "data": {}}
    return {"jsonrpc": "2.0", "method": "event", "params": event}


def at(seq: int) -> str:
    return f"{EPOCH}:{seq}"


@asynccontextmanager
async def written(folder: Path, *scripts: Sequence[Any]) -> AsyncIterator[tuple[ScriptedStreams, live.Hub]]:
    hub = ScriptedStreams(*scripts)
    async with (
        unix_serve(hub.serve, str(folder / "hub.sock")),
        aish.connect(str(folder), start=False, reconnect_timeout=5) as client,
    ):
        yield hub, client


async def numbers(follow: live.Follow, last: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(60):
        async for event in follow:
            found.append(event.seq)
            if event.seq == last:
                return found
    raise AssertionError("following does not end")


@pytest.mark.parametrize(
    ("scripts", "cursors"),
    [
        ([[1, 2, 2, 1, 3]], [None]),
        ([[1, 2, 4008], [3]], [None, at(2)]),
        ([[1, 1012], [1, 2, 1011], [2, 3]], [None, at(1), at(2)]),
        ([[1, 3, 4], [2, 3]], [None, at(1)]),
        ([[1, (3, 1)]], [None]),  # folded
    ],
    ids=["twice", "too slow", "ended and begun again", "a gap", "folded"],
)
async def test_each_event_arrives_once_and_none_is_missing(
    tmp_path: Path, scripts: list[list[Any]], cursors: list[str | None]
) -> None:
    async with written(tmp_path, *scripts) as (hub, client):
        found = await numbers(client.follow("s_1"), 3)
        assert found == ([1, 3] if (3, 1) in scripts[0] else [1, 2, 3])
        assert hub.cursors == cursors


async def test_a_new_connection_continues_from_the_last_cursor(tmp_path: Path) -> None:
    async with written(tmp_path, [6, 7], [8]) as (hub, client):
        assert await numbers(client.follow("s_1", after=at(5)), 7) == [6, 7]
        assert hub.cursors == [at(5)]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("truncated", live.Truncated),
        ("epoch_changed", live.EpochChanged),
        ("ahead", live.Ahead),
        ("something new", live.PositionLost),
    ],
)
async def test_a_position_lost_during_an_outage_is_raised(
    tmp_path: Path, outcome: str, kind: type[live.PositionLost]
) -> None:
    lost = {"outcome": outcome, "recovered": False, "epoch": "f" * 32, "head": 1, "earliest": 1}
    async with written(tmp_path, [1, 2, 1012], [lost]) as (_, client):
        follow = client.follow("s_1")
        assert await numbers(follow, 2) == [1, 2]
        with pytest.raises(live.PositionLost) as raised:
            await anext(follow)
        assert (type(raised.value), raised.value.outcome, raised.value.head) == (kind, outcome, 1)


async def test_a_dropped_follow_is_unsubscribed_at_the_hub(tmp_path: Path) -> None:
    async with written(tmp_path, [1], [1]) as (hub, client):
        await numbers(client.follow("s_1"), 1)
        await numbers(client.follow("s_1"), 1)
        assert hub.left == 1


async def babble(connection: ServerConnection) -> None:
    await connection.send("babble")
    await connection.wait_closed()


async def hang_up(connection: ServerConnection) -> None:
    await connection.close(1011)


@pytest.mark.parametrize("answers", [babble, hang_up])
async def test_the_client_gives_up_on_a_server_that_is_not_a_hub(tmp_path: Path, answers: Any) -> None:
    async with (
        unix_serve(answers, str(tmp_path / "hub.sock")),
        aish.connect(str(tmp_path), start=False, reconnect_timeout=0.3) as client,
    ):
        with pytest.raises(live.HubUnreachable):
            await anext(client.follow("s_1"))
