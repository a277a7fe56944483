"""The token for requests over TCP: 256 bits in a file that only its owner can read. A new token takes effect
at once."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path

from rhetor.errors import InvalidSettings

log = logging.getLogger(__name__)


class TokenFile:
    """The token in a file, which may change while the hub runs. If the file is missing, or other users have
    access to it, no token is valid. `changed` is called after each change, and `generation` counts the
    changes. A change is noticed when the token is next used.

    `retired`: the digests of tokens that were replaced at another node, which are not valid here either.
    `replaced` is called with the digest of a token that was replaced here.
    """

    def __init__(self, path: Path, changed: Callable[[], None] = lambda: None) -> None:
        """Load the token, and create it if the file does not exist.

        Raises:
            InvalidSettings: as `load_token`.
        """
        self._path = path
        self._changed = changed
        self._token: str | None = load_token(path)
        self._digest = _digest(self._token)
        self._seen = _signature(path)
        self._generation = 0
        self.retired: Collection[str] = ()
        self.replaced: Callable[[str], None] = lambda digest: None

    @property
    def current(self) -> str | None:
        """The valid token; None if there is none."""
        return self._token

    def digest(self) -> str:
        """Return a digest of the valid token; empty if there is none."""
        self._look()
        return self._digest

    @property
    def generation(self) -> int:
        self._look()
        return self._generation

    def opens(self, given: str) -> bool:
        self._look()
        return self._token is not None and same(given, self._token)

    def _look(self) -> None:
        """Notice a change of the file. Each request calls stat(2) once; the file is read only if it has
        changed."""
        seen = _signature(self._path)
        if seen != self._seen:
            self._seen = seen
            self._use(self._found())
        if self._digest and self._digest in self.retired:
            log.warning("token replaced at another node", extra={"file": str(self._path)})
            self._use(None)

    def _use(self, token: str | None) -> None:
        if token == self._token:
            return
        before, self._token, self._digest = self._digest, token, _digest(token)
        self._generation += 1
        log.info("token changed", extra={"usable": token is not None})
        if before and before not in self.retired:
            self.replaced(before)
        self._changed()

    def _found(self) -> str | None:
        try:
            return _read(self._path)
        except (InvalidSettings, OSError, UnicodeDecodeError) as error:
            log.error("invalid token file", extra={"reason": str(error)})
            return None


def _digest(token: str | None) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32] if token is not None else ""


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # called for each request over TCP
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, found.st_size


def load_token(path: Path) -> str:
    """Return the token in `path`, which is created if it does not exist.

    Raises:
        InvalidSettings: other users have access to the file, or it contains no token of 256 bits.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    return _write(fd)


def rotate_token(path: Path) -> str:
    """Replace the token in `path`, and return the new one. A running hub accepts only the new token."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    token = _write(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    fresh.replace(path)
    return token


def _write(fd: int) -> str:
    token = secrets.token_hex(32)
    with os.fdopen(fd, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(fd)
    return token


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise InvalidSettings(f"{path}: other users have access to it; run: chmod 600 {path}")
    token = path.read_text().strip()
    if len(token) < 64:
        raise InvalidSettings(f"{path}: not a token of 256 bits; delete the file to get a new token")
    return token


def same(given: str, token: str) -> bool:
    """Return whether the two are equal. The comparison takes constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())
