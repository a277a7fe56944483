"""Decides which messages a reader wants: by the row of their turn, and by the turn's model."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from rhetor.domain.event import TurnStarted, UsageReported
from rhetor.store.base import Among
from rhetor.store.encoding import decode
from rhetor.store.messages import is_model, model_of, peer_of
from rhetor.store.sealed import Sealing

_LATER = 10_000  # events after a question without an answer among which its turn's are looked for


class Chooser:
    """Chooses among the messages that a query finds.

    The query selects from `t`, a table of texts, and `i`, their incarnations. `join` and `where` are parts of
    it, and `values` are those of its parameters. With `r.doc` of each message, `wants` decides what the query
    cannot: what is sealed, and the model.
    """

    def __init__(self, connection: sqlite3.Connection, sealing: Sealing, among: Among) -> None:
        self._connection = connection
        self._sealing = sealing
        self._among = among
        self.join = "LEFT JOIN rows r ON r.kind = 'turn' AND r.id = t.turn_id"
        conditions = {
            "t.at >= :since": among.since is not None,
            "i.stream IN (SELECT value FROM json_each(:streams))": among.streams is not None,
            "r.owner = :owner": among.owner is not None,
            "json_extract(CAST(r.doc AS TEXT), '$.peer') = :peer": self._compares_in_sql,
        }
        self.where = "".join(f" AND {condition}" for condition, holds in conditions.items() if holds)
        self.values: dict[str, Any] = {
            "since": among.since,
            "streams": json.dumps(among.streams),
            "owner": among.owner,
            "peer": among.peer,
        }

    @property
    def _compares_in_sql(self) -> bool:
        return self._among.peer is not None and not self._sealing.may_be_sealed

    def wants(self, inc: int, origin: str, turn_id: str, doc: bytes | None) -> bool:
        """Whether a message is wanted that the query found. `inc`, `origin`: of its incarnation."""
        among = self._among
        if among.peer is not None and not self._compares_in_sql and among.peer != self.peer(turn_id, doc):
            return False
        return among.model is None or is_model(self.model(inc, origin, turn_id), among.model)

    def peer(self, turn_id: str, doc: bytes | None) -> str:
        """Return the peer in the document of a turn's row; empty if there is none."""
        return "" if doc is None else peer_of(self._sealing.opened_doc("turn", turn_id, doc))

    def model(self, inc: int, origin: str, turn_id: str) -> str | None:
        """Return the model that answered a turn; None if no event names one."""
        query = "SELECT min(seq), max(seq), count(*) FROM texts WHERE inc = ? AND turn_id = ?"
        first, last, messages = self._connection.execute(query, (inc, turn_id)).fetchone()
        last = last if messages > 1 else last + _LATER
        events = self._connection.execute(
            "SELECT seq, type, data FROM events WHERE inc = ? AND seq BETWEEN ? AND ? AND turn_id = ?"
            " AND type IN (?, ?) ORDER BY seq",
            (inc, first, last, turn_id, TurnStarted.type, UsageReported.type),
        )
        opened = ((kind, self._sealing.opened_event(origin, seq, data)) for seq, kind, data in events)
        return model_of(decode(kind, data) for kind, data in opened)
