"""What an API has stored with a turn, as catalog rows."""

from __future__ import annotations

import msgspec

from rhetor.domain.given import KeptWithTurn
from rhetor.store.base import Blobs, Row

KIND = "response"  # the ids of these rows are those of the turns
STORED = "stored"


class _Doc(msgspec.Struct, frozen=True):
    """`shared`: the id of a blob; empty if there is none."""

    shared: str
    own: dict[str, object]


def response_row(kept: KeptWithTurn, shared: str, turn_id: str, session_id: str, owner: str, at: int) -> Row:
    """Return the row for a turn. `shared`: the id of the blob with what is stored once; empty if there is
    nothing of that kind."""
    doc = msgspec.json.encode(_Doc(shared, kept.own))
    return Row(KIND, turn_id, STORED, doc, owner=owner, parent=session_id, at=at)


async def kept_in(blobs: Blobs, row: Row) -> KeptWithTurn:
    """Return what was stored with a turn.

    Raises:
        NotFound: a part of it is no longer stored.
    """
    doc = msgspec.json.decode(row.doc, type=_Doc)
    shared = msgspec.json.decode(await blobs.read(doc.shared)) if doc.shared else {}
    return KeptWithTurn(shared, doc.own)
