"""Which values in the tables are sealed, and for which places.

With `encryption.at_rest`, these are the payloads of events, messages, the documents of rows, and the results
of idempotency keys; the keys' fingerprints are replaced by digests that need a key. Documents with
credentials are always sealed. Ids, kinds, types, states, names and times are not.
"""

from __future__ import annotations

from typing import Any, TypeVar

from rhetor.errors import KeysUnavailable, SealBroken
from rhetor.sealing.envelope import ID_END, MARK, is_sealed
from rhetor.sealing.ring import DIGEST, Ring

from .base import CREDENTIALS

T = TypeVar("T")
MIXED, ALL = 1, 2  # values of 'sealed' in the table meta; 0: only credentials are sealed


def of_event(origin: str, seq: int) -> bytes:
    """Return the place for which an event is sealed. `origin`: of its incarnation."""
    return f"events.data\0{origin}\0{seq}".encode()


def of_text(origin: str, seq: int) -> bytes:
    return f"texts.content\0{origin}\0{seq}".encode()


def of_row(kind: str, id: str) -> bytes:
    return f"rows.doc\0{len(kind)}\0{kind}{id}".encode()


def of_key(scope: str, key: str) -> bytes:
    return f"keys.result\0{len(scope)}\0{scope}{key}".encode()


class Sealing:
    """Seals values before they are written, and opens them after they were read.

    `at_rest`: whether content is sealed when it is written. `follows`: `at_rest` becomes what the database
    says. `may_be_sealed`: whether stored content may be sealed. `must_be_sealed`: whether all of it is, so
    that a plain value was put there by somebody else. `credentials_are_sealed`: the same for documents with
    credentials.
    """

    def __init__(self, ring: Ring | None = None, *, at_rest: bool | None = False) -> None:
        self.ring = ring
        self.follows = at_rest is None
        self.at_rest = bool(at_rest)
        self.may_be_sealed = self.at_rest
        self.must_be_sealed = False
        self.credentials_are_sealed = False
        self.new_keys: set[bytes] = set()  # with which values were sealed, but which the table lacks
        self._noted: bytes | None = None

    def seal(self, content: bytes, about: bytes) -> bytes:
        """Seal content in the writer's thread. The id of its key must be stored in the same transaction."""
        assert self.ring is not None
        sealed = self.ring.seal(content, about)
        if sealed[1:ID_END] != self._noted:
            self.new_keys.add(sealed[1:ID_END])
        return sealed

    def note(self) -> None:
        """Call this when `new_keys` are durable in the table."""
        if self.new_keys:
            self._noted = next(iter(self.new_keys)) if len(self.new_keys) == 1 else None
            self.new_keys.clear()

    # what is written

    def event(self, origin: str, seq: int, data: bytes) -> bytes:
        return self.seal(data, of_event(origin, seq)) if self.at_rest else data

    def text(self, origin: str, seq: int, content: str) -> str | bytes:
        return self.seal(content.encode(), of_text(origin, seq)) if self.at_rest else content

    def doc(self, kind: str, id: str, doc: bytes) -> bytes:
        is_due = self.at_rest or (kind in CREDENTIALS and self.ring is not None)
        return self.seal(doc, of_row(kind, id)) if is_due else doc

    def result(self, scope: str, key: str, result: bytes) -> bytes:
        return self.seal(result, of_key(scope, key)) if self.at_rest else result

    def seals(self, kind: str) -> bool:
        """Whether documents of this kind of row are sealed when they are written."""
        return self.at_rest or (kind in CREDENTIALS and self.ring is not None)

    def fingerprint(self, fingerprint: str) -> str:
        """Return what is stored of a fingerprint: without the key, nobody can try texts until one fits."""
        if not self.at_rest or fingerprint.startswith(DIGEST):
            return fingerprint
        assert self.ring is not None
        return self.ring.digest(fingerprint)

    def is_fingerprint(self, stored: str, fingerprint: str) -> bool:
        """Whether this is the fingerprint that was stored."""
        if stored.startswith(DIGEST) and self.ring is not None:
            return stored == self.ring.digest(fingerprint)
        return stored == fingerprint

    # what was read

    def opened_event(self, origin: str, seq: int, data: bytes) -> bytes:
        """Return the payload of an event.

        Raises:
            SealBroken: it was changed, belongs elsewhere, or is not sealed although it must be.
            KeysUnavailable: there are no keys.
        """
        if data[:1] == MARK:
            return self.require_ring().open(data, of_event(origin, seq))
        return self._plain(data)

    def opened_text(self, origin: str, seq: int, content: Any) -> str:
        if is_sealed(content):
            return self.require_ring().open(content, of_text(origin, seq)).decode()
        text: str = self._plain(content)
        return text

    def opened_doc(self, kind: str, id: str, doc: bytes) -> bytes:
        if is_sealed(doc):
            return self.require_ring().open(doc, of_row(kind, id))
        return self._plain(doc, must_be_sealed=self.credentials_are_sealed and kind in CREDENTIALS)

    def opened_result(self, scope: str, key: str, result: bytes) -> bytes:
        return (
            self.require_ring().open(result, of_key(scope, key)) if is_sealed(result) else self._plain(result)
        )

    def _plain(self, value: T, *, must_be_sealed: bool = False) -> T:
        if must_be_sealed or self.must_be_sealed:
            raise SealBroken("a value is not sealed, although everything was sealed")
        return value

    def require_ring(self) -> Ring:
        """Return the ring.

        Raises:
            KeysUnavailable: there is none.
        """
        if self.ring is None:
            raise KeysUnavailable("the database has sealed content; name the state folder that has its keys")
        return self.ring
