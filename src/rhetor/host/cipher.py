"""Loads the library that seals the spool. A host that seals nothing does not load it, and stays smaller."""

from __future__ import annotations

import sys

from rhetor.codec.spool_cipher import SpoolCipher


def load_cipher(key: bytes, library: str) -> SpoolCipher:
    """Return the cipher with this key. `library`: the folder with the package `cryptography`.

    Raises:
        ImportError: the package is not there.
        ValueError: the key is invalid.
    """
    if library not in sys.path:
        sys.path.append(library)
    return SpoolCipher(key)
