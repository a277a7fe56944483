"""Seals the records of a spool with AES-256-GCM, and opens them. A host and the hub both use it.

A host runs isolated, without the folder of installed packages, so the library is imported when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct

from . import host_frames as frames

PLAIN, SEALED = "out", "sealed"  # how the names of a spool's segments begin
REPLACED = "replaced"  # the file with a record of a sealed segment that is being replaced in its place
KEY_BYTES = 32
NONCE_BYTES = 12
SEAL_BYTES = NONCE_BYTES + 16  # that a sealed piece has more than its data: the nonce and the tag

_ABOUT = Struct(">QQ")


class RecordBroken(ValueError):
    """The record was changed or moved, or another key sealed it."""


class SpoolCipher:
    """The key of one spool. The place and the time of a record are authenticated with its data."""

    def __init__(self, key: bytes) -> None:
        """Raises:
        ImportError: the library is not installed.
        ValueError: the key does not have 32 bytes.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes")
        self._cipher = AESGCM(key)
        self._broken = InvalidTag

    def seal(self, offset: int, at_ms: int, data: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, _ABOUT.pack(offset, at_ms))

    def open(self, offset: int, at_ms: int, sealed: bytes) -> bytes:
        """Raises:
        RecordBroken: the record cannot be opened.
        """
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, _ABOUT.pack(offset, at_ms))
        except (self._broken, ValueError):
            raise RecordBroken(f"the output at {offset} cannot be opened") from None


def pieces(data: bytes, cipher: SpoolCipher | None, at: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the complete records of a segment, as `host_frames.records` does, opened if they are sealed.

    Raises:
        FrameBroken: a length is over the limit.
        RecordBroken: a record cannot be opened.
    """
    if cipher is None:
        yield from frames.records(data, at)
        return
    most = frames.MAX_PIECE_BYTES + SEAL_BYTES
    for after, offset, at_ms, sealed in frames.records(data, at, most):
        if not sealed:
            return  # zeros: the machine stopped before the rest of the file was on the disk
        yield after, offset, at_ms, cipher.open(offset, at_ms, sealed)
