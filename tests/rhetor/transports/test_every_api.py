"""One session followed through every API at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from rhetor.domain.event import Event, OutputDelta, Position, SessionStateChanged, TurnCompleted
from rhetor.hub.core.limits import Limits
from rhetor.store.base import Draft, Store
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.transports.api_views import APIS, Api, Carried, digest
from tests.rhetor.transports.socket_client import created
from tests.scale import FULL
from tests.served import Served, served

pytestmark = pytest.mark.anyio
CLIENTS, EVENTS, MOST_READ = (100, 20_000, 2_000) if FULL else (12, 1_200, 200)
COMMITS = 10  # per turn


@pytest.mark.long
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_clients_cut_at_random_places_see_the_whole_log_on_every_api(tmp_path: Path, kind: str) -> None:
    clock = lambda: 1_700_000_000_000  # noqa: E731
    store = (
        MemoryStore(clock=clock) if kind == "memory" else await SqliteStore.open(tmp_path / "db", clock=clock)
    )
    try:
        async with served(tmp_path, limits=Limits(), store=store, seconds=600.0) as home:
            await _run(home, store)
    finally:
        await store.aclose()


class Progress:
    """How far each client has read."""

    def __init__(self) -> None:
        self._reached = [0] * CLIENTS
        self._moved = asyncio.Event()

    def reach(self, client: int, seq: int) -> None:
        self._reached[client] = seq
        self._moved.set()

    async def all_at(self, seq: int) -> None:
        while min(self._reached) < seq:
            self._moved.clear()
            await self._moved.wait()


async def _run(home: Served, store: Store) -> None:
    session = (await created(home))["session_id"]
    clients = [APIS[n % len(APIS)] for n in range(CLIENTS)]
    progress = Progress()
    async with asyncio.TaskGroup() as tasks:
        reading = [
            tasks.create_task(_read_with_cuts(home, session, api, n, progress))
            for n, api in enumerate(clients)
        ]
        await _speak(store, session, progress)
    found = [task.result() for task in reading]
    log = await _log(store, session)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    digests = {api.name: digest(api.view(log)) for api in APIS}
    for api, (seen, cuts) in zip(clients, found, strict=True):
        assert digest(seen) == digests[api.name], (api.name, _difference(seen, api.view(log)))
        assert cuts >= len(seen) // MOST_READ - 1


async def _speak(store: Store, session: str, progress: Progress) -> None:
    """Commit turns with EVENTS events in all, as fast as the store accepts them, then end the session.
    About every second turn starts when all clients have caught up, so that they follow it live."""
    random, left = Random(0), EVENTS
    while left > 0:
        turn = f"t_{left}"
        for _ in range(COMMITS):
            count = random.randint(1, 20)
            await store.commit(session, [Draft(OutputDelta(f"{left - n} ✓"), turn) for n in range(count)])
            left -= count
            await asyncio.sleep(0)
        done = await store.commit(session, [Draft(TurnCompleted("m_1", "all of it", "stop"), turn)])
        if random.random() < 0.5:
            await progress.all_at(done.last)
    await store.commit(session, [Draft(SessionStateChanged("stopped"))])


async def _read_with_cuts(
    home: Served, session: str, api: Api, n: int, progress: Progress
) -> tuple[list[Carried], int]:
    """Return all that one client saw, and how often it was cut."""
    random, seen, cuts = Random(n), list[Carried](), 0
    head = await home.hub.state.store.head(session)
    assert head is not None
    last, cursor = 0, f"{head.epoch}:0"
    while True:
        async with api.connect(home, session, cursor) as connection:
            left = random.randint(1, MOST_READ)
            async for frame in connection.frames:
                assert (frame.prev, frame.what[1] > last) == (last, True)
                last, cursor = frame.what[1], frame.cursor
                seen.append(frame.what)
                progress.reach(n, last)
                if frame.what[2] == "stopped":
                    return seen, cuts
                left -= 1
                if not left:
                    break
            else:
                raise AssertionError(f"{api.name} ended by itself at {last}")
            connection.cut()
            cuts += 1


async def _log(store: Store, session: str) -> list[Event]:
    head = await store.head(session)
    assert head is not None
    events, after = list[Event](), Position(head.epoch, 0)
    while records := await store.page(session, after):
        events += [record.event for record in records]
        after = records[-1].position
    return events


def _difference(seen: list[Carried], log: list[Carried]) -> tuple[int, list[Carried], list[Carried]]:
    """Return where the two begin to differ, with some events from there."""
    at = next((n for n, pair in enumerate(zip(seen, log, strict=False)) if pair[0] != pair[1]), len(seen))
    return at, seen[at : at + 3], log[at : at + 3]
