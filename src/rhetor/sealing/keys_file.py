"""`keys.json`: the data keys by id, each wrapped by the master key, and when they were made.

The file says nothing without the master key. It is needed as long as anything is sealed with its keys.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from rhetor.errors import KeysUnavailable, SealBroken

from .envelope import ID_BYTES, KEY_BYTES, cipher_of, seal, unseal
from .files import read_private, write_durably

FORMAT = 1
NAME = "keys.json"
_MASTER_ID = bytes(ID_BYTES)
_DIGEST = b"rhetor digest key"


class Wrapped(Struct, frozen=True):
    """A data key. `created` and `retired`: Unix time in milliseconds; what is sealed with a retired key is to
    be sealed again. `seals`: at most so many values were sealed with it."""

    id: str
    created: int
    wrapped: str
    seals: int = 0
    retired: int | None = None

    @property
    def key_id(self) -> bytes:
        return bytes.fromhex(self.id)

    def opened(self, master: Any) -> bytes:
        """Return the key. `master`: the cipher of the master key."""
        return unseal(master, base64.b64decode(self.wrapped), _about(self.key_id, self.created))


class Master(Struct, frozen=True):
    """The master key. `source`: `file`, `keyring` or `command`. `name`: of the key, in that source."""

    source: str
    name: str


class KeysFile(Struct, frozen=True):
    """The content of the file. `current`: the id of the key for new content. `digest`: the wrapped key of
    digests, which stays the same when data keys are rotated."""

    format: int
    master: Master
    current: str
    digest: str
    keys: Sequence[Wrapped]

    @property
    def newest(self) -> Wrapped:
        """The key for new content."""
        return next(key for key in self.keys if key.id == self.current)

    def digest_key(self, master: Any) -> bytes:
        return unseal(master, base64.b64decode(self.digest), _DIGEST)


def read_keys(path: Path) -> KeysFile | None:
    """Return the content of the file; None if there is no such file.

    Raises:
        KeysUnavailable: it cannot be read, other users have access to it, or it is damaged.
    """
    content = read_private(path)
    if content is None:
        return None
    try:
        found = msgspec.json.decode(content, type=KeysFile)
        if found.format == FORMAT and all(len(key.key_id) == ID_BYTES for key in (found.newest, *found.keys)):
            return found
        reason = f"it has format {found.format}"
    except (msgspec.DecodeError, ValueError, StopIteration) as error:
        reason = str(error) or "it lacks the current key"
    raise KeysUnavailable(f"{path} cannot be used ({reason}); put it back from your copy")


def write_keys(path: Path, keys: KeysFile) -> None:
    write_durably(path, msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")


def new_file(source: str, name: str, master: Any, now: int) -> KeysFile:
    """Return a file with one new data key."""
    key = new_key(master, now, ())
    digest = _wrap(master, secrets.token_bytes(KEY_BYTES), _DIGEST)
    return KeysFile(FORMAT, Master(source, name), key.id, digest, (key,))


def new_key(master: Any, now: int, others: Sequence[Wrapped]) -> Wrapped:
    """Return a new data key, whose id none of the others has."""
    taken = {_MASTER_ID, *(other.key_id for other in others)}
    key_id = secrets.token_bytes(ID_BYTES)
    while key_id in taken:
        key_id = secrets.token_bytes(ID_BYTES)
    wrapped = _wrap(master, secrets.token_bytes(KEY_BYTES), _about(key_id, now))
    return Wrapped(key_id.hex(), now, wrapped)


def rewrapped(keys: KeysFile, old: Any, master: Any, source: str, name: str) -> KeysFile:
    """Return the file with all keys wrapped by another master key.

    Raises:
        SealBroken: the old master key does not open them.
    """
    data = tuple(
        msgspec.structs.replace(key, wrapped=_wrap(master, key.opened(old), _about(key.key_id, key.created)))
        for key in keys.keys
    )
    digest = _wrap(master, keys.digest_key(old), _DIGEST)
    return msgspec.structs.replace(keys, master=Master(source, name), digest=digest, keys=data)


def require_opens(path: Path, keys: KeysFile, key: bytes) -> Any:
    """Return the cipher of the master key.

    Raises:
        KeysUnavailable: it is not the key that has wrapped the keys in the file.
    """
    master = cipher_of(key)
    try:
        keys.digest_key(master)
    except (SealBroken, ValueError) as error:
        raise KeysUnavailable(
            f"the master key of encryption.key ({keys.master.source}) is not the one of {path}; "
            "put the right one back"
        ) from error
    return master


def _wrap(master: Any, key: bytes, about: bytes) -> str:
    return base64.b64encode(seal(master, _MASTER_ID, key, about)).decode()


def _about(key_id: bytes, created: int) -> bytes:
    return b"rhetor data key %b %d" % (key_id, created)
