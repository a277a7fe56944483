"""The token that opens the TCP door: 256 bits in a file that only its owner reads."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from rhetor.errors import InvalidSettings


def load_token(path: Path) -> str:
    """The token in `path`, made where there is none.

    Raises:
        InvalidSettings: others may read the file, or it holds no token.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    token = secrets.token_hex(32)
    with os.fdopen(fd, "w") as file:
        file.write(token + "\n")
    return token


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise InvalidSettings(f"{path}: others may read it; run: chmod 600 {path}")
    token = path.read_text().strip()
    if len(token) < 64:
        raise InvalidSettings(f"{path}: no token of 256 bits; delete it, and a new one is made")
    return token


def same(given: str, token: str) -> bool:
    """Compared in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())
