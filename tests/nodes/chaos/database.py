"""What the database says, read without the product."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec

from .following import Row

AWAY_SECONDS = 60.0  # how long the server may be away
PAUSE = 0.1  # seconds between looks
# the last one is of a connection that the server has ended in the meantime
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
ENDS = ("turn.completed", "turn.failed", "turn.interrupted", "turn.cancelled")
STREAMS = """
SELECT i.stream, e.seq, e.type, e.turn_id, e.data FROM events e JOIN incarnations i ON i.id = e.inc
WHERE i.stream LIKE 's\\_%' ORDER BY i.stream, e.seq
"""
OPEN = f"""
SELECT count(*) FROM events a JOIN incarnations i ON i.id = a.inc
WHERE i.stream LIKE 's\\_%' AND a.type = 'message.accepted' AND NOT EXISTS (
    SELECT FROM events b WHERE b.inc = a.inc AND b.turn_id = a.turn_id AND b.type IN {ENDS})
"""
LIVE = "SELECT name, address, fence, refused, expires_at > clock_timestamp() AS lives FROM nodes"


class Standing(NamedTuple):
    """A node in the database. `refused`: how many of its writes came too late."""

    name: str
    port: int
    fence: int
    refused: int
    lives: bool


class Database:
    """Reads a cluster over its Unix socket. It waits while the server is away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def fetch(self, statement: str) -> list[Any]:
        async with asyncio.timeout(AWAY_SECONDS):
            while True:
                with suppress(*AWAY):
                    return await self._fetched(statement)
                await asyncio.sleep(PAUSE)

    async def _fetched(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(host=str(self._folder), user="postgres", database="postgres")
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close(timeout=5)

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float) -> float:
        """Look until something holds, and return after how many seconds it did.

        Raises:
            TimeoutError: it did not in the given time.
        """
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while True:
                if await holds():
                    return time.monotonic() - began
                await asyncio.sleep(PAUSE)

    async def nodes(self) -> list[Standing]:
        return [
            Standing(
                row["name"],
                int(row["address"].rpartition(":")[2]),
                row["fence"],
                row["refused"],
                row["lives"],
            )
            for row in await self.fetch(LIVE)
        ]

    async def is_quiet(self) -> bool:
        """Return whether each turn has ended."""
        return int((await self.fetch(OPEN))[0][0]) == 0

    async def logs(self) -> dict[str, list[Row]]:
        """Return the events of each session, whose numbers have no gap."""
        found: dict[str, list[Row]] = {}
        for stream, seq, type, turn, data in await self.fetch(STREAMS):
            found.setdefault(stream, []).append(Row(seq, type, turn, msgspec.json.decode(data)))
        for stream, rows in found.items():
            assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), stream
        return found


class Turn(NamedTuple):
    """A turn in the log. `types`: how often each type of event is there. `answer`: None if the turn has not
    completed. `code`: why it failed."""

    session: str
    text: str
    types: Counter[str]
    answer: str | None
    code: str


def turns_of(logs: Mapping[str, list[Row]]) -> dict[str, Turn]:
    """Return the turns by their ids."""
    texts: dict[str, tuple[str, str]] = {}
    types: dict[str, Counter[str]] = {}
    answers: dict[str, str] = {}
    codes: dict[str, str] = {}
    for stream, rows in logs.items():
        for row in rows:
            if row.turn_id is None:
                continue
            types.setdefault(row.turn_id, Counter())[row.type] += 1
            if row.type == "message.accepted":
                texts[row.turn_id] = stream, row.data["content"]
            elif row.type == "turn.completed":
                answers[row.turn_id] = row.data["text"]
            elif row.type == "turn.failed":
                codes[row.turn_id] = row.data["code"]
    return {id: Turn(*texts[id], types[id], answers.get(id), codes.get(id, "")) for id in texts}
