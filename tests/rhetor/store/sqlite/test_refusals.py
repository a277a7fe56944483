"""A full disk or a lock: the store rejects commits, keeps reading, and recovers by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from rhetor.domain.event import OutputDelta, Position
from rhetor.errors import RhetorError, StoreRefused
from rhetor.store.base import Draft, Row
from rhetor.store.sqlite.connection import BUSY_TIMEOUT
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.tail import Tail

pytestmark = pytest.mark.anyio

ROW = Row("session", "s1", "active", b"{}")
STORED = replace(ROW, version=2)


async def open_store(folder: Path, busy_timeout: float = BUSY_TIMEOUT) -> SqliteStore:
    """Open a store with almost no tail, so that reads go to the file."""
    return await SqliteStore.open(
        folder / "db",
        clock=itertools.count(1).__next__,
        tail=Tail(stream_records=1, total_bytes=0),
        busy_timeout=busy_timeout,
    )


def chunk(text: str) -> Draft:
    return Draft(OutputDelta(text), "t")


class Disk:
    """A folder whose disk can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)

    def free(self) -> None:
        (self.folder / "filler").unlink()


class LimitedFiles(Disk):
    """Files that cannot grow: a write fails with an I/O error instead of a full disk."""

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def free(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def small_tmpfs(folder: Path) -> Iterator[Disk]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system is not permitted")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def limited_files(folder: Path) -> Iterator[Disk]:
    disk = LimitedFiles(folder)
    try:
        yield disk
    finally:
        disk.free()


@pytest.mark.parametrize("disk", [small_tmpfs, limited_files])
async def test_while_the_disk_is_full_appends_are_rejected_and_reads_work(
    disk: Callable[[Path], contextlib.AbstractContextManager[Disk]], tmp_path: Path
) -> None:
    with disk(tmp_path) as full:
        store = await open_store(tmp_path)
        done = await store.commit("s", [chunk("before")], rows=[ROW])
        await store.commit("other", [])  # so the tail has nothing of `s`
        full.fill()
        for _ in range(3):
            outcomes = await asyncio.gather(
                *(
                    store.commit("s", [chunk("x" * 100_000)], rows=[Row("session", "s2", "x", b"")])
                    for _ in range(9)
                ),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in outcomes} == {StoreRefused}
            assert len({id(outcome) for outcome in outcomes}) == 9
            [only] = await store.page("s", Position(done.epoch, 0))
            assert only.event.payload == OutputDelta("before")
            assert await store.find("session") == [STORED]
        full.free()
        after = await store.commit("s", [chunk("after")])
        assert (after.epoch, after.first) == (done.epoch, 2)
        page = await store.page("s", Position(done.epoch, 0))
        assert [record.event.payload for record in page] == [OutputDelta("before"), OutputDelta("after")]
        await store.aclose()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of the database like another program."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_while_the_database_is_locked_appends_are_rejected_and_reads_work(tmp_path: Path) -> None:
    store = await open_store(tmp_path, busy_timeout=0.05)
    done = await store.commit("s", [chunk("a")], rows=[ROW])
    with locked(tmp_path / "db"):
        with pytest.raises(StoreRefused) as refused:
            await store.commit("s", [chunk("b")])
        hint = "end the program that has locked it, and repeat the request"
        assert refused.value.data == {"reason": "SQLITE_BUSY", "retry_after": 1.0, "hint": hint}
        assert refused.value.retryable
        assert len(await store.page("s", Position(done.epoch, 0))) == 1
        assert await store.get("session", "s1") == STORED
    assert (await store.commit("s", [chunk("c")])).first == 2
    await store.aclose()


async def test_an_append_waits_for_a_lock_that_is_released_in_time(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.commit("s", [])
    with locked(tmp_path / "db"):
        commit = asyncio.create_task(store.commit("s", [chunk("a")]), name="commit")
        for _ in range(20):
            assert await store.find("session") == []
        assert not commit.done()
    async with asyncio.timeout(60):
        assert (await commit).first == 1
    await store.aclose()


async def test_the_number_of_waiting_appends_is_bounded(tmp_path: Path) -> None:
    store = await open_store(tmp_path, busy_timeout=0.2)
    await store.commit("s", [])
    large = [chunk("x" * (1 << 20))]
    with locked(tmp_path / "db"):
        commits = [asyncio.create_task(store.commit("s", large), name=f"commit {n}") for n in range(70)]
        await asyncio.sleep(0)
        at_once = [commit for commit in commits if commit.done()]
        outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert 6 <= len(at_once) <= 10
    assert {type(outcome) for outcome in outcomes} == {StoreRefused}
    assert (await store.commit("s", large)).first == 1
    await store.aclose()


async def test_a_bug_in_the_writer_fails_its_batch_but_not_the_store(tmp_path: Path) -> None:
    epochs = iter(["a" * 32])

    def new_epoch() -> str:
        return next(epochs)  # StopIteration on the second call, which the writer does not expect

    store = await SqliteStore.open(tmp_path / "db", clock=lambda: 1, new_epoch=new_epoch)
    await store.commit("s", [chunk("a")])
    with pytest.raises(RhetorError) as failed:
        await store.commit("other", [chunk("b")])
    assert failed.value.code == "internal"
    assert (await store.commit("s", [chunk("c")])).first == 2
    assert await store.head("other") is None
    await store.aclose()
