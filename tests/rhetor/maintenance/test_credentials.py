"""A plain backup has no keys: its credentials can be opened only where they were stored."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rhetor.hub.core.ids import wall_clock
from rhetor.maintenance.backup import Sealing, back_up
from rhetor.maintenance.progress import Progress
from rhetor.maintenance.restore import Restored, restore
from rhetor.sealing.portable import taken_from
from rhetor.sealing.ring import Ring
from rhetor.store.base import Row
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.maintenance.test_backup import append

pytestmark = pytest.mark.anyio

LOST = ("the MCP server files", "the keys that sign tokens")


async def backed_up(home: Path, file: Path, *, with_keys: bool) -> None:
    home.mkdir()  # noqa: ASYNC240
    store = await SqliteStore.open(home / "hub.db", clock=wall_clock, ring=Ring(home))
    await append(store, 1)
    rows = [Row("tool-server", "files", "added", b'{"secret":1}'), Row("signing_key", "k", "valid", b"{}")]
    await store.commit("hub", [], rows=rows)
    await store.aclose()
    keys = (lambda: taken_from(home, "file")) if with_keys else (lambda: None)
    back_up(home, file, Progress("backup", "bytes"), Sealing(keys=keys, ring=Ring(home)))


async def restored(home: Path, file: Path) -> Restored:
    home.mkdir(exist_ok=True)  # noqa: ASYNC240
    return await asyncio.to_thread(restore, home, file, Progress("restore", "bytes"))


async def documents(home: Path) -> list[bytes | None]:
    store = await SqliteStore.open(home / "hub.db", clock=wall_clock, ring=Ring(home))
    try:
        places = (("count", "all"), ("tool-server", "files"), ("signing_key", "k"))
        rows = [await store.get(*place) for place in places]
        head = await store.head("s_1")
        assert head is not None and head.head == 1
        return [row.doc if row else None for row in rows]
    finally:
        await store.aclose()


async def test_on_another_machine_everything_but_the_credentials_is_restored(tmp_path: Path) -> None:
    await backed_up(tmp_path / "home", tmp_path / "b", with_keys=False)
    assert tuple((await restored(tmp_path / "other", tmp_path / "b")).lost) == LOST
    assert (await documents(tmp_path / "other"))[1:] == [None, None]
    assert (await restored(tmp_path / "home", tmp_path / "b")).lost == ()
    assert (await documents(tmp_path / "home"))[1:] == [b'{"secret":1}', b"{}"]


async def test_with_its_keys_a_backup_brings_the_credentials_too(tmp_path: Path) -> None:
    await backed_up(tmp_path / "home", tmp_path / "b", with_keys=True)
    assert (await restored(tmp_path / "other", tmp_path / "b")).lost == ()
    assert (await documents(tmp_path / "other"))[1:] == [b'{"secret":1}', b"{}"]
