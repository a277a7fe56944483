"""Checkpoints as catalog rows."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import asdict

from rhetor.domain.snapshot import LeftOut, Snapshot
from rhetor.store.base import Row

KIND = "checkpoint"


class KeptFiles(Struct, frozen=True, gc=False, kw_only=True):
    """The files of a checkpoint. `root`: the id of their snapshot. `bytes`: their size in total."""

    folder: str
    root: str
    files: int
    bytes: int
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, folder: str, snapshot: Snapshot) -> KeptFiles:
        return cls(
            folder=folder,
            root=snapshot.root.hex(),
            files=snapshot.files,
            bytes=snapshot.bytes,
            left_out=snapshot.left_out,
        )


class _Doc(Struct, frozen=True, gc=False, kw_only=True):
    name: str
    cursor: str
    parent: str | None = None
    automatic: bool = False
    files: KeptFiles | None = None
    memory: dict[str, Any] | None = None
    heard: dict[str, str] = field(default_factory=dict)


class CheckpointRow(_Doc, frozen=True, gc=False, kw_only=True):
    """A checkpoint.

    `cursor`: the position that it marks. `at`: Unix time in milliseconds. `parent`: the id of the checkpoint
    from which its session continued. `automatic`: the hub made it by itself. `files`: of the session's
    folder; None if it has none. `memory`: that of the session's agent at the position; None if there is no
    agent, or if it is not known. `heard`: that of the session.
    """

    id: str
    session_id: str
    owner: str
    at: int

    @property
    def is_named(self) -> bool:
        """Whether a person gave it a name. Limits do not remove it."""
        return not self.automatic and self.name != self.id

    def row(self) -> Row:
        """Return its catalog row."""
        doc = msgspec.json.encode(self)
        return Row(KIND, self.id, "made", doc, owner=self.owner, parent=self.session_id, at=self.at)


def checkpoint_of(row: Row) -> CheckpointRow:
    """Decode a catalog row. Rows of older hubs have the name and the cursor only."""
    doc = asdict(msgspec.json.decode(row.doc, type=_Doc))
    return CheckpointRow(id=row.id, session_id=row.parent, owner=row.owner, at=row.at, **doc)
