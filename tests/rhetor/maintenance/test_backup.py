"""Backups while other processes write, and restores that are interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rhetor.domain.event import OutputDelta, Position
from rhetor.hub.catalog.checkpoints import CheckpointRow, KeptFiles
from rhetor.hub.core.ids import wall_clock
from rhetor.maintenance import replacing
from rhetor.maintenance.backup import back_up
from rhetor.maintenance.progress import Progress
from rhetor.maintenance.restore import restore
from rhetor.store.base import Draft, Row, SourceOffset, check_position
from rhetor.store.files.store import FileStore
from rhetor.store.sqlite.snapshot import copy, snapshot
from rhetor.store.sqlite.store import SqliteStore
from tests.scale import scaled

pytestmark = pytest.mark.anyio

STREAMS = 10
PER_SECOND = 1000


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[SqliteStore]:
    home.mkdir(mode=0o700, exist_ok=True)  # noqa: ASYNC240
    store = await SqliteStore.open(home / "hub.db", clock=wall_clock)
    try:
        yield store
    finally:
        await store.aclose()


async def append(store: SqliteStore, number: int) -> None:
    """Commit the event with this number, of all streams together, and a row and an offset that go with it."""
    stream = f"s_{number % STREAMS}"
    await store.commit(
        stream,
        [Draft(OutputDelta(f"{number} " + "x" * 100), f"t_{number}")],
        rows=[Row("count", "all", str(number), b"{}")],
        sources=[SourceOffset("spool", number)],
    )


async def appending(store: SqliteStore, numbers: itertools.count[int]) -> None:
    """Append 1,000 events per second for ever."""
    began, done = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * PER_SECOND)
        await asyncio.gather(*(append(store, next(numbers)) for _ in range(due - done)))
        done = due
        await asyncio.sleep(0.001)


async def rhetor(home: Path, *arguments: str) -> None:
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rhetor", *arguments, "--home", str(home), stdout=asyncio.subprocess.DEVNULL
    )
    assert await ran.wait() == 0


def everything(home: Path) -> tuple[list[int], int, int]:
    """Return the numbers of all events, of the row, and of the offset."""
    with snapshot(home / "hub.db") as found:
        texts = [data for (data,) in found.execute("SELECT data FROM events WHERE type = 'output.delta'")]
        (row,) = found.execute("SELECT state FROM rows WHERE kind = 'count'").fetchone()
        (offset,) = found.execute("SELECT offset FROM sources").fetchone()
    return sorted(int(data.split(b'"')[3].split()[0]) for data in texts), int(row), offset


@pytest.mark.long
async def test_a_backup_under_1000_appends_a_second_is_whole_up_to_one_position(tmp_path: Path) -> None:
    home = tmp_path / "home"
    numbers = itertools.count(1)
    async with opened(home) as store:
        for _ in range(scaled(100, 1)):
            await asyncio.gather(*(append(store, next(numbers)) for _ in range(2_000)))
        task = asyncio.create_task(appending(store, numbers))
        tops = []
        for round_ in range(scaled(5, 1)):
            await rhetor(home, "backup", str(tmp_path / f"{round_}.backup"))
        task.cancel()
        await asyncio.wait([task])
        head = await store.head("s_1")
        assert head is not None
    for round_ in range(scaled(5, 1)):
        restored = tmp_path / f"restored-{round_}"
        restored.mkdir(mode=0o700)
        await asyncio.to_thread(
            restore, restored, tmp_path / f"{round_}.backup", Progress("restore", "bytes")
        )
        found, row, offset = everything(restored)
        assert found == list(range(1, row + 1))
        assert offset == row
        tops.append(row)
    assert scaled(200_000, 2_000) < tops[0] <= tops[-1] < next(numbers)
    async with opened(restored) as store:
        now = await store.head("s_1")
        assert now is not None
        assert store.notices == []
        assert check_position(now, head.position) == "epoch_changed"
        assert check_position(now, Position(head.epoch, 1)) == "epoch_changed"


async def test_a_hub_that_stops_during_a_backup_starts_again_with_the_same_epochs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with opened(home) as store:
        await append(store, 1)
        reading = snapshot(home / "hub.db")
        found = reading.__enter__()
        await append(store, 11)
        head = await store.head("s_1")
    assert found.execute("SELECT count(*) FROM events").fetchone() == (1,)
    reading.__exit__(None, None, None)
    async with opened(home) as store:
        assert store.notices == []
        assert await store.head("s_1") == head


async def with_checkpoint(store: SqliteStore, home: Path, project: Path) -> tuple[FileStore, bytes]:
    """Make a checkpoint of a folder; return the store of files, and the snapshot."""
    project.mkdir()  # noqa: ASYNC240
    (project / "a").write_text("one")
    files = FileStore(home / "checkpoints", max_file_bytes=1000)
    taken = files.take(project)
    kept = KeptFiles.of(str(project), taken)
    row = CheckpointRow(id="c_1", session_id="s_1", owner="me", at=1, name="first", cursor="", files=kept)
    await store.commit("s_1", [], rows=[row.row()])
    files._taken.clear()  # as if it was taken long ago
    return files, taken.root


@pytest.mark.parametrize("copied", ["hub.db", "objects.db"])
async def test_a_backup_is_whole_although_the_hub_forgets_a_checkpoint_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: str
) -> None:
    home = tmp_path / "home"
    async with opened(home) as store:
        files, root = await with_checkpoint(store, home, tmp_path / "project")
        loop, begun = asyncio.get_running_loop(), list[str]()

        def forgetting(source: sqlite3.Connection, target: Path, progress: Callable[[int], None]) -> None:
            begun.append(target.name)
            if begun.count(copied) == 1:
                dropped = store.commit("s_1", [], drop=[("checkpoint", "c_1")])
                asyncio.run_coroutine_threadsafe(dropped, loop).result()
                files.keep([])
                assert not list((home / "checkpoints").glob("*.pack"))
            copy(source, target, progress)

        monkeypatch.setattr("rhetor.maintenance.backup.copy", forgetting)
        assert await asyncio.to_thread(back_up, home, tmp_path / "b", Progress("backup", "bytes")) == []
        files.close()
    other = tmp_path / "other"
    other.mkdir()
    await asyncio.to_thread(restore, other, tmp_path / "b", Progress("restore", "bytes"))
    async with opened(other) as store:
        is_there = await store.get("checkpoint", "c_1") is not None
    assert is_there == (copied == "hub.db")
    if is_there:
        found = FileStore(other / "checkpoints", max_file_bytes=1000)
        assert found.paths(root) == {b"a"}
        found.export(root, tmp_path / "exported")
        assert (tmp_path / "exported" / "a").read_text() == "one"
        found.close()


@pytest.mark.parametrize(
    "moved", [2, *(pytest.param(moved, marks=pytest.mark.long) for moved in (0, 1, 3, 4, 5))]
)
async def test_a_restore_that_was_interrupted_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    home = tmp_path / "home"
    async with opened(home) as store:
        await append(store, 1)
    back_up(home, tmp_path / "b", Progress("backup", "bytes"))
    async with opened(home) as store:
        await append(store, 2)
    real, left = Path.rename, moved + 1  # the first one names the folder that is complete

    def interrupted(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        await asyncio.to_thread(restore, home, tmp_path / "b", Progress("restore", "bytes"))
    monkeypatch.undo()
    replacing.finish(home)
    assert everything(home) == ([1], 1, 1)
    (aside,) = home.glob("replaced-*")
    assert everything(aside) == ([1, 2], 2, 2)
    assert list(home.glob("restor*")) == []
