"""Binary content as files: complete or absent, stored once, and an id reaches no other file."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from rhetor.errors import NotFound, StoreRefused
from rhetor.store.blobs import FileBlobs

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
