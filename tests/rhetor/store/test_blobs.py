"""Binary content as files: complete or absent, stored once, and an id reaches no other file."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from rhetor.errors import NotFound, SealBroken, StoreRefused
from rhetor.store.blobs import FileBlobs
from tests.sealing import ring_in

pytestmark = pytest.mark.anyio
CONTENT = b"\x00\xff" * 100_000
ID = hashlib.sha256(CONTENT).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_same_bytes_stored_concurrently_are_one_file(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    assert set(await asyncio.gather(*(blobs.keep(CONTENT) for _ in range(10)))) == {ID}
    assert names(tmp_path / "blobs") == [ID]
    assert await blobs.read(ID) == CONTENT


async def test_an_id_reaches_only_files_of_blobs(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    blobs = FileBlobs(tmp_path / "blobs")
    await blobs.keep(CONTENT)
    for name in ("../secret", "secret", "", ID.upper(), f"{ID}\n", "0" * 64, "a\0b"):
        with pytest.raises(NotFound):
            await blobs.read(name)


async def test_a_damaged_blob_is_not_returned(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    await blobs.keep(CONTENT)
    (tmp_path / ID).write_bytes(CONTENT[:-1])
    with pytest.raises(NotFound):
        await blobs.read(ID)


async def test_a_blob_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the folder would be")
    for folder in ("file", "nowhere/blobs"):
        with pytest.raises(StoreRefused):
            await FileBlobs(tmp_path / folder).keep(CONTENT)
    blobs = FileBlobs(tmp_path / "blobs")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / ID).symlink_to(tmp_path / "nowhere")  # a dangling link is replaced
    await blobs.keep(CONTENT)
    assert names(tmp_path / "blobs") == [ID]
    assert await blobs.read(ID) == CONTENT


async def test_a_sweep_removes_unwanted_and_incomplete_files(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")

    async def wants(id: str) -> bool:
        return id == ID

    assert await blobs.sweep(wants) == 0
    await blobs.keep(CONTENT)
    await blobs.keep(b"unwanted")
    (tmp_path / "blobs" / f"{ID}.01234567").write_bytes(CONTENT[:10])
    assert await blobs.sweep(wants) == 2
    assert names(tmp_path / "blobs") == [ID]


async def test_a_sealed_blob_is_stored_once_and_its_file_and_id_say_nothing(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    blobs = FileBlobs(tmp_path / "blobs", ring, sealed=True)
    id = await blobs.keep(CONTENT)
    ring.rotate()
    assert await blobs.keep(CONTENT) == id != ID
    assert names(tmp_path / "blobs") == [id]
    assert CONTENT[:100] not in (tmp_path / "blobs" / id).read_bytes()
    later = FileBlobs(tmp_path / "blobs", ring_in(tmp_path))  # sealing was switched off
    assert await later.read(id) == CONTENT
    assert await later.keep(CONTENT) == ID


async def test_a_sealed_blob_in_the_place_of_another_is_an_error(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs", ring_in(tmp_path), sealed=True)
    first, second = await blobs.keep(b"first"), await blobs.keep(b"second")
    (tmp_path / "blobs" / first).replace(tmp_path / "blobs" / second)
    with pytest.raises(SealBroken):
        await blobs.read(second)


async def test_stored_blobs_are_sealed_and_sealed_again_after_a_rotation(tmp_path: Path) -> None:
    envelope = b"\x01" + bytes(100)  # plain content that begins as an envelope does
    ids = [await FileBlobs(tmp_path / "blobs").keep(content) for content in (CONTENT, envelope)]
    ring = ring_in(tmp_path)
    blobs = FileBlobs(tmp_path / "blobs", ring, sealed=True)
    assert [await blobs.read(id) for id in ids] == [CONTENT, envelope]
    for _ in range(2):
        assert not blobs.seal_stored(lambda: False)
        assert blobs.seal_stored()
        assert {(tmp_path / "blobs" / id).read_bytes()[1:5] for id in ids} == {ring.current}
        assert [await blobs.read(id) for id in ids] == [CONTENT, envelope]
        ring.rotate()
    assert names(tmp_path / "blobs") == sorted(ids)
