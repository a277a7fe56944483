"""A store that fails, stalls and recovers at random, under load on all APIs: nothing is lost."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.e2e.home import SECONDS
from tests.hostile.running import RunningHub, running_hub
from tests.scale import FULL, scaled

pytestmark = pytest.mark.anyio
LOAD_SECONDS = scaled(1200, 5)
CALM_SECONDS = scaled(60, 1)
# how often another program locks the database, and for how many seconds the store fails at most
LOCKED, LONGEST_BREAK = (0.15, 6.0) if FULL else (0.0, 3.0)
GROWTH = 20 << 20
DESCRIPTORS = 12  # the store reopens its connections on demand
SETTINGS = {"RHETOR_TOOLS": '{"echo": {"executable": "cat", "cwd": "/"}}'}
UNRELIABLE = (sys.executable, "-m", "tests.hostile.unreliable")
ENDS = ("turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted")
OVER = {kind.removeprefix("turn.") for kind in ENDS}
REST = "/api/v2/ai/apollo"


class Load:
    """The clients' results: ids of accepted turns and plans, and responses that only a bug explains."""

    def __init__(self, hub: RunningHub, session: aiohttp.ClientSession) -> None:
        self._hub = hub
        self._http = session
        self._numbers = count()
        self.turns: set[str] = set()
        self.plans: set[str] = set()
        self.bugs: list[str] = []
        self.refused = 0

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        async with self._http.post(f"{self._hub.url}{path}", json=body, headers=headers) as response:
            text = await response.text()
            self._note(response.status, text)
            self.turns |= {response.headers[name] for name in ("x-turn-id",) if name in response.headers}
            self.plans |= {response.headers[name] for name in ("x-plan-id",) if name in response.headers}
            found: Any = json.loads(text) if response.content_type.endswith("json") else {}
        return found if isinstance(found, dict) else {}

    async def read(self, path: str) -> None:
        async with self._http.get(f"{self._hub.url}{path}") as response:
            self._note(response.status, await response.text())

    async def message(self) -> None:
        """Send the same message twice; the second one repeats the first one."""
        key = {"idempotency-key": f"k{next(self._numbers)}"}
        first = await self.post(f"{REST}/message", {"content": "hi"}, key)
        again = await self.post(f"{REST}/message", {"content": "hi"}, key)
        if "turn_id" in first and "turn_id" in again and first["turn_id"] != again["turn_id"]:
            self.bugs.append(f"repeated: {first} {again}")

    async def stream(self) -> None:
        await self.post(f"{REST}/stream", {"content": "hi"})

    async def queue(self) -> None:
        opened = await self.post("/api/v2/sessions", {"specialist_id": "athena"})
        if "id" in opened:
            path = f"/api/v2/sessions/{opened['id']}"
            later = {"prefer": "respond-async"}
            for _ in range(3):
                self._accepted(await self.post(f"{path}/message", {"message": "hi"}, later))
            await self.read(f"{path}/events")

    async def program(self) -> None:
        await self.post("/api/v2/ai/echo/message", {"content": "hi", "execute": True})

    async def plan(self) -> None:
        await self.post("/api/v2/plans", {"line": "apollo hi | athena"})
        await self.post("/api/v2/bulk", {"operations": [{"id": "a", "ai": "apollo", "message": "hi"}]})

    async def rules(self) -> None:
        await self.post("/api/v2/context/apollo/stage", {"text": "x"})
        await self.post("/api/v2/context/apollo/promote", None)
        await self.read("/api/v2/history")
        await self.read("/api/v2/sessions")
        await self.read("/api/v2/ai/echo/status")

    async def loop(self) -> None:
        async with self._http.ws_connect(f"{self._hub.url}/ws") as socket:
            started = await self._call(socket, "startSession", {"userId": "ann"})
            for _ in range(3):
                if "sessionId" in started:
                    params = {"sessionId": started["sessionId"], "message": "hi"}
                    self._accepted(await self._call(socket, "sendMessage", params))

    async def chat(self) -> None:
        async with self._http.ws_connect(f"{self._hub.url}/ws/ai/apollo") as socket:
            for _ in range(3):
                self._accepted(await self._call(socket, "chat", {"message": "hi"}))

    async def named(self) -> None:
        async with self._http.ws_connect(f"{self._hub.url}/ws/socket/rhetor") as socket:
            for _ in range(3):
                await socket.send_json(
                    {"type": "write", "content": "help", "command_id": f"c{next(self._numbers)}"}
                )
                message = await socket.receive(timeout=SECONDS)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._accepted(message.json())

    async def _call(
        self, socket: aiohttp.ClientWebSocketResponse, method: str, params: Any
    ) -> dict[str, Any]:
        number = next(self._numbers)
        await socket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        async for message in socket:
            reply = message.json()
            if reply.get("id") == number:
                if reply.get("error", {}).get("code") == -32603:
                    self.bugs.append(f"{method}: {reply}")
                found: dict[str, Any] = reply.get("result") or reply["error"].get("data") or {}
                return found
        return {}

    def _accepted(self, reply: dict[str, Any]) -> None:
        for name in ("turn_id", "turnId"):
            if isinstance(reply.get(name), str):
                self.turns.add(reply[name])

    def _note(self, status: int, text: str) -> None:
        self.refused += status == 503
        if status == 500 or "Traceback" in text:
            self.bugs.append(text)


KINDS: tuple[Callable[[Load], Awaitable[None]], ...] = (
    Load.message, Load.stream, Load.queue, Load.program, Load.plan, Load.rules,
    Load.loop, Load.chat, Load.named,
)  # fmt: skip


async def under_load(load: Load, lasts: Callable[[], bool]) -> None:
    async def client(kind: Callable[[Load], Awaitable[None]]) -> None:
        while lasts():
            try:
                await kind(load)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.05)  # the hub has closed the connection

    await asyncio.gather(*(client(kind) for kind in KINDS))


def for_seconds(seconds: float, enough: Callable[[], bool] = lambda: True) -> Callable[[], bool]:
    """Return whether the time is not over yet, or too little has happened so far."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() < ends or not enough()


async def break_at_random(faults: Path, database: Path, lasts: Callable[[], bool]) -> None:
    while lasts():
        if random.random() < LOCKED:
            await asyncio.to_thread(_lock, database, random.uniform(1, 8))
        await asyncio.to_thread(faults.touch)
        await asyncio.sleep(random.uniform(0.5, LONGEST_BREAK))
        await asyncio.to_thread(faults.unlink)
        await asyncio.sleep(random.uniform(0.2, 2))


def _lock(database: Path, seconds: float) -> None:
    """Lock the database like another program, for longer or shorter than the hub waits."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=1)) as other:
        try:
            other.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return
        time.sleep(seconds)
        other.execute("ROLLBACK")


@pytest.mark.long
async def test_a_hub_with_an_unreliable_store_loses_nothing_and_becomes_idle_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_hub(home, SETTINGS, UNRELIABLE) as hub:
        timeout = aiohttp.ClientTimeout(SECONDS * 2)
        headers = dict(hub.session.headers)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            load = Load(hub, session)
            await under_load(load, for_seconds(CALM_SECONDS))
            assert load.bugs == []
            memory, descriptors = resident(hub), descriptors_of(hub)
            lasts = for_seconds(LOAD_SECONDS, lambda: load.refused > 0 and len(load.turns) > 100)
            await asyncio.gather(
                under_load(load, lasts), break_at_random(home / "faults", home / "hub.db", lasts)
            )
            assert hub.process.poll() is None
            await every_turn_ends(home / "hub.db")
            await until(lambda: hub.ask("GET", "/api/v2/status").json()["running"] == 0)
            await load.message()
        assert (load.bugs, load.refused > 0, len(load.turns) > 100) == ([], True, True)
        await until(lambda: resident(hub) <= memory + GROWTH)
        await until(lambda: descriptors_of(hub) <= descriptors + DESCRIPTORS)
        everything_is_in(home / "hub.db", load)
        program = hub.ask("GET", "/api/v2/ai/echo").json()["pid"]
        assert hub.ask("POST", "/api/v2/tools/echo/terminate").status_code == 200
        await until(lambda: not Path(f"/proc/{program}").exists() and descendants(hub.process.pid) == [])
        hub.process.send_signal(signal.SIGTERM)
        assert hub.process.wait(SECONDS) == 0


def everything_is_in(database: Path, load: Load) -> None:
    """Assert that each acknowledged turn was accepted and ended once, that nothing is running, and that no
    number is missing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        states = dict(db.execute("SELECT id, state FROM rows WHERE kind = 'turn'").fetchall())
        assert load.turns - set(states) == set()
        assert set(states.values()) <= OVER
        plans = dict(db.execute("SELECT id, state FROM rows WHERE kind = 'plan'").fetchall())
        assert load.plans - set(plans) == set()
        assert "running" not in plans.values()
        marks = ", ".join("?" * len(ENDS))
        ended = f"SELECT turn_id, count(*) FROM events WHERE type IN ({marks}) GROUP BY turn_id"
        assert dict(db.execute(ended, ENDS).fetchall()) == dict.fromkeys(states, 1)
        accepted = "SELECT turn_id, count(*) FROM events WHERE type = 'message.accepted' GROUP BY turn_id"
        assert dict(db.execute(accepted).fetchall()) == dict.fromkeys(states, 1)
        gaps = "SELECT inc FROM events GROUP BY inc HAVING count(*) != max(seq)"
        assert db.execute(gaps).fetchall() == []


async def every_turn_ends(database: Path) -> None:
    """Wait until no turn is left. Some sessions have a long queue: each turn has its own time."""
    left = unfinished(database)
    while left:
        try:
            await until(lambda before=left: unfinished(database) != before)  # type: ignore[misc]
        except TimeoutError:
            raise AssertionError(f"turns that do not end: {events_of(database, left)}") from None
        left = unfinished(database)


def unfinished(database: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        states = db.execute("SELECT id, state FROM rows WHERE kind = 'turn'").fetchall()
    return {turn for turn, state in states if state not in OVER}


def events_of(database: Path, turns: set[str]) -> dict[str, list[str]]:
    query = "SELECT type FROM events WHERE turn_id = ? ORDER BY seq"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return {turn: [kind for (kind,) in db.execute(query, (turn,))] for turn in turns}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def resident(hub: RunningHub) -> int:
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def descriptors_of(hub: RunningHub) -> int:
    return len(list(Path(f"/proc/{hub.process.pid}/fd").iterdir()))


def descendants(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]
