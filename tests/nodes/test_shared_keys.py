"""Replacing the data key of several nodes: all of them have the new one before any of them seals with it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from rhetor import shared_keys
from rhetor.errors import KeysUnavailable
from rhetor.sealing.ring import Ring
from rhetor.shared_keys import SharedKeys
from tests.nodes.pairs import Homes, pair

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


class Keys:
    """The keys of one node."""

    def __init__(self, folder: Path) -> None:
        self.ring = Ring(folder)
        self.switched = asyncio.Event()

    async def note(self) -> None:
        self.switched.set()


def rings(folder: Path) -> tuple[Keys, Keys, bytes]:
    """Return the keys of two nodes, of which the second has copies of the files, and what one has sealed."""
    one, two = Keys(folder / "a"), Keys(folder / "b")
    for name in ("a", "b"):
        (folder / name).mkdir(mode=0o700)
    sealed = one.ring.seal(b"old", b"about")
    for file in ("keys.json", "master.key"):
        shutil.copy2(folder / "a" / file, folder / "b" / file)
    assert two.ring.open(sealed, b"about") == b"old"
    return one, two, sealed


def shared(homes: Homes, one: Keys, two: Keys) -> tuple[SharedKeys, SharedKeys]:
    return (
        SharedKeys(one.ring, homes.one.hub.state, one.note),
        SharedKeys(two.ring, homes.two.hub.state, two.note),
    )


async def test_a_key_that_one_node_replaces_is_that_of_both(postgres_url: str, tmp_path: Path) -> None:
    one, two, sealed = rings(tmp_path)
    async with pair(postgres_url, tmp_path) as homes:
        first, second = shared(homes, one, two)
        for shares in (first, second, first):
            new = await shares.rotate()
            assert one.ring.current == two.ring.current == new
            assert two.ring.open(one.ring.seal(b"new", b"about"), b"about") == b"new"
            assert one.ring.open(two.ring.seal(b"new", b"about"), b"about") == b"new"
            assert two.ring.open(sealed, b"about") == one.ring.open(sealed, b"about") == b"old"
        async with asyncio.timeout(20):
            await asyncio.gather(one.switched.wait(), two.switched.wait())
        assert one.ring.retired() == two.ring.retired()
        assert len(one.ring.listed()) == 4


async def test_no_node_seals_with_a_key_that_another_one_does_not_take(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_keys, "LONGEST_WAIT", 1.0)
    one, two, _ = rings(tmp_path)
    async with pair(postgres_url, tmp_path) as homes:
        first, _ = shared(homes, one, two)
        before = one.ring.current
        (tmp_path / "b" / "keys.json").chmod(0o644)  # so it cannot be used
        with pytest.raises(KeysUnavailable) as refused:
            await first.rotate()
        assert "two-00000002 does not take the new key" in refused.value.detail
        assert one.ring.current == before
        (tmp_path / "b" / "keys.json").chmod(0o600)
        assert await first.rotate() == one.ring.current == two.ring.current


async def test_a_key_that_another_master_key_has_wrapped_is_not_taken(tmp_path: Path) -> None:
    one, _, _ = rings(tmp_path)
    (tmp_path / "c").mkdir(mode=0o700)
    other = Ring(tmp_path / "c")
    other.seal(b"x", b"about")
    with pytest.raises(KeysUnavailable):
        one.ring.adopt(other.prepare())
