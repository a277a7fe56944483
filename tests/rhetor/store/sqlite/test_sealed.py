"""With encryption at rest, content is in no file, changes are recognized, and lost keys lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rhetor.domain.event import Folded, Position
from rhetor.errors import KeyReused, KeysUnavailable, RhetorError, SealBroken, StoreRefused
from rhetor.sealing.ring import Ring
from rhetor.store.base import Addition, Among, Key, Row
from rhetor.store.sqlite.store import SqliteStore
from tests.canary import places
from tests.contracts.store_kit import answer, chunk, events, question

pytestmark = pytest.mark.anyio

CANARY = "canary-51f0-of-a-message"
PRINT = "9f86d081884c7d659a2feaa0c55ad015"  # a fingerprint, as the hub makes them
clock = itertools.count(1_000).__next__


@asynccontextmanager
async def opened(
    folder: Path, *, at_rest: bool = True, salvages: bool = False, ring: Ring | None = None
) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(
        folder / "hub.db", clock=clock, ring=ring or Ring(folder), at_rest=at_rest, salvages=salvages
    )
    try:
        yield store
    finally:
        await store.aclose()


async def fill(store: SqliteStore, turns: int = 3) -> None:
    """Write the canary into everything that has content."""
    for n in range(turns):
        drafts = [question(f"{CANARY} q{n}", f"t{n}"), chunk(f"{CANARY} a{n}", f"t{n}")]
        await store.commit(
            "s",
            [*drafts, answer(f"{CANARY} a{n}", f"t{n}")],
            key=Key("me", f"k{n}", PRINT, f'"{CANARY} result"'.encode()),
            rows=[Row("turn", f"t{n}", "done", f'{{"text": "{CANARY}"}}'.encode())],
            adds=[Addition("usage", "sum", (1, 2))],
        )


async def contents(store: SqliteStore) -> list[object]:
    """Everything that can be read of what `fill` wrote."""
    rows = [replace(row, version=0) for kind in ("turn", "usage") for row in await store.find(kind)]
    searched = [(hit.position.seq, hit.excerpt) for hit in await store.search("canary 51f0 q1")]
    exchanges = [(found.question, found.answer) for found in await store.recent(10)]
    said = [(spoken.role, spoken.content) for spoken in await store.spoken("s", 10)]
    head = await store.head("s")
    assert head is not None
    found = [event.payload for event in await events(store, "s", head.earliest - 1)]
    return [rows, searched, exchanges, said, found]


@contextlib.contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / "hub.db")) as connection:
        yield connection
        connection.commit()


async def test_content_is_in_no_file_while_the_store_runs_and_after_it_was_closed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        assert (tmp_path / "hub.db-wal").stat().st_size > 0
        assert places(tmp_path, CANARY) == places(tmp_path, PRINT) == []
        before = await contents(store)
    assert places(tmp_path, CANARY) == []
    async with opened(tmp_path) as store:
        assert await contents(store) == before


async def test_an_encrypted_store_reads_like_a_plain_one(tmp_path: Path) -> None:
    found = []
    for name, at_rest in (("plain", False), ("sealed", True)):
        (tmp_path / name).mkdir()
        async with opened(tmp_path / name, at_rest=at_rest) as store:
            await fill(store)
            found.append([await contents(store)][0])
    ours, theirs = found
    assert [str(part).split("at=")[0] for part in ours] == [str(part).split("at=")[0] for part in theirs]


async def test_switching_encryption_on_leaves_nothing_plain(tmp_path: Path) -> None:
    async with opened(tmp_path, at_rest=False) as store:
        await fill(store, 40)
        await store.fold("s", "t3")
        await store.truncate("s", 30)  # leaves content in free pages
        before = await contents(store)
    assert places(tmp_path, CANARY) != []
    async with opened(tmp_path) as store:
        assert places(tmp_path, CANARY) == places(tmp_path, PRINT) == []
        assert await contents(store) == before
        replayed = await store.commit("s", [], key=Key("me", "k1", PRINT))
        assert (replayed.replayed, replayed.result) == (True, f'"{CANARY} result"'.encode())
        with pytest.raises(KeyReused):
            await store.commit("s", [], key=Key("me", "k1", "another"))
        await fill(store, 2)
    assert places(tmp_path, CANARY) == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from rhetor.sealing.ring import Ring
from rhetor.store.sqlite import converting, resealing
from rhetor.store.sqlite.store import SqliteStore
folder, left = Path(sys.argv[1]), int(sys.argv[2])
resealing.VALUES = 20
step = resealing.Pass.step
def counted(self, after):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, after)
resealing.Pass.step = counted
if left < 0:
    converting._clear_free_pages = lambda path, connection: os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(SqliteStore.open(folder / "hub.db", clock=int, ring=Ring(folder), at_rest=True))
"""


@pytest.mark.parametrize("steps", [1, 4, 9, -1], ids=["at once", "early", "late", "before the end"])
@pytest.mark.long
async def test_a_conversion_that_is_killed_is_finished_by_the_next_start(tmp_path: Path, steps: int) -> None:
    async with opened(tmp_path, at_rest=False) as store:
        await fill(store, 40)
        before = await contents(store)
    run = [sys.executable, "-c", KILLED, str(tmp_path), str(steps)]
    killed = await asyncio.to_thread(subprocess.run, run, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    async with opened(tmp_path) as store:
        assert places(tmp_path, CANARY) == []
        assert await contents(store) == before


async def test_after_kill_9_content_is_in_no_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (tmp_path / "home").mkdir()
    async with opened(tmp_path / "home") as store:
        await fill(store)
        shutil.copytree(tmp_path / "home", copy)  # what the disk has at this moment
        before = await contents(store)
    assert places(copy, CANARY) == []
    async with opened(copy) as store:
        assert await contents(store) == before


async def test_switching_encryption_off_keeps_what_is_sealed_readable(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        before = await contents(store)
    async with opened(tmp_path, at_rest=False) as store:
        assert await contents(store) == before
        replayed = await store.commit("s", [], key=Key("me", "k1", PRINT))
        assert replayed.replayed
        await store.commit("s", [question("plain and findable", "t9")])
        assert [hit.turn_id for hit in await store.search("findable")] == ["t9"]
        assert places(tmp_path, "plain and findable") == ["hub.db-wal"]
    async with opened(tmp_path) as store:
        assert places(tmp_path, "plain and findable") == []
        assert [hit.turn_id for hit in await store.search("findable")] == ["t9"]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


FIRST = "seq = 1 AND inc = (SELECT id FROM incarnations WHERE stream = 's')"
SWAPS = {
    "events": "(SELECT data FROM events e WHERE e.inc = events.inc AND e.seq = 4)",
    "incarnations": "(SELECT data FROM events e WHERE e.inc <> events.inc AND e.seq = 1)",
    "columns": "(SELECT content FROM texts t WHERE t.inc = events.inc AND t.seq = 1)",
    "plain": """CAST('{"message_id": "m", "role": "user", "content": "forged"}' AS BLOB)""",
    "empty": "x''",
    "cut": "substr(data, 1, 20)",
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
async def test_events_that_were_swapped_or_forged_are_recognized(tmp_path: Path, swap: str) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        await store.commit("other", [question("other", "t")])
    with database(tmp_path) as connection:
        changed = connection.execute(f"UPDATE events SET data = {swap} WHERE {FIRST}")
        assert changed.rowcount == 1
    # an attacker who has all files may also remove what remembers the database
    (tmp_path / "hub.db.witness").unlink()
    async with opened(tmp_path) as store:
        with pytest.raises(SealBroken):
            await events(store, "s")


async def test_swapped_epochs_are_recognized(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        await store.commit("other", [question("other", "t")])
    with database(tmp_path) as connection:
        (one, first), (two, second) = connection.execute("SELECT id, epoch FROM incarnations").fetchall()
        for id, epoch in ((one, "-"), (two, first), (one, second)):
            connection.execute("UPDATE incarnations SET epoch = ? WHERE id = ?", (epoch, id))
    (tmp_path / "hub.db.witness").unlink()
    async with opened(tmp_path) as store:
        for stream in ("s", "other"):
            with pytest.raises(SealBroken):
                await events(store, stream)


async def test_swapped_rows_messages_and_results_are_recognized(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
    with database(tmp_path) as connection:
        for table, column, where in (
            ("rows", "doc", "kind = 'turn'"),
            ("texts", "content", "1"),
            ("keys", "result", "1"),
        ):
            value = f"(SELECT {column} FROM {table} WHERE {where} LIMIT 1)"
            connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")
    (tmp_path / "hub.db.witness").unlink()
    async with opened(tmp_path) as store:
        for read in (
            store.find("turn"),
            store.documents("turn"),
            store.get("turn", "t1"),
            store.spoken("s", 10),
            store.recent(10),
            store.commit("s", [], key=Key("me", "k1", PRINT)),
        ):
            with pytest.raises(SealBroken):
                await read
        assert [hit.turn_id for hit in await store.search("canary")] == ["t0"]  # the others are not found


async def test_numbers_are_not_added_to_a_changed_row_and_others_still_commit(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
    with database(tmp_path) as connection:
        connection.execute("UPDATE rows SET doc = substr(doc, 1, 30) WHERE kind = 'usage'")
    (tmp_path / "hub.db.witness").unlink()
    async with opened(tmp_path) as store:
        head = await store.head("s")
        assert head is not None
        refused, done = await asyncio.gather(
            store.commit("s", [chunk("x", "t")], adds=[Addition("usage", "sum", (1, 2))]),
            store.commit("s", [chunk("y", "t")]),
            return_exceptions=True,
        )
        assert isinstance(refused, SealBroken)
        assert not isinstance(done, BaseException)
        assert done.last == head.head + 1


async def test_a_flipped_byte_is_found_and_the_rest_is_salvaged(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
    with database(tmp_path) as connection:
        (data,) = connection.execute("SELECT data FROM events WHERE seq = 2").fetchone()
    whole = (tmp_path / "hub.db").read_bytes()
    at = whole.index(data) + len(data) // 2
    (tmp_path / "hub.db").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    async with opened(tmp_path, salvages=True) as store:
        assert "was damaged" in store.notices[0]
        found = await events(store, "s")
        assert [event.seq for event in found] == list(range(1, 10))
        assert [event.seq for event in found if isinstance(event.payload, Folded)] == [2]
        assert len(await store.search("canary")) == 6
    assert places(tmp_path, CANARY) == []


async def test_a_new_epoch_leaves_sealed_content_readable(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        before = await contents(store)
        head = await store.head("s")
    older = (tmp_path / "hub.db").read_bytes()
    async with opened(tmp_path) as store:
        await fill(store, 5)
    (tmp_path / "hub.db").write_bytes(older)
    for _ in range(2):
        async with opened(tmp_path) as store:
            assert await contents(store) == before
            renewed = await store.head("s")
            assert renewed is not None and head is not None
            assert renewed.epoch != head.epoch
            fork = await store.commit("fork", [chunk("y", "t")], base=("s", Position(renewed.epoch, 3)))
            assert fork.last == 1
        (tmp_path / "hub.db").write_bytes(older)


@pytest.mark.parametrize("lost", ["keys.json", "master.key"])
async def test_lost_keys_keep_the_store_closed_and_nothing_changes(tmp_path: Path, lost: str) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        before = await contents(store)
    kept = (tmp_path / lost).read_bytes()
    (tmp_path / lost).unlink()
    files = files_in(tmp_path)
    for at_rest in (True, False):
        with pytest.raises(KeysUnavailable, match=f"{lost} is missing"):
            async with opened(tmp_path, at_rest=at_rest, salvages=True):
                pass
    assert files_in(tmp_path) == files
    (tmp_path / lost).write_bytes(kept)
    (tmp_path / lost).chmod(0o600)
    async with opened(tmp_path) as store:
        assert await contents(store) == before


async def test_a_damaged_database_is_not_salvaged_without_its_keys(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, 40)
    (tmp_path / "keys.json").rename(tmp_path / "elsewhere")
    whole = bytearray((tmp_path / "hub.db").read_bytes())
    whole[4096:4120] = bytes(24)  # the root of a table
    (tmp_path / "hub.db").write_bytes(whole)
    with pytest.raises(RhetorError, match=r"put keys.json back|keys.json is missing"):
        async with opened(tmp_path, salvages=True):
            pass
    assert (tmp_path / "hub.db").read_bytes() == whole


async def test_credentials_are_always_sealed_and_plain_ones_are_converted(tmp_path: Path) -> None:
    row = Row("tool-server", "s", "added", f'{{"env": {{"TOKEN": "{CANARY}"}}}}'.encode())
    store = await SqliteStore.open(tmp_path / "hub.db", clock=clock)  # an earlier version had no keys
    await store.commit("hub", [], rows=[row])
    await store.aclose()
    assert places(tmp_path, CANARY) == ["hub.db"]
    other = replace(row, id="t")
    async with opened(tmp_path, at_rest=False) as store:
        assert places(tmp_path, CANARY) == []
        await store.commit("hub", [], rows=[other, Row("turn", "t", "done", b'{"seen": "plainly-readable"}')])
        assert places(tmp_path, CANARY) == []
        assert [replace(found, version=0) for found in await store.find("tool-server")] == [row, other]
        assert await store.documents("tool-server") == [("s", row.doc), ("t", other.doc)]
    assert places(tmp_path, "plainly-readable") == ["hub.db"]
    with database(tmp_path) as connection:
        connection.execute("UPDATE rows SET doc = ? WHERE id = 's'", (row.doc,))
        connection.execute("UPDATE rows SET doc = (SELECT doc FROM rows WHERE id = 't') WHERE id = 's'")
    (tmp_path / "hub.db.witness").unlink()
    async with opened(tmp_path, at_rest=False) as store:
        with pytest.raises(SealBroken):
            await store.get("tool-server", "s")


async def test_without_sealed_content_no_keys_are_made(tmp_path: Path) -> None:
    async with opened(tmp_path, at_rest=False) as store:
        await fill(store)
    assert [name for name in files_in(tmp_path) if "key" in name] == []


async def renewed(store: SqliteStore, ring: Ring) -> None:
    """Seal everything again that is sealed with a retired key."""
    retired = frozenset(ring.retired())
    step = await store.renew(None, retired)
    while step.place is not None:
        step = await store.renew(step.place, retired)
        assert step.broken == 0
    await store.forget_keys(retired)


async def test_a_rotation_under_load_leaves_every_value_readable(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    async with opened(tmp_path, ring=ring) as store:
        await fill(store, 50)
        first = ring.current
        rotated = asyncio.Event()

        async def load(stream: str) -> int:
            count = 0
            while not rotated.is_set() or count < 20:
                await store.commit(
                    stream,
                    [question(f"{CANARY} {count}", f"t{count}")],
                    rows=[Row("count", stream, "kept", b"%d" % count)],
                    adds=[Addition("usage", "sum", (1, 0))],
                )
                count += 1
            return count

        tasks = [asyncio.create_task(load(f"load-{n}")) for n in range(4)]
        for _ in range(2):
            await asyncio.to_thread(ring.rotate)
            await renewed(store, ring)
        rotated.set()
        counts = await asyncio.gather(*tasks)
        assert await store.sealed_with() == {ring.current}
        assert ring.current != first
        for n, count in enumerate(counts):
            assert len(await events(store, f"load-{n}")) == count
        (usage,) = await store.find("usage")
        assert usage.doc == b"[%d,100]" % (50 + sum(counts))
    assert places(tmp_path, CANARY) == []
    stored = (tmp_path / "hub.db").read_bytes()
    with database(tmp_path) as connection:
        for table, column in (("events", "data"), ("texts", "content"), ("rows", "doc"), ("keys", "result")):
            (old,) = connection.execute(
                f"SELECT count(*) FROM {table} WHERE substr({column}, 2, 4) <> ?", (ring.current,)
            ).fetchone()
            assert (table, old) == (table, 0)
    assert stored


async def test_values_of_every_earlier_key_are_readable_before_they_are_sealed_again(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    async with opened(tmp_path, ring=ring) as store:
        for n in range(4):
            await store.commit("s", [question(f"text {n}", f"t{n}")])
            ring.rotate()
        assert len(await store.sealed_with()) == 4
    async with opened(tmp_path) as store:
        assert [s.content for s in await store.spoken("s", 10, answered=False)] == [
            f"text {n}" for n in range(4)
        ]
        await renewed(store, Ring(tmp_path))
        assert len(await events(store, "s")) == 4
        assert await store.sealed_with() == {Ring(tmp_path).current}


words = st.lists(st.sampled_from(["alpha", "beta", "Gamma", "café", "x1"]), min_size=1, max_size=12)


@pytest.mark.long
@given(texts=st.lists(words, min_size=1, max_size=8), wanted=st.lists(words, min_size=1, max_size=3))
def test_search_finds_the_same_in_a_plain_and_a_sealed_store(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], wanted: list[list[str]]
) -> None:
    async def found(at_rest: bool) -> list[object]:
        folder = tmp_path_factory.mktemp("searched")
        try:
            async with opened(folder, at_rest=at_rest) as store:
                answers: list[object] = []
                for n, text in enumerate(texts):
                    await store.commit(f"s{n % 2}", [question(" ".join(text), f"t{n}")])
                    hits = await store.search(" ".join(wanted[0][:2]))
                    answers.append([(hit.turn_id, hit.excerpt) for hit in hits])
                for each in wanted:
                    for streams in (None, ["s1"]):
                        hits = await store.search(" ".join(each[:2]), Among(streams=streams), limit=3)
                        answers.append([(hit.turn_id, hit.stream, hit.excerpt) for hit in hits])
                return answers
        finally:
            shutil.rmtree(folder)

    assert asyncio.run(found(True)) == asyncio.run(found(False))


async def test_the_index_of_words_is_freed_when_nobody_searches(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        assert len(await store.search("canary")) == 6
        assert store.forget_unused(0) > 0
        assert len(await store.search("canary")) == 6


async def test_searches_that_wait_for_the_index_keep_nobody_from_reading(tmp_path: Path) -> None:
    async with opened(tmp_path) as store, asyncio.timeout(60):
        await fill(store)
        with store._words._lock:  # as another search does that makes the index
            searches = [asyncio.create_task(store.search("canary")) for _ in range(4)]
            await asyncio.sleep(0)
            assert len(await store.find("turn")) == 3
        assert [len(hits) for hits in await asyncio.gather(*searches)] == [6] * 4


async def test_only_content_is_sealed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, 1)
    with database(tmp_path) as connection:
        types = connection.execute("SELECT type, turn_id FROM events ORDER BY seq").fetchall()
        assert types == [("message.accepted", "t0"), ("output.delta", "t0"), ("turn.completed", "t0")]
        row = connection.execute("SELECT kind, id, state FROM rows WHERE kind = 'turn'").fetchone()
        assert row == ("turn", "t0", "done")


async def test_a_damaged_list_of_keys_is_not_taken_for_a_lost_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store)
        before = await contents(store)
    with database(tmp_path) as connection:
        connection.execute("UPDATE seals SET key = x'01020304'")
    async with opened(tmp_path) as store:
        assert await contents(store) == before


async def test_a_commit_is_rejected_as_a_whole_if_the_keys_cannot_be_used_for_a_part_of_it(
    tmp_path: Path,
) -> None:
    ring = Ring(tmp_path)
    async with opened(tmp_path, ring=ring) as store:
        await store.commit("s", [question("one", "t1")])
        for left in range(5):  # so many values can be sealed before the file of the keys is written
            (tmp_path / "keys.json").rename(tmp_path / "kept.json")
            (tmp_path / "keys.json").mkdir()
            ring._left = left
            drafts = [question("two", "t2"), answer("two", "t2")]
            with pytest.raises(StoreRefused):
                await store.commit("s", drafts, rows=[Row("turn", "t2", "done", b"{}")])
            (tmp_path / "keys.json").rmdir()
            (tmp_path / "kept.json").rename(tmp_path / "keys.json")
            assert [event.position.seq for event in await events(store, "s", 0)] == [1]
            assert await store.find("turn") == []
        await store.commit("s", [question("three", "t3")])
        assert [event.position.seq for event in await events(store, "s", 0)] == [1, 2]
