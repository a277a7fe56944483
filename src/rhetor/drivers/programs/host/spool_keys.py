"""The keys with which hosts seal their spools: one for each host, in a file of its folder, itself sealed.

A host gets its key when it starts, over the pipe to its launcher, and no other key. So the next hub can read
what the host has left, and what a host could give away opens its own spool only.
"""

from __future__ import annotations

import importlib.util
import secrets
from pathlib import Path

from rhetor.codec.spool_cipher import KEY_BYTES
from rhetor.sealing.envelope import key_id_of
from rhetor.sealing.files import write_durably
from rhetor.sealing.ring import Ring

KEY = "key"  # the name of the file


class SpoolKeys:
    """The keys of the hosts of a hub. `active`: new programs get one; otherwise, those of earlier ones are
    still read."""

    def __init__(self, ring: Ring, *, active: bool = True) -> None:
        self._ring = ring
        self.active = active

    def create(self, folder: Path) -> bytes:
        """Return a new key for the host with this folder, after it was stored.

        Raises:
            KeysUnavailable: it cannot be stored.
        """
        key = secrets.token_bytes(KEY_BYTES)
        self._write(folder, key)
        return key

    def of(self, folder: Path) -> bytes:
        """Return the key of the host, a new one if it has none.

        Raises:
            SealBroken, KeysUnavailable: it cannot be opened or stored.
        """
        return self.read(folder) or self.create(folder)

    def read(self, folder: Path) -> bytes | None:
        """Return the key of the host; None if its spool is plain.

        Raises:
            SealBroken, KeysUnavailable: it cannot be opened.
        """
        try:
            sealed = (folder / KEY).read_bytes()
        except FileNotFoundError:
            return None
        return self._ring.open(sealed, _about(folder))

    def renew(self, folder: Path) -> None:
        """Seal the key of the host with the current data key, if it has one.

        Raises:
            SealBroken, KeysUnavailable: it cannot be opened or stored.
        """
        key = self.read(folder)
        if key is not None and key_id_of((folder / KEY).read_bytes()) != self._ring.current:
            self._write(folder, key)

    def _write(self, folder: Path, key: bytes) -> None:
        write_durably(folder / KEY, self._ring.seal(key, _about(folder)))


def _about(folder: Path) -> bytes:
    return b"host\0" + folder.name.encode()


def library() -> str:
    """Return the folder with the package that seals, which an isolated Python does not find by itself."""
    found = importlib.util.find_spec("cryptography")
    assert found is not None and found.origin is not None
    return str(Path(found.origin).parents[1])
