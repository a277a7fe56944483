"""The keys with which programs that the hub starts call its APIs. Each program has its own, in its
environment."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from .identity import digest_of
from .secrets import KEY_PREFIX, Secrets

KEY, URL, HOME = "RHETOR_TOKEN", "RHETOR_URL", "RHETOR_HOME"


class IssuedKey(NamedTuple):
    """`variables`: what the program's environment must have. `digest`: the SHA-256 of the key, in hex."""

    variables: Mapping[str, str]
    digest: str


class ProgramKeys:
    """The keys of all running programs. `place`: the variables that say where the hub is.

    Only their hashes need to be stored. A key is masked, as one of `secrets`, from when it is known to when
    its program ends; after a restart, it is known once it was used.
    """

    def __init__(self, secrets: Secrets | None = None, place: Mapping[str, str] | None = None) -> None:
        self._secrets = secrets if secrets is not None else Secrets()
        self._place = place or {}
        self._peers: dict[str, str] = {}
        self._known: dict[str, str] = {}

    def issue(self, peer: str) -> IssuedKey:
        """Return a new key for a program of the peer. It is valid until `end` is called."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        digest = digest_of(key)
        self.put(digest, peer)
        self._learn(digest, key)
        return IssuedKey({**self._place, KEY: key}, digest)

    def put(self, digest: str, peer: str) -> None:
        """Accept a key that an earlier hub has issued."""
        self._peers[digest] = peer

    def end(self, digest: str) -> None:
        """Reject the key from now on. No effect if it is not valid."""
        self._peers.pop(digest, None)
        if key := self._known.pop(digest, None):
            self._secrets.remove([key])

    def find(self, key: str) -> tuple[str, str] | None:
        """Return the peer whose program has the key, and its digest; None if the key is not valid."""
        if not key.startswith(KEY_PREFIX):
            return None
        digest = digest_of(key)
        peer = self._peers.get(digest)
        if peer is None:
            return None
        if digest not in self._known:
            self._learn(digest, key)
        return peer, digest

    def holds(self, digest: str) -> bool:
        return digest in self._peers

    def _learn(self, digest: str, key: str) -> None:
        self._known[digest] = key
        self._secrets.add([key])
