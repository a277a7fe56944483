"""Finishes the restores that an earlier hub began."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.errors import NotFound, RhetorError
from rhetor.store.base import parse_cursor
from rhetor.store.files.base import DamagedObject, Journal, Obstructed

from .checkpoints import Place, place_of
from .restored_files import Note, settle
from .restores import begin_epoch, recalled_agent
from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


async def finish_restores(state: State) -> None:
    """Finish the restores of files that an earlier hub did not, and commit them. One that fails is logged and
    tried again by the next hub."""
    await _finish_all(state, state.files.unfinished())


async def finish_restores_on(state: State, machine: str) -> None:
    """Do the same for the restores on a machine that is connected again."""
    try:
        journals = await asyncio.to_thread(state.files.unfinished_on, machine)
    except OSError as error:
        log.warning("its unfinished restores are unknown", extra={"machine": machine, "reason": str(error)})
        return
    for journal in journals:
        async with state.exclusively(f"folder {os.fsdecode(journal.folder)}"):
            await _finish_all(state, [journal])


async def _finish_all(state: State, journals: Sequence[Journal]) -> None:
    for journal in journals:
        try:
            note = msgspec.json.decode(journal.note, type=Note)
            await _finish(state, note, journal)
        except (RhetorError, DamagedObject, Obstructed, OSError, msgspec.DecodeError) as error:
            folder = os.fsdecode(journal.folder)
            log.error("a restore cannot be finished", extra={"folder": folder, "reason": str(error)})


async def _finish(state: State, note: Note, journal: Journal) -> None:
    finished = await asyncio.to_thread(lambda: state.files().finish(journal))
    owner = Principal(note.owner)
    session = await owned_session(state, owner, note.session_id)
    if session.takes_messages and session.restore != journal.number and not finished.undone:
        place = await _noted_place(state, session, note)
        agent = await recalled_agent(state, session, place)
        await begin_epoch(state, session, place, agent, journal.number)
    await settle(state, owner, session.id, finished)
    done = "a restore of files was undone" if finished.undone else "a restore of files was finished"
    log.warning(done, extra={"folder": os.fsdecode(journal.folder)})


async def _noted_place(state: State, session: Session, note: Note) -> Place:
    try:
        return await place_of(state, session, note.checkpoint)
    except NotFound:
        if not note.cursor:  # of an older hub
            raise
        return Place(parse_cursor(note.cursor), None)
