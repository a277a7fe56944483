"""Adopts the programs of an earlier hub, and records the end of those that have ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit
from rhetor.domain.turn import TurnState
from rhetor.drivers.base import SavedState
from rhetor.errors import RhetorError, TurnFailure
from rhetor.hub.catalog.programs import HUB_STREAM, ProgramRow, end_event, memory_of
from rhetor.hub.catalog.requests import open_requests_of
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.nodes import is_own
from rhetor.store.base import Draft, Row

from .instances import add_instance, forget, status_changed
from .lifecycle import is_configured, keep_until_ended

if TYPE_CHECKING:
    from rhetor.hub.state import State


RUNNING = "running"
END_SECONDS = 10.0
log = logging.getLogger(__name__)


async def register(state: State) -> None:
    """Add the peers whose programs were announced to an earlier hub, or to another node. Call it before any
    peer is looked up."""
    for row in await state.store.find("program", state=RUNNING, limit=10_000):
        entry = ProgramRow.of(row)
        if entry.announced and is_elsewhere(state, entry):
            mirror(state, row.id, row)
        elif entry.announced:
            state.peers.put(entry.peer, entry.owner)


def is_elsewhere(state: State, entry: ProgramRow) -> bool:
    """Return whether a program belongs to another node."""
    return entry.node not in ("", state.nodes.own)


def mirror(state: State, id: str, row: Row | None) -> None:
    """Use the row of a program of another node as it is stored. None: it was dropped."""
    if row is None:
        state.peers.remove_elsewhere(id)
        return
    entry = ProgramRow.of(row)
    if not is_elsewhere(state, entry):
        return
    if row.state != RUNNING:
        state.peers.end_elsewhere(id)
        mirror_ended(state)
    elif entry.announced and not state.peers.put_elsewhere(entry.peer, entry.owner, entry.node, id):
        log.warning("program of another node hidden by a peer", extra={"peer": entry.peer.name})
    state.live.peer_changed(entry.peer.name)
    state.notifier.notify()


def ended_here(state: State) -> dict[str, tuple[Peer, str]]:
    """Return the peers that were announced at this node and whose programs have ended, with their owners."""
    peers = state.peers
    own = [name for name in state.gone if peers.is_announced(name) and not peers.node_of(name)]
    return {name: (peers.get(name), peers.owner_of(name)) for name in own}


def mirror_ended(state: State) -> None:
    """Keep the peers of other nodes whose programs have ended, as long as those nodes do."""
    boards = state.elsewhere.boards
    for name, node in state.peers.ended_elsewhere:
        board = boards.get(node)
        is_outdated = board is not None and any(program.peer == name for program in board.programs)
        if not is_outdated and (board is None or name not in board.ended):
            state.peers.remove(name)
    for node, board in boards.items():
        for peer, owner in board.ended.values():
            if not state.peers.has(peer.name):
                state.peers.put_elsewhere(peer, owner, node, "")


async def adopt(state: State) -> None:
    """Reconnect to the programs that an earlier hub started, and record the end of those that have ended."""
    # the session of a program belongs to its node, until another one takes over and records that it is lost
    found = [entry for entry in await _running(state) if await is_own(state.nodes, entry.session_id)]
    # all at the same time, because each may have to wait for a host that does not answer
    await asyncio.gather(*(_adopt(state, entry) for entry in found))


async def take_over_programs(state: State, node: str, streams: Collection[str]) -> Collection[str]:
    """Record that the programs of a lost node, which write into these streams, are lost. Return the names of
    the announced ones, because nobody can start them again. Those on machines that have joined still run, and
    may be reached by this node."""
    rows = await _running(state)
    found = [entry for entry in rows if entry.node == node or entry.session_id in streams]
    lost = [entry for entry in found if not entry.peer.machine]
    for entry in lost:
        if entry.announced:
            state.peers.put(entry.peer, entry.owner)  # shown as gone
        await _record_end(state, entry, Exit(lost=f"the node {node} was lost"))
    for entry in found:
        if entry.peer.machine and entry.key not in state.instances:
            taken = replace(entry, node=state.nodes.own)
            await state.store.commit(HUB_STREAM, [], rows=[taken.row(RUNNING)])
            await _adopt(state, taken)
    return {entry.peer.name for entry in lost if entry.announced}


async def end_lost(state: State, host_ids: Iterable[str]) -> None:
    """End those of these programs on this machine that are lost according to the log: another node had taken
    over, while they ran on without a hub."""
    for host_id in host_ids:
        row = await state.store.get("program", host_id)
        if row is not None and row.state == "lost":
            try:
                await _end(state, ProgramRow.of(row))
            except (RhetorError, TimeoutError) as error:
                log.warning("ending a lost program failed", extra={"host": host_id, "reason": str(error)})


async def _end(state: State, entry: ProgramRow) -> None:
    driver = state.program_drivers.get(entry.peer.driver)
    if driver is None:
        return
    found = await driver.find(entry.peer, entry.host_id, SavedState(0), lambda running: None)
    if not isinstance(found, Exit):
        log.info("lost program ended", extra={"peer": entry.peer.name})
        try:
            async with asyncio.timeout(END_SECONDS):
                await found.end(force=True)
        finally:
            await found.aclose()
    forget(state, entry)


async def _running(state: State) -> list[ProgramRow]:
    return [ProgramRow.of(row) for row in await state.store.find("program", state=RUNNING, limit=10_000)]


async def _adopt(state: State, entry: ProgramRow) -> None:
    driver = state.program_drivers.get(entry.peer.driver)
    entry, found = _with_current_rules(state, entry), None
    if driver is not None:
        if entry.key_digest:
            state.program_keys.put(entry.key_digest, entry.peer.name)
        saved = await _saved_state(state, entry)
        try:
            found = await driver.find(entry.peer, entry.host_id, saved, lambda r: status_changed(state, r))
        except TurnFailure as error:  # no program keeps the hub from starting
            found = Exit(lost=error.detail)
    if found is None or isinstance(found, Exit):
        await _record_end(state, entry, found or Exit(lost="its driver is no longer configured"))
    else:
        add_instance(state, entry, found)
        keep_until_ended(state, entry.peer)


def _with_current_rules(state: State, entry: ProgramRow) -> ProgramRow:
    """Return the row with the permission rules of this hub's configuration instead of the earlier hub's."""
    if not is_configured(state, entry.peer.name):
        return entry
    rules = state.peers.get(entry.peer.name).permissions
    return replace(entry, peer=replace(entry.peer, permissions=rules))


def source_of(host_id: str) -> str:
    """Return the name under which the store keeps the offset in a program's spool."""
    return f"host:{host_id}"


async def _record_end(state: State, entry: ProgramRow, ended: Exit) -> None:
    name = entry.peer.name
    state.program_keys.end(entry.key_digest)
    end, rows = end_event(name, ended), [entry.ended(ended)]
    await state.store.commit(entry.session_id, [Draft(end)], rows=rows)
    state.gone[name] = (ended, state.ids.now())
    await state.store.commit(HUB_STREAM, [Draft(end)])
    if entry.peer.driver in state.program_drivers:
        forget(state, entry)


async def _saved_state(state: State, entry: ProgramRow) -> SavedState:
    """Return the state that an earlier hub saved for a program, including the open permission requests of
    the running turn in its session."""
    offset = await state.store.offset(source_of(entry.host_id))
    memory = await memory_of(state.store, entry.key)
    for row in await state.store.find("turn", state=TurnState.RUNNING, parent=entry.session_id):
        if TurnRow.of(row).peer != entry.peer.name:
            continue  # another peer answers it
        details = {
            request.id: request.data.get("detail")
            for request in await open_requests_of(state.store, entry.session_id, row.id)
            if request.kind == "permission"
        }
        return SavedState(offset, memory, True, details)
    return SavedState(offset, memory)
