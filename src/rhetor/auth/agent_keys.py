"""The keys of programs that run as peers, as credentials."""

from __future__ import annotations

from rhetor.domain.program_keys import ProgramKeys
from rhetor.errors import RhetorError, Unauthenticated

from .credentials import Credential


class ByKey:
    """The key of a program that was running when the connection was opened."""

    def __init__(self, keys: ProgramKeys, digest: str) -> None:
        self._keys = keys
        self._digest = digest

    def fault(self) -> RhetorError | None:
        if self._keys.holds(self._digest):
            return None
        return Unauthenticated("the program that this key belongs to has ended")


class KeysOfPrograms:
    """Finds the peer and the credential for a key."""

    def __init__(self, keys: ProgramKeys) -> None:
        self._keys = keys

    def find(self, key: str) -> tuple[str, Credential] | None:
        found = self._keys.find(key)
        return None if found is None else (found[0], ByKey(self._keys, found[1]))
