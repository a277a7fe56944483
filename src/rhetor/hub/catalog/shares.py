"""Shares of sessions: who besides its owner may read a session, send to it, and approve in it.

They are in memory, because each message to another owner's session reads them, and rows of the catalog.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rhetor.domain.principal import APPROVE, READ, SEND
from rhetor.store.base import Catalog, Row

KIND, OPEN = "share", "open"
SHAREABLE = (READ, SEND, APPROVE)
MAX_ROWS = 100_000


class Share(Struct, frozen=True, gc=False):
    """What `subject` may do in a session of another owner. `scopes`: among `SHAREABLE`; `read` is always one
    of them. `at`: Unix time in milliseconds."""

    session_id: str
    subject: str
    scopes: tuple[str, ...]
    at: int

    def row(self) -> Row:
        """Return the catalog row. Its owner is the one with whom the session is shared."""
        doc = msgspec.json.encode(self)
        return Row(KIND, row_id(self), OPEN, doc, owner=self.subject, parent=self.session_id, at=self.at)


def share_of(row: Row) -> Share:
    return msgspec.json.decode(row.doc, type=Share)


class Shares:
    """The shares that exist now."""

    def __init__(self) -> None:
        self._of_session: dict[str, dict[str, Share]] = {}
        self._with_subject: dict[str, dict[str, Share]] = {}

    async def load(self, catalog: Catalog) -> None:
        """Read all shares from the catalog. Call it once."""
        for row in await catalog.find(KIND, limit=MAX_ROWS):
            self.put(share_of(row))

    def find(self, id: str) -> Share | None:
        """Return the share whose row has this id, if there is one."""
        session_id, _, subject = id.partition("/")
        return self._of_session.get(session_id, {}).get(subject)

    @property
    def ids(self) -> list[str]:
        """The ids of the rows of all shares."""
        return [row_id(share) for shares in self._of_session.values() for share in shares.values()]

    def allows(self, session_id: str, subject: str, scope: str) -> bool:
        """Return whether the session is shared with the subject for what needs `scope`."""
        share = self._with_subject.get(subject, {}).get(session_id)
        return share is not None and scope in share.scopes

    def of_session(self, session_id: str) -> Sequence[Share]:
        """Return the shares of a session, the oldest first."""
        return sorted(self._of_session.get(session_id, {}).values(), key=lambda share: share.at)

    def with_subject(self, subject: str, scope: str = READ) -> Sequence[Share]:
        """Return the shares of other owners' sessions with a subject that have `scope`."""
        return [share for share in self._with_subject.get(subject, {}).values() if scope in share.scopes]

    def put(self, share: Share) -> None:
        self._of_session.setdefault(share.session_id, {})[share.subject] = share
        self._with_subject.setdefault(share.subject, {})[share.session_id] = share

    def remove(self, session_id: str, subject: str) -> Share | None:
        """Remove a share, and return it; None if there is none."""
        share = self._of_session.get(session_id, {}).pop(subject, None)
        self._with_subject.get(subject, {}).pop(session_id, None)
        for table, key in ((self._of_session, session_id), (self._with_subject, subject)):
            if not table.get(key, True):
                del table[key]
        return share


def row_id(share: Share) -> str:
    return f"{share.session_id}/{share.subject}"
