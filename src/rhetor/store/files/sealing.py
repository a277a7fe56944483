"""Seals what the store of snapshots writes.

A sealed object is stored under a name that only the holder of the keys can compute, because the digest of a
well-known file would show that the store has it. Trees, which contain the digests, are objects themselves,
and sealed, too.
"""

from __future__ import annotations

from rhetor.sealing.envelope import HEAD_BYTES, is_sealed, key_id_of
from rhetor.sealing.ring import Ring

PEEK_BYTES = HEAD_BYTES  # of a stored value, which say whether it is sealed, and with which key


class FileSeal:
    """Seals new content if it is `active`. In any case, it opens what was sealed before."""

    def __init__(self, ring: Ring, *, active: bool = True) -> None:
        self._ring = ring
        self.active = active

    @property
    def key(self) -> bytes:
        """The id of the key for new content."""
        return self._ring.current

    def name(self, digest: bytes) -> bytes:
        """Return the name of a sealed object. A rotation of the keys does not change it."""
        return bytes.fromhex(self._ring.digest(f"object {digest.hex()}").rpartition(":")[2])

    def file_name(self, of: str) -> str:
        """Return a name for a file, from which `of` cannot be guessed."""
        return self._ring.digest(f"file {of}").rpartition(":")[2]

    def seal(self, content: bytes, kind: str, name: bytes) -> bytes:
        return self._ring.seal(content, _about(kind, name))

    def open(self, sealed: bytes, kind: str, name: bytes) -> bytes:
        """Return the content.

        Raises:
            SealBroken: it was changed, or belongs elsewhere.
            KeysUnavailable: the keys cannot be read.
        """
        return self._ring.open(sealed, _about(kind, name))


def sealed_with(stored: bytes) -> bytes | None:
    """Return the id of the key with which the stored value was sealed; None if it is plain.

    Neither compressed nor MessagePack content begins as an envelope does.
    """
    return key_id_of(stored) if is_sealed(stored) else None


def _about(kind: str, name: bytes) -> bytes:
    return b"checkpoints\0" + kind.encode() + b"\0" + name
