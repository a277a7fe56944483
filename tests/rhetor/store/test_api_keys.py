"""Stored API keys: sealed in a file that only the owner can read, or in the keyring."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from rhetor.errors import KeysUnavailable
from rhetor.sealing.envelope import key_id_of
from rhetor.sealing.ring import Ring
from rhetor.store.api_keys import SERVICE, ApiKeys, StoredKey

SECRET = "sk-canary-0123456789"


class InMemory(keyring.backend.KeyringBackend):
    """A back end of the library that keeps passwords in memory."""

    priority: float = 5

    def __init__(self) -> None:
        self.passwords: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("the collection is locked")
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("the collection is locked")
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.passwords[service, username]


class Weak(InMemory):
    """One that the library does not recommend."""

    priority = 0.5


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(Weak())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def in_memory(no_keyring: None) -> InMemory:
    backend = InMemory()
    keyring.set_keyring(backend)
    return backend


def stored(folder: Path) -> ApiKeys:
    return ApiKeys(folder, Ring(folder), clock=lambda: 7)


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_key_is_sealed_in_a_private_file_and_only_values_returns_it(tmp_path: Path) -> None:
    keys = stored(tmp_path)
    assert (keys.listed(), keys.values().keys, keys.remove("openai")) == ([], {}, False)
    assert keys.put("openai", SECRET) == StoredKey("openai", "file", 7)
    keys.put("box", "other-key")
    assert stored(tmp_path).values().keys == {"openai": SECRET, "box": "other-key"}
    assert [each.provider for each in keys.listed()] == ["box", "openai"]
    assert SECRET not in str(keys.listed())
    assert (tmp_path / "api-keys").stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() not in contents(tmp_path)
    assert keys.remove("openai") is True
    assert stored(tmp_path).values().keys == {"box": "other-key"}


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    writers = [
        threading.Thread(target=stored(tmp_path).put, args=(f"box{n}", f"key-{n}-of-this-box"))
        for n in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert stored(tmp_path).values().keys == {f"box{n}": f"key-{n}-of-this-box" for n in range(8)}


def test_keys_are_sealed_again_when_the_data_key_is_replaced(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    keys = ApiKeys(tmp_path, ring)
    keys.renew()
    keys.put("openai", SECRET)
    fresh = ring.rotate()
    keys.renew()
    assert key_id_of((tmp_path / "api-keys").read_bytes()) == fresh
    assert keys.values().keys == {"openai": SECRET}


def test_a_file_that_others_can_read_or_that_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    keys = stored(tmp_path)
    keys.put("openai", SECRET)
    (tmp_path / "api-keys").chmod(0o644)
    with pytest.raises(KeysUnavailable, match="chmod 600"):
        keys.values()
    (tmp_path / "api-keys").chmod(0o600)
    (tmp_path / "keys.json").unlink()
    with pytest.raises(KeysUnavailable, match=r"remove it, and store the API keys again with aish keys set"):
        stored(tmp_path).put("openai", SECRET)


def test_the_keyring_has_the_keys_if_there_is_one(tmp_path: Path, in_memory: InMemory) -> None:
    keys = stored(tmp_path)
    assert keys.put("openai", SECRET) == StoredKey("openai", "keyring", 7)
    assert (list(in_memory.passwords.values()), keys.values().keys) == ([SECRET], {"openai": SECRET})
    keys.put("openai", "sk-another-key")
    assert list(in_memory.passwords.values()) == ["sk-another-key"]  # the old one was removed
    assert {service for service, _ in in_memory.passwords} == {SERVICE}

    in_memory.is_locked = True
    assert [each.place for each in keys.listed()] == ["keyring"]
    found = stored(tmp_path).values()
    assert found.keys == {} and re.search(
        r"of openai cannot be used \(KeyringLocked: .*unlock it", found.fault.detail if found.fault else ""
    )
    keys.put("box", "other-key")  # in the file, which needs no keyring
    assert (keys.values().keys, keys.remove("box")) == ({"box": "other-key"}, True)
    assert keys.put("openai", SECRET).place == "file"  # rather than not at all
    in_memory.is_locked = False
    assert keys.values().keys == {"openai": SECRET}
    assert keys.remove("openai") and keys.values().keys == {}
