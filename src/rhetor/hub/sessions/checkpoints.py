"""Checkpoints: named positions of a session, with the files of its folder, and how two of them differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, field
from msgspec.structs import replace

from rhetor.domain.command import MakeCheckpoint
from rhetor.domain.event import CheckpointMade, Position
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.snapshot import Change, LeftOut
from rhetor.errors import NotFound, Unprocessable
from rhetor.hub.catalog.checkpoints import KIND, CheckpointRow, KeptFiles, checkpoint_of
from rhetor.hub.catalog.sessions import session_row, unchanged
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.commits import until_unchanged
from rhetor.store.base import Draft, Head, Spoken, parse_cursor, require_position

from .agent_memory import remembered
from .checkpoint_limits import ALL, Applied, apply_limits, of_session
from .session_files import differences, folder_of, kept_files
from .states import owned_session, readable_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


_BEFORE_MESSAGES = re.compile("-([1-9][0-9]{0,3})")


class Place(Struct, frozen=True):
    """A position of a session, and the checkpoint that marks it, if there is one. `is_end`: it is the end of
    the log. `heard`: that of the session there."""

    position: Position
    checkpoint: CheckpointRow | None
    is_end: bool = False
    heard: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> KeptFiles | None:
        """The files of the checkpoint."""
        return self.checkpoint.files if self.checkpoint else None

    @property
    def memory(self) -> dict[str, Any] | None:
        """The memory of the session's agent there; None if it is not known."""
        return self.checkpoint.memory if self.checkpoint else None


class MessageChanges(Struct, frozen=True):
    """The messages that only the old or only the new branch of a conversation has, in order."""

    removed: Sequence[Spoken] = ()
    added: Sequence[Spoken] = ()


class Difference(Struct, frozen=True):
    """How two checkpoints differ. `files`: None if one of them has none. `cursors`: their positions."""

    files: Sequence[Change] | None
    cursors: tuple[str, str]
    messages: MessageChanges


class Made(Struct, frozen=True):
    """A new checkpoint, and what limits removed because of it."""

    checkpoint: CheckpointRow
    applied: Applied = Applied()


async def checkpoint(state: State, principal: Principal, command: MakeCheckpoint) -> Made:
    """Name a position of the session: the command's cursor, or the end of the log if there is none. At the
    end, the checkpoint also has the files of the session's folder.

    Raises:
        NotFound: the caller has no such session.
        MalformedCursor: the cursor cannot be parsed.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        Unprocessable: the folder cannot be read.
    """
    session = await owned_session(state, principal, command.session_id)
    if command.cursor is not None:
        at = await position_at(state, session.id, command.cursor)
        return Made(await make(state, principal, session.id, command.name, at=at))
    files = await kept_files(state, await folder_of(state, session))
    made = await make(state, principal, session.id, command.name, files=files)
    return Made(made, await apply_limits(state, made))


async def make(
    state: State,
    principal: Principal,
    session_id: str,
    name: str,
    *,
    files: KeptFiles | None = None,
    at: Position | None = None,
    turn_id: str | None = None,
    left_out: tuple[LeftOut, ...] = (),
    automatic: bool = False,
) -> CheckpointRow:
    """Commit a checkpoint of the session. `at`: the position that it marks; the end of the log if it is None.
    `turn_id`: the turn before which it is made. `left_out`: what its event names.

    The session continues from it, unless it is made for an earlier position that was given.
    """

    async def attempt() -> CheckpointRow:
        session = await owned_session(state, principal, session_id)
        position = at or await position_at(state, session.id, None)
        memory = None if at and not turn_id else await remembered(state, session, before_turn=bool(turn_id))
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
            memory=memory,
            heard=session.heard,
        )
        rows, expects = [row.row()], []
        if (at is None or turn_id) and session.takes_messages:
            rows.append(session_row(replace(session, checkpoint=id)))
            expects.append(unchanged(session))
        made = CheckpointMade(id, row.name, f"{session.id}@{position}", left_out or UNSET)
        await state.store.commit(session.id, [Draft(made, turn_id)], rows=rows, expects=expects)
        return row

    return await until_unchanged(attempt)


async def checkpoints(state: State, principal: Principal, session_id: str) -> Sequence[CheckpointRow]:
    """Return the session's checkpoints, oldest first.

    Raises:
        NotFound: the caller has no such session.
    """
    session = await readable_session(state, principal, session_id)
    return await of_session(state, session.id)


async def timeline(state: State, principal: Principal, session_id: str) -> dict[str, Any]:
    """Return the session's checkpoints as a tree: `{current, checkpoints}`. The `parent` of a checkpoint is
    the one from which the session continued; `current` is the one from which it continues now.

    Raises:
        NotFound: the caller has no such session.
    """
    session = await readable_session(state, principal, session_id)
    found = await of_session(state, session.id)
    return {"current": session.checkpoint, "checkpoints": found}


async def message_changes(
    state: State, old: tuple[str, Position], new: tuple[str, Position]
) -> MessageChanges:
    """Return how the conversation of a session up to a position differs from that up to another one, which
    may be of another session, such as a fork."""
    before, after = [
        last_answers(await state.store.spoken(session_id, ALL, answered=False, until=position))
        for session_id, position in (old, new)
    ]
    known, found = [{_identity(spoken) for spoken in branch} for branch in (before, after)]
    return MessageChanges(
        [spoken for spoken in before if _identity(spoken) not in found],
        [spoken for spoken in after if _identity(spoken) not in known],
    )


def _identity(spoken: Spoken) -> tuple[str, str, int, str]:
    return spoken.turn_id, spoken.role, spoken.at, spoken.content


def last_answers(messages: Sequence[Spoken]) -> list[Spoken]:
    """Return the messages; if late text was added to an answer, the last state of it in the first one's
    place."""
    found: dict[object, Spoken] = {}
    for number, spoken in enumerate(messages):
        key = (spoken.turn_id, spoken.role) if spoken.turn_id else number
        first = found.get(key, spoken)
        found[key] = replace(spoken, at=first.at)
    return list(found.values())


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
    old_place, new_place = [(row.session_id, parse_cursor(row.cursor)) for row in (before, after)]
    messages = await message_changes(state, old_place, new_place)
    return Difference(files, (before.cursor, after.cursor), messages)


async def owned_checkpoint(state: State, principal: Principal, id: str) -> CheckpointRow:
    """Return the caller's checkpoint.

    Raises:
        NotFound: the caller has no such checkpoint.
    """
    row = await state.store.get(KIND, id)
    if row is not None:
        found = checkpoint_of(row)
        with suppress(NotFound):  # its session is that of another owner
            await readable_session(state, principal, found.session_id)
            return found
    raise NotFound(KIND, id)


async def place_of(state: State, session: Session, at: str | None) -> Place:
    """Return the place of a checkpoint (by id or name), of a cursor, or before the last messages: `-1` is the
    place before the last message. It is the end of the log if `at` is None.

    Raises:
        NotFound: `at` is neither a checkpoint of the session nor a cursor, or there are not so many messages.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        Unprocessable: several checkpoints have the name.
    """
    found = await of_session(state, session.id)
    named = [c for c in found if at is not None and at == c.id] or [c for c in found if at == c.name]
    if len(named) > 1:
        ids = ", ".join(c.id for c in named)
        raise Unprocessable(f"several checkpoints have the name {at!r}; use an id: {ids}")
    if named:
        return Place(parse_cursor(named[0].cursor), named[0], heard=named[0].heard)
    if at is not None and (before := _BEFORE_MESSAGES.fullmatch(at)):
        return await _before_messages(state, session, int(before[1]), found)
    if at is not None and Position.parse(at) is None:
        raise NotFound(KIND, at)
    end = await position_at(state, session.id, None)
    position = await position_at(state, session.id, at)
    return Place(position, None, position == end, session.heard)


async def _before_messages(
    state: State, session: Session, count: int, made: Sequence[CheckpointRow]
) -> Place:
    """Return the place before the last `count` messages to the peer. If a checkpoint was made there, before
    the turn, the place has its files."""
    spoken = await state.store.spoken(session.id, ALL, answered=False)
    asked = [each for each in spoken if each.role == "user"]
    row = await state.store.get("turn", asked[-count].turn_id) if count <= len(asked) else None
    if row is None or row.parent != session.id:
        raise NotFound("message", f"-{count}")
    # the first event of a session is not one of its messages
    position = Position(asked[-count].epoch, max(TurnRow.of(row).behind, 1))
    here = [checkpoint for checkpoint in made if _is_before(checkpoint, position)]
    heard = here[-1].heard if here else session.heard
    return Place(position, here[-1] if here else None, heard=heard)


def _is_before(checkpoint: CheckpointRow, position: Position) -> bool:
    """Whether the checkpoint was made there: only the event of the checkpoint itself may lie between."""
    marked = parse_cursor(checkpoint.cursor)
    made_there = marked.epoch == position.epoch and marked.seq == position.seq - 1
    return marked == position or (made_there and checkpoint.files is not None)


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
