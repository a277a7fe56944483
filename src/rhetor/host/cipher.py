"""Loads the library that seals the spool. A host that seals nothing does not load it, and stays smaller.

A core dump would contain what the spool does not, so there is none from then on.
"""

from __future__ import annotations

import resource
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
    cipher = SpoolCipher(key)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    # 1 byte, not 0, also stops the kernel from passing it to a program (core(5))
    resource.setrlimit(resource.RLIMIT_CORE, (1 if most == resource.RLIM_INFINITY else min(1, most), most))
    return cipher
