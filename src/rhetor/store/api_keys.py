"""The API keys that the user has stored: in the keyring, or sealed in a file of the state folder.

The file lists all of them, because a keyring cannot be listed. Nothing here returns a key but `values`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rhetor.errors import KeysUnavailable, SealBroken
from rhetor.sealing.envelope import key_id_of
from rhetor.sealing.files import locked, read_private, write_durably
from rhetor.sealing.keyrings import KeyringUnusable, ask_keyring, has_keyring
from rhetor.sealing.ring import Ring

NAME = "api-keys"
FILE, KEYRING = "file", "keyring"
SERVICE = "rhetor api key"
_ABOUT = b"api keys"


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as the file has it: the key itself, or the user name under which the keyring has it. `set_at`:
    Unix time in milliseconds."""

    set_at: int
    key: str | None = None
    keyring: str | None = None


class StoredKey(msgspec.Struct, frozen=True):
    """A key that is stored. `place`: `file` or `keyring`."""

    provider: str
    place: str
    set_at: int


class Values(NamedTuple):
    """The keys, by the name of the provider. `fault`: why others are missing."""

    keys: Mapping[str, str]
    fault: KeysUnavailable | None


Entries = dict[str, Entry]


class ApiKeys:
    """The keys, by the name of the provider. Any thread may use it; the functions may block."""

    def __init__(
        self, folder: Path, ring: Ring, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._path = folder / NAME
        self._lock_file = folder / f"{NAME}.lock"
        self._ring = ring
        self._clock = clock
        self._lock = threading.Lock()

    def listed(self) -> Sequence[StoredKey]:
        """Return what is stored, by name.

        Raises:
            KeysUnavailable: the file cannot be read or opened.
        """
        return [_described(name, entry) for name, entry in sorted(self._read().items())]

    def values(self) -> Values:
        """Return the keys. If the keyring cannot be used, those of the file are returned with the reason.

        Raises:
            KeysUnavailable: the file cannot be read or opened.
        """
        found, fault = {}, None
        for name, entry in self._read().items():
            try:
                # a keyring that failed is not asked again, because that may wait for long
                key = entry.key or (None if fault else _from_keyring(name, entry))
            except KeysUnavailable as error:
                key, fault = None, error
            if key:
                found[name] = key
        return Values(found, fault)

    def put(self, provider: str, key: str) -> StoredKey:
        """Store a key; it replaces the one that the provider has. The keyring is used if there is one.

        Raises:
            KeysUnavailable: it cannot be stored; nothing was changed.
        """
        with self._lock, locked(self._lock_file):
            entries = self._read()
            old, fresh = entries.get(provider), self._stored(provider, key)
            self._write({**entries, provider: fresh})
            _forget(old)
            return _described(provider, fresh)

    def remove(self, provider: str) -> bool:
        """Remove the key of a provider; return whether there was one.

        Raises:
            KeysUnavailable: the file cannot be read or written; nothing was changed.
        """
        with self._lock, locked(self._lock_file):
            entries = self._read()
            old = entries.pop(provider, None)
            if old is not None:
                self._write(entries)
                _forget(old)
            return old is not None

    def renew(self) -> None:
        """Seal the file with the current key of the ring.

        Raises:
            KeysUnavailable: the file cannot be read or written.
        """
        with self._lock:
            sealed = read_private(self._path)
            if sealed is not None and key_id_of(sealed) != self._ring.current:
                with locked(self._lock_file):
                    self._write(self._read())

    def _stored(self, provider: str, key: str) -> Entry:
        now = self._clock()
        if not has_keyring():
            return Entry(now, key)
        user = f"{provider}-{secrets.token_hex(4)}"
        try:
            ask_keyring(lambda keyring: keyring.set_password(SERVICE, user, key))
            kept = ask_keyring(lambda keyring: keyring.get_password(SERVICE, user))
        except KeyringUnusable:
            return Entry(now, key)
        return Entry(now, keyring=user) if kept == key else Entry(now, key)

    def _read(self) -> Entries:
        sealed = read_private(self._path)
        if sealed is None:
            return {}
        try:
            return msgspec.json.decode(self._ring.open(sealed, _ABOUT), type=Entries)
        except (SealBroken, msgspec.DecodeError) as error:
            raise KeysUnavailable(
                f"{self._path} cannot be opened with the keys of keys.json; "
                "remove it, and store the API keys again with aish keys set"
            ) from error

    def _write(self, entries: Entries) -> None:
        write_durably(self._path, self._ring.seal(msgspec.json.encode(entries), _ABOUT))


def _described(provider: str, entry: Entry) -> StoredKey:
    return StoredKey(provider, FILE if entry.key is not None else KEYRING, entry.set_at)


def _from_keyring(provider: str, entry: Entry) -> str | None:
    """Return a key that the keyring has; None if it was removed there.

    Raises:
        KeysUnavailable: the keyring cannot be used.
    """
    try:
        found: Any = ask_keyring(lambda keyring: keyring.get_password(SERVICE, entry.keyring))
    except KeyringUnusable as error:
        raise KeysUnavailable(
            f"the keyring with the API key of {provider} cannot be used ({error}); unlock it"
        ) from error
    return found if isinstance(found, str) else None


def _forget(old: Entry | None) -> None:
    """Remove a key from the keyring, if it is there. One that stays does no harm: nothing refers to it."""
    if old is None or old.keyring is None:
        return
    try:
        ask_keyring(lambda keyring: keyring.delete_password(SERVICE, old.keyring))
    except KeyringUnusable:
        pass
