"""The keys of a state folder, in a backup for another one.

The backup also has the master key that wraps them, so they are as secret there as the content that they open.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rhetor.errors import KeysUnavailable

from .envelope import KEY_BYTES, cipher_of
from .keys_file import NAME, KeysFile, read_keys, require_opens, rewrapped, write_keys
from .master import FILE, source_of

SOURCE = "backup"


class PortableKeys(Struct, frozen=True):
    """The content of a file of keys, and the master key, in hexadecimal, that was made to wrap them there."""

    master: str
    file: KeysFile


def taken_from(folder: Path, setting: str) -> PortableKeys | None:
    """Return the keys of a state folder; None if it has none. `setting`: its `encryption.key`.

    Raises:
        KeysUnavailable: they cannot be read.
    """
    keys = read_keys(folder / NAME)
    if keys is None:
        return None
    master = secrets.token_bytes(KEY_BYTES)
    opener = require_opens(folder / NAME, keys, source_of(setting, folder).read(keys.master.name))
    return PortableKeys(master.hex(), rewrapped(keys, opener, cipher_of(master), SOURCE, ""))


def put_into(new: Path, keys: PortableKeys, home: Path, setting: str) -> None:
    """Write a file of keys into the folder `new`, whose content is to replace the state in `home`. It has the
    given keys, and those that `home` has, so that what is set aside there can still be opened. `setting`:
    `encryption.key` of `home`.

    Raises:
        KeysUnavailable: the keys cannot be read or written, or do not fit together.
    """
    source, old = source_of(setting, home), read_keys(home / NAME)
    name = old.master.name if old else secrets.token_hex(8)
    master = cipher_of(source.read(name) if old else source.create(name))
    given = cipher_of(bytes.fromhex(keys.master))
    made = rewrapped(keys.file, given, master, setting.partition(":")[0], name)
    if old is not None:
        require_opens(home / NAME, old, source.read(name))
        made = _merged(old, made, master)
    write_keys(new / NAME, made)


def _merged(old: KeysFile, new: KeysFile, master: Any) -> KeysFile:
    """Return the new file with the keys of the old one, too. What either knows of a key holds: that it is
    retired, and how often it was used.

    Raises:
        KeysUnavailable: they have different keys with the same id.
    """
    keys = {key.id: key for key in old.keys}
    for key in new.keys:
        same = keys.get(key.id, key)
        if key.opened(master) != same.opened(master):
            raise KeysUnavailable(
                f"the key {key.id} is another one than in the backup; restore it into another folder"
            )
        keys[key.id] = replace(key, seals=max(key.seals, same.seals), retired=key.retired or same.retired)
    current = old.current if keys[new.current].retired else new.current
    return replace(new, current=current, keys=tuple(keys.values()))


def lend_master(home: Path, folder: Path) -> Path:
    """Let a ring in `folder`, which is inside of `home`, find the master key of `home` if that is a file.
    Return the path that is to be removed afterwards."""
    path = folder / FILE
    if (home / FILE).exists():
        path.hardlink_to(home / FILE)
    return path
