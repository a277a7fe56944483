"""The checkpoints that the hub makes before each turn, with `checkpoints.mode: per_turn`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET

from rhetor.domain.event import CheckpointFailed, Position
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.snapshot import LeftOut
from rhetor.errors import INTERNAL_HINT, RhetorError
from rhetor.hub.catalog.checkpoints import KIND, CheckpointRow, KeptFiles, checkpoint_of
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.core.commits import commit_until_accepted
from rhetor.store.base import Draft, parse_cursor

from .checkpoint_limits import apply_limits
from .checkpoints import make
from .session_files import folder_of, kept_files

if TYPE_CHECKING:
    from rhetor.hub.state import State

EXCERPT = 40  # characters of the message in the checkpoint's name
MOST_NAMED = 50  # files that the event names
log = logging.getLogger(__name__)


async def before_turn(state: State, session: Session, turn_id: str, at: Position, content: str) -> None:
    """Make a checkpoint of a session that has a folder, unless nothing has changed since its last one. `at`:
    the position before the turn. `content`: the turn's message.

    If that fails, the turn runs all the same: its log says that it has no checkpoint.
    """
    made = None
    try:
        folder = await folder_of(state, session)
        if folder is not None:
            made = await _checkpoint(state, session, folder, turn_id, at, content)
    except RhetorError as error:
        await _tell(state, session, turn_id, error.code, error.detail, str(error.data.get("hint") or ""))
    except Exception as error:  # whatever it is, it must not keep the turn from running
        log.exception("making a checkpoint failed", extra={"session": session.id, "turn": turn_id})
        await _tell(state, session, turn_id, "internal", f"{type(error).__name__}: {error}", INTERNAL_HINT)
    if made is not None:
        await _apply_limits(state, made, turn_id)


async def _apply_limits(state: State, made: CheckpointRow, turn_id: str) -> None:
    try:
        await apply_limits(state, made, turn_id)
    except Exception:  # as above; the limits are applied again before the next turn
        log.exception("limiting checkpoints failed", extra={"session": made.session_id})


async def _checkpoint(
    state: State, session: Session, folder: Path, turn_id: str, at: Position, content: str
) -> CheckpointRow | None:
    files = await kept_files(state, folder)
    assert files is not None
    last = await _last(state, session.id)
    if last is not None and await _is_same(state, session, last, files, at):
        return None
    return await make(
        state,
        Principal(session.owner),
        session.id,
        f"before: {_excerpt(content)}",
        files=files,
        at=at,
        turn_id=turn_id,
        left_out=_new(files, last),
        automatic=True,
    )


async def _last(state: State, session_id: str) -> CheckpointRow | None:
    """Return the checkpoint from which the session continues."""
    session = await state.store.get("session", session_id)
    id = session_of(session).checkpoint if session else None
    row = await state.store.get(KIND, id) if id else None
    return checkpoint_of(row) if row else None


async def _is_same(
    state: State, session: Session, last: CheckpointRow, files: KeptFiles, at: Position
) -> bool:
    """Whether neither the files nor the conversation have changed since the checkpoint: only the event of the
    checkpoint itself, or of its restore, follows its position."""
    if last.files is None or last.files.root != files.root:
        return False
    marked = parse_cursor(last.cursor)
    if marked.epoch == at.epoch:
        return at.seq <= marked.seq + 1
    head = await state.store.head(session.id)
    return head is not None and head.base == (last.session_id, marked) and at.seq <= 1


def _new(files: KeptFiles, last: CheckpointRow | None) -> tuple[LeftOut, ...]:
    known = {left.path for left in last.files.left_out} if last and last.files else set()
    return tuple(left for left in files.left_out if left.path not in known)[:MOST_NAMED]


def _excerpt(content: str) -> str:
    line = " ".join(content.split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


async def _tell(state: State, session: Session, turn_id: str, code: str, detail: str, hint: str) -> None:
    log.warning(
        "no checkpoint before a turn", extra={"session": session.id, "turn": turn_id, "reason": detail}
    )
    failed = CheckpointFailed(code, detail, hint or UNSET)
    await commit_until_accepted(state.store, session.id, [Draft(failed, turn_id)])
