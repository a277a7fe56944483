"""Removes sessions and plans that ended long ago, with everything that belongs to them: events, messages,
turns, requests, checkpoints, shares, and the rows of binary content. The sums of usage stay.

A session stays as long as another one continues from it, or if a person gave one of its checkpoints a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.errors import NotFound, StateConflict
from rhetor.hub.catalog import checkpoints, given, pauses, responses, shares
from rhetor.hub.catalog.requests import KINDS as REQUESTS
from rhetor.hub.catalog.sessions import ANSWERED
from rhetor.hub.sessions import blobs, import_conversation, sockets
from rhetor.hub.turns.attachments import ATTACHED
from rhetor.store.base import Row

from .team_turn import MEMBER

if TYPE_CHECKING:
    from rhetor.hub.state import State

OVER = {
    "session": ("stopped", "failed", "expired", ANSWERED),
    "plan": ("completed", "failed", "cancelled", "interrupted"),
}
# of the rows whose parent is the session or the plan
BELONGING = (
    *("turn", "standing", *REQUESTS, MEMBER),
    *(checkpoints.KIND, pauses.KIND, shares.KIND),
    *(given.KIND, given.CONTINUATION, responses.KIND),
    *(blobs.IN_SESSION, ATTACHED, sockets.READ_MARK, import_conversation.KIND),
)
MANY = 100_000
Place = tuple[str, str]


async def oldest(state: State) -> int | None:
    """Return when the first of those that have ended was last used; None if there is none."""
    found = [await state.store.find(kind, state=over, limit=1) for kind, over in OVER.items()]
    return min((rows[0].at for rows in found if rows), default=None)


async def remove_old(state: State, before: int) -> int:
    """Remove those of this node that ended and were last used before a time, in Unix milliseconds. Return
    their number."""
    removed = 0
    for kind, over in OVER.items():
        for row in await state.store.find(kind, state=over, limit=MANY):
            if row.at >= before:
                break
            if await state.owns(row.id):
                removed += await _remove(state, row)
    return removed


async def _remove(state: State, row: Row) -> bool:
    """Remove a session or a plan, unless it is still needed. Return whether it was removed."""
    if row.id in state.runners or row.id in state.plans or _has_program(state, row.id):
        return False
    belonging = [each for kind in BELONGING for each in await _children(state, kind, row.id)]
    made = [checkpoints.checkpoint_of(each) for each in belonging if each.kind == checkpoints.KIND]
    if any(checkpoint.is_named for checkpoint in made):
        return False
    others, kept = await _sockets(state, row.id), await _of_blobs(state, belonging)
    drop: list[Place] = [(each.kind, each.id) for each in (row, *belonging, *others, *kept)]
    expects = [row.unchanged, *(each.unchanged for each in kept)]
    try:
        removed = await state.store.forget(row.id, drop=drop, expects=expects)
    except (StateConflict, NotFound):
        return False  # it was changed meanwhile
    if removed:
        for share in state.shares.of_session(row.id):
            state.shares.remove(row.id, share.subject)
        state.upkeep.removed = state.upkeep.removed or any(each.files for each in made)
        await _discard(state, kept)
    return removed


def _has_program(state: State, session_id: str) -> bool:
    return any(instance.entry.session_id == session_id for instance in state.instances.values())


async def _children(state: State, kind: str, parent: str) -> Sequence[Row]:
    return await state.store.find(kind, parent=parent, limit=MANY)


async def _sockets(state: State, session_id: str) -> Sequence[Row]:
    """Return the rows of closed sockets whose last session it was."""
    return await state.store.find(sockets.KIND, state=session_id, limit=MANY)


async def _of_blobs(state: State, belonging: Sequence[Row]) -> list[Row]:
    """Return the rows of the owners' blobs that are in no other session."""
    places = [row for row in belonging if row.kind == blobs.IN_SESSION]
    lost = await blobs.only_here(state, places)
    found = [
        await state.store.get(blobs.KIND, f"{place.owner}/{place.id.rpartition('/')[2]}") for place in lost
    ]
    return [row for row in found if row is not None]


async def _discard(state: State, removed: Sequence[Row]) -> None:
    """Remove the contents that nobody has any more."""
    for row in removed:
        async with state.exclusively(blobs.LOCK):
            await blobs.discard(state, row.parent)
