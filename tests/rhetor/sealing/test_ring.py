"""The ring keeps its keys safe: they are private, replaced in time, and never made anew beside old ones."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhetor.errors import KeysUnavailable, SealBroken
from rhetor.sealing import ring as rings
from rhetor.sealing.envelope import key_id_of
from rhetor.sealing.ring import Ring


def stored(folder: Path) -> Any:
    return msgspec.json.decode((folder / "keys.json").read_bytes())


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_the_first_seal_makes_private_keys(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.load()
    assert not ring.exists
    assert content_of(tmp_path) == {}
    sealed = ring.seal(b"content", b"place")
    assert Ring(tmp_path).open(sealed, b"place") == b"content"
    assert sorted(content_of(tmp_path)) == ["keys.json", "master.key"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_keys_are_not_in_their_file(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    ring.seal(b"content", b"place")
    master = bytes.fromhex((tmp_path / "master.key").read_text())
    file = (tmp_path / "keys.json").read_bytes()
    assert master not in file
    assert master.hex().encode() not in file


def test_after_a_rotation_new_content_has_the_new_key_and_old_content_opens(tmp_path: Path) -> None:
    ring = Ring(tmp_path, clock=lambda: 1000)
    old = ring.seal(b"old", b"place")
    fresh = ring.rotate()
    new = ring.seal(b"new", b"place")
    assert key_id_of(new) == fresh != key_id_of(old)
    assert [ring.open(old, b"place"), ring.open(new, b"place")] == [b"old", b"new"]
    assert ring.retired() == {key_id_of(old)}
    assert [Ring(tmp_path).open(each, b"place") for each in (old, new)] == [b"old", b"new"]
    assert [key.retired for key in ring.listed()] == [1000, None]


def test_a_ring_opens_what_another_process_sealed_with_a_new_key(tmp_path: Path) -> None:
    ring, other = Ring(tmp_path), Ring(tmp_path)
    ring.seal(b"x", b"place")
    other.rotate()
    assert ring.open(other.seal(b"theirs", b"place"), b"place") == b"theirs"


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    sealed = bytearray(ring.seal(b"x", b"place"))
    sealed[1:5] = b"\xff\xff\xff\xff"
    with pytest.raises(SealBroken, match=r"the key ffffffff, which .*keys.json does not have"):
        ring.open(bytes(sealed), b"place")


def test_a_key_is_replaced_long_before_its_nonces_could_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "SEALS_PER_KEY", 100)
    monkeypatch.setattr(rings, "_LEAST", 10)
    monkeypatch.setattr(rings, "_MOST", 40)
    ring, used = Ring(tmp_path), dict[bytes, int]()
    for _ in range(1000):
        key_id = key_id_of(ring.seal(b"x", b"place"))
        used[key_id] = used.get(key_id, 0) + 1
    assert len(used) > 5
    assert max(used.values()) < 100 + 40
    assert ring.retired() == set()  # a full key is no reason to seal everything again


def test_a_key_that_others_have_too_is_not_replaced_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rings, "SEALS_PER_KEY", 100)
    monkeypatch.setattr(rings, "_LEAST", 50)
    ring = Ring(tmp_path)
    ring.is_shared = True
    keys = {key_id_of(ring.seal(b"content", b"place")) for _ in range(500)}
    assert keys == {ring.current}
    assert "run rhetor keys rotate" in caplog.text


def test_seals_are_counted_across_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "SEALS_PER_KEY", 50)
    monkeypatch.setattr(rings, "_LEAST", 10)
    ids = [key_id_of(Ring(tmp_path).seal(b"x", b"place")) for _ in range(6)]
    assert len(set(ids[:5])) == 1
    assert ids[5] != ids[0]


def test_threads_share_a_ring_while_it_is_rotated(tmp_path: Path) -> None:
    ring, sealed, failed = Ring(tmp_path), list[tuple[bytes, bytes]](), list[BaseException]()
    ring.seal(b"", b"")

    def work(name: int) -> None:
        try:
            for number in range(300):
                content, about = b"%d" % number, b"%d/%d" % (name, number)
                sealed.append((ring.seal(content, about), about))
        except BaseException as error:  # noqa: BLE001  # seen by the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        ring.rotate()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all(ring.open(each, about) == about.split(b"/")[1] for each, about in sealed)
    assert len({each[5:17] for each, _ in sealed}) == len(sealed)


def test_needed_keys_must_be_there(tmp_path: Path) -> None:
    key_id = Ring(tmp_path).current
    Ring(tmp_path).load(needed=[key_id])
    with pytest.raises(KeysUnavailable, match=r"does not have the key 01020304"):
        Ring(tmp_path).load(needed=[b"\x01\x02\x03\x04"])
    (tmp_path / "keys.json").unlink()
    with pytest.raises(KeysUnavailable, match=r"keys.json is missing"):
        Ring(tmp_path).load(needed=[key_id])
    assert not (tmp_path / "keys.json").exists()


def test_a_lost_master_key_is_never_replaced(tmp_path: Path) -> None:
    Ring(tmp_path).seal(b"x", b"place")
    (tmp_path / "master.key").unlink()
    before = content_of(tmp_path)
    for use in (Ring(tmp_path).load, lambda: Ring(tmp_path).seal(b"x", b"y"), Ring(tmp_path).rotate):
        with pytest.raises(KeysUnavailable, match=r"master.key is missing"):
            use()
    assert content_of(tmp_path) == before


def test_a_wrong_master_key_changes_nothing(tmp_path: Path) -> None:
    Ring(tmp_path).seal(b"x", b"place")
    (tmp_path / "master.key").write_text("ab" * 32)
    before = content_of(tmp_path)
    for use in (Ring(tmp_path).load, lambda: Ring(tmp_path).seal(b"x", b"y"), Ring(tmp_path).rotate):
        with pytest.raises(KeysUnavailable, match=r"is not the one of .*keys.json"):
            use()
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("name", ["keys.json", "master.key"])
def test_a_file_that_others_can_read_is_rejected(tmp_path: Path, name: str) -> None:
    Ring(tmp_path).seal(b"x", b"place")
    (tmp_path / name).chmod(0o640)
    with pytest.raises(KeysUnavailable, match=rf"other users have access to it; run: chmod 600 .*{name}"):
        Ring(tmp_path).load()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"not json", b'{"format": 2, "master": {"source": "file", "name": ""}}']
)
def test_a_damaged_file_of_keys_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    Ring(tmp_path).seal(b"x", b"place")
    (tmp_path / "keys.json").write_bytes(content)
    for use in (Ring(tmp_path).load, lambda: Ring(tmp_path).seal(b"x", b"y")):
        with pytest.raises(KeysUnavailable, match=r"keys.json cannot be used .*put it back from your copy"):
            use()
    assert (tmp_path / "keys.json").read_bytes() == content


def test_swapped_or_changed_keys_are_recognized(tmp_path: Path) -> None:
    for _ in range(2):
        Ring(tmp_path).rotate()
    before = stored(tmp_path)
    assert len(before["keys"]) == 2
    swapped = [key["wrapped"] for key in reversed(before["keys"])]
    for key, wrapped in zip(before["keys"], swapped, strict=True):
        key["wrapped"] = wrapped
    (tmp_path / "keys.json").write_bytes(msgspec.json.encode(before))
    with pytest.raises(KeysUnavailable, match=r"keys.json is damaged"):
        Ring(tmp_path).load()


def test_digests_need_the_keys_and_outlive_a_rotation(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    before = ring.digest("text")
    ring.rotate()
    assert ring.digest("text") == Ring(tmp_path).digest("text") == before
    assert ring.digest("another") != before
    other = tmp_path / "other"
    other.mkdir()
    assert Ring(other).digest("text") != before


def test_keys_can_be_moved_to_another_master_key(tmp_path: Path) -> None:
    sealed = Ring(tmp_path).seal(b"x", b"place")
    (tmp_path / "new").write_text("cd" * 32)
    command = f"command:cat {tmp_path}/new"
    with pytest.raises(KeysUnavailable, match=r"was made with file; set it back, or run rhetor keys move"):
        Ring(tmp_path, command).load()
    Ring(tmp_path, command).move("file")
    assert Ring(tmp_path, command).open(sealed, b"place") == b"x"
    with pytest.raises(KeysUnavailable, match=r"was made with command"):
        Ring(tmp_path).load()
