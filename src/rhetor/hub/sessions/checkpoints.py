"""Checkpoints: named positions of a session, with the files of its folder, and how two of them differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.command import MakeCheckpoint, Principal
from rhetor.domain.event import CheckpointMade, Position
from rhetor.domain.session import Session
from rhetor.domain.snapshot import Change
from rhetor.errors import NotFound, Unprocessable
from rhetor.hub.catalog.checkpoints import KIND, CheckpointRow, KeptFiles, checkpoint_of
from rhetor.hub.catalog.sessions import session_row, unchanged
from rhetor.hub.core.commits import until_unchanged
from rhetor.store.base import Draft, Head, parse_cursor, require_position

from .session_files import differences, folder_of, kept_files
from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


class Place(Struct, frozen=True):
    """A position of a session, and the checkpoint that marks it, if there is one."""

    position: Position
    checkpoint: CheckpointRow | None


class Difference(Struct, frozen=True):
    """How two checkpoints differ. `files`: None if one of them has none. `cursors`: their positions."""

    files: Sequence[Change] | None
    cursors: tuple[str, str]


async def checkpoint(state: State, principal: Principal, command: MakeCheckpoint) -> CheckpointRow:
    """Name a position of the session: the command's cursor, or the end of the log if there is none. At the
    end, the checkpoint also has the files of the session's folder.

    Raises:
        NotFound: the caller has no such session.
        MalformedCursor: the cursor cannot be parsed.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        Unprocessable: the folder cannot be read.
    """
    session = await owned_session(state, principal, command.session_id)
    files = None
    if command.cursor is None:
        files = await kept_files(state, await folder_of(state, session))
    return await make(state, principal, session.id, command.name, files=files, cursor=command.cursor)


async def make(
    state: State,
    principal: Principal,
    session_id: str,
    name: str,
    *,
    files: KeptFiles | None = None,
    cursor: str | None = None,
    automatic: bool = False,
) -> CheckpointRow:
    """Commit a checkpoint of the session. The session continues from it, if it marks the end of the log."""

    async def attempt() -> CheckpointRow:
        session = await owned_session(state, principal, session_id)
        position = await position_at(state, session.id, cursor)
        id = state.ids.new("c")
        row = CheckpointRow(
            id=id,
            session_id=session.id,
            owner=session.owner,
            name=name or id,
            cursor=str(position),
            at=state.ids.now(),
            parent=session.checkpoint,
            automatic=automatic,
            files=files,
        )
        rows, expects = [row.row()], []
        if cursor is None and session.takes_messages:
            rows.append(session_row(replace(session, checkpoint=id)))
            expects.append(unchanged(session))
        made = CheckpointMade(id, row.name, f"{session.id}@{position}")
        await state.store.commit(session.id, [Draft(made)], rows=rows, expects=expects)
        return row

    return await until_unchanged(attempt)


async def checkpoints(state: State, principal: Principal, session_id: str) -> Sequence[CheckpointRow]:
    """Return the session's checkpoints, oldest first.

    Raises:
        NotFound: the caller has no such session.
    """
    session = await owned_session(state, principal, session_id)
    return await of_session(state, session.id)


async def of_session(state: State, session_id: str) -> Sequence[CheckpointRow]:
    rows = await state.store.find(KIND, parent=session_id, limit=10_000)
    return [checkpoint_of(row) for row in rows]


async def timeline(state: State, principal: Principal, session_id: str) -> dict[str, Any]:
    """Return the session's checkpoints as a tree: `{current, checkpoints}`. The `parent` of a checkpoint is
    the one from which the session continued; `current` is the one from which it continues now.

    Raises:
        NotFound: the caller has no such session.
    """
    session = await owned_session(state, principal, session_id)
    found = await of_session(state, session.id)
    return {"current": session.checkpoint, "checkpoints": found}


async def diff(state: State, principal: Principal, old: str, new: str) -> Difference:
    """Return how two checkpoints differ, given by their ids.

    Raises:
        NotFound: the caller has no such checkpoint.
        Unprocessable: the files of one of them are damaged.
    """
    before, after = [await owned_checkpoint(state, principal, id) for id in (old, new)]
    files = None
    if before.files is not None and after.files is not None:
        files = await differences(state, before.files.root, after.files.root)
    return Difference(files, (before.cursor, after.cursor))


async def owned_checkpoint(state: State, principal: Principal, id: str) -> CheckpointRow:
    """Return the caller's checkpoint.

    Raises:
        NotFound: the caller has no such checkpoint.
    """
    row = await state.store.get(KIND, id)
    if row is not None:
        found = checkpoint_of(row)
        await owned_session(state, principal, found.session_id)
        return found
    raise NotFound(KIND, id)


async def place_of(state: State, session: Session, at: str | None) -> Place:
    """Return the place of a checkpoint (by id or name) or of a cursor; the end of the log if `at` is None.

    Raises:
        NotFound: `at` is neither a checkpoint of the session nor a cursor.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        Unprocessable: several checkpoints have the name.
    """
    found = await of_session(state, session.id)
    named = [c for c in found if at is not None and at == c.id] or [c for c in found if at == c.name]
    if len(named) > 1:
        ids = ", ".join(c.id for c in named)
        raise Unprocessable(f"several checkpoints have the name {at!r}; use an id: {ids}")
    if named:
        return Place(parse_cursor(named[0].cursor), named[0])
    if at is not None and Position.parse(at) is None:
        raise NotFound(KIND, at)
    return Place(await position_at(state, session.id, at), None)


async def position_at(state: State, session_id: str, cursor: str | None) -> Position:
    """Return the position of a cursor; the end of the log if there is none.

    Raises:
        MalformedCursor: the cursor cannot be parsed.
        PositionLost: it is not a position of the session's log, or is no longer kept.
    """
    head = await state.store.head(session_id) or Head("", 0, 1)
    if cursor is None:
        return head.position
    position = parse_cursor(cursor)
    require_position(head, position)
    return position
