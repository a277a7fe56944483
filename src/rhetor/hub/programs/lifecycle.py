"""Programs as peers: started, found again after a restart, and ended."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.command import AnnounceProgram, EndProgram, LaunchTool, Principal
from rhetor.domain.event import SessionStateChanged
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Exit, Launch, Program
from rhetor.domain.rules import RESERVED
from rhetor.domain.session import Session
from rhetor.domain.turn import STARTED
from rhetor.drivers.base import SavedState
from rhetor.errors import (
    Malformed,
    NameTaken,
    NotRunning,
    UnknownPeer,
    Unprocessable,
)
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.programs import HUB_STREAM, ProgramRow, end_event, memory_of
from rhetor.hub.catalog.requests import requests_of
from rhetor.hub.catalog.sessions import (
    CWD,
    open_session,
    runs_at_caller,
    session_of,
    session_row,
    standing_id,
    standing_session,
)
from rhetor.hub.core.checks import NAME, require_person
from rhetor.store.base import Draft, Row

from .instances import forget, instances_of, noticed, take

if TYPE_CHECKING:
    from rhetor.hub.state import State

DRIVERS = {"terminal": "terminal", "stdio": "stdio"}
KINDS = {"terminal": PeerKind.TERMINAL, "stdio": PeerKind.TOOL}


async def announce(state: State, principal: Principal, command: AnnounceProgram) -> Peer:
    """Raises:
    Forbidden, Malformed, NameTaken, ProgramMissing, ProgramRefused: as they say; nothing runs then."""
    state.require_open()
    require_person(principal)
    peer = _announced(command)
    async with state.exclusively(peer.name):
        taken = peer.name in state.peers.teams or _is_configured(state, peer.name)
        if taken or instances_of(state, peer.name):
            raise NameTaken("peer", peer.name)
        if peer.name in RESERVED or peer.name in state.routing_table.terminals:
            raise NameTaken("command" if peer.name in RESERVED else "terminal", peer.name)
        session = await standing_session(state.store, state.ids, principal.subject, peer)
        await _start(state, peer, session, command.launch, announced=True)
        state.peers.put(peer)
    return peer


async def launch(state: State, principal: Principal, command: LaunchTool) -> Peer:
    """Raises:
    UnknownPeer, Unprocessable, ProgramMissing, ProgramRefused: as they say."""
    state.require_open()
    require_person(principal)
    peer = state.peers.get(command.name)
    cwd = command.cwd if principal.local else None
    if command.session is None:
        session = await standing_session(state.store, state.ids, principal.subject, peer, cwd)
    else:
        session = await _named_session(state, principal, peer, command.session, cwd)
    await instance_for(state, peer, principal.subject, session.id)
    return peer


async def end(state: State, principal: Principal, command: EndProgram) -> Exit:
    """Raises:
    UnknownPeer: there is none of that name.
    NotRunning: its program does not run."""
    require_person(principal)
    peer = state.peers.get(command.name)
    instances = instances_of(state, peer.name)
    configured = _is_configured(state, peer.name)
    if not instances and (configured or peer.name not in state.gone):
        raise NotRunning(peer.name)
    ended, _ = state.gone.get(peer.name, (Exit(), 0))
    await asyncio.gather(*(_end(instance) for instance in instances))
    if instances:
        ended = instances[-1].running.ended or Exit()
    if not configured:
        _forget(state, peer)
    return ended


def _forget(state: State, peer: Peer) -> None:
    """The peer goes with its program; one that was announced under its name meanwhile stays."""
    if state.peers.is_put(peer.name) and state.peers.get(peer.name) is peer:
        state.gone.pop(peer.name, None)
        state.peers.remove(peer.name)


async def _end(instance: ProgramInstance) -> None:
    await instance.running.end()
    await instance.left.wait()


async def _named_session(
    state: State, principal: Principal, peer: Peer, name: str, cwd: str | None
) -> Session:
    for row in await state.store.find("session", owner=principal.subject, name=name):
        if row.parent != peer.name:
            raise NameTaken("session", name)
        return session_of(row)
    session = open_session(
        state.ids, principal.subject, peer.name, context_window=0, ttl=None, name=name, cwd=cwd
    )
    drafts = [Draft(SessionStateChanged(session.state))]
    await state.store.commit(session.id, drafts, rows=[session_row(session)])
    return session


async def instance_for(
    state: State, peer: Peer, owner: str, session_id: str | None = None
) -> ProgramInstance:
    """The seat of a peer's program, which is started where it does not run and is known well enough. Of a
    peer that has a program for each conversation, that of the session; of the owner's standing one without.

    Raises:
        NotRunning: it does not, and only its owner can start it.
        ProgramMissing, ProgramRefused: it cannot be started.
    """
    if peer.program is None:
        raise Unprocessable(f"{peer.name} is no program", peer=peer.name)
    session = await _session(state, peer, owner, session_id)
    key = instance_key(state, peer, session.id)
    async with state.exclusively(key):
        instance = state.instances.get(key)
        if instance and instance.running.ended is not None and _is_configured(state, peer.name):
            await instance.left.wait()  # its end is being told; the message is for the next one
            instance = None
        if instance:
            return instance
        if not _is_configured(state, peer.name):
            raise NotRunning(peer.name)
        launch = state.launches(peer, session.metadata.get(CWD))
        return await _start(state, peer, session, launch, announced=False)


def instance_key(state: State, peer: Peer, session_id: str) -> str:
    """The name of a seat: the peer's, or, where each conversation has its own program, that of the one."""
    each = state.program_drivers[peer.driver].sessions == "many"
    return f"{peer.name}/{session_id}" if each else peer.name


async def _session(state: State, peer: Peer, owner: str, session_id: str | None) -> Session:
    """The session whose turns the program answers, where it answers one session's only."""
    row = await state.store.get("session", session_id) if session_id else None
    session = session_of(row) if row is not None else None
    if session is not None and state.program_drivers[peer.driver].sessions == "many":
        return session
    cwd = session.metadata.get(CWD) if session is not None else None
    return await standing_session(state.store, state.ids, owner, peer, cwd)


async def take_up(state: State, session: Session, cwd: str | None) -> None:
    """Make a session the standing one of its owner (in a folder). Of a peer without programs, or with one
    that all conversations share, there is none to take up."""
    peer = state.peers.get(session.peer)
    if peer.program is None or state.program_drivers[peer.driver].sessions == "one":
        return
    id = standing_id(session.owner, peer, cwd if runs_at_caller(peer) else None)
    mark = Row("standing", id, "open", b"{}", owner=session.owner, parent=session.id, at=state.ids.now())
    await state.store.commit(session.id, [], rows=[mark])


async def register(state: State) -> None:
    """Make the peers known that were announced to an earlier hub, before anything asks for them."""
    for row in await state.store.find("program", state="running", limit=10_000):
        entry = ProgramRow.of(row)
        if entry.announced:
            state.peers.put(entry.peer)


async def adopt(state: State) -> None:
    """Find the programs again that ran under an earlier hub."""
    for row in await state.store.find("program", state="running", limit=10_000):
        await _adopt(state, ProgramRow.of(row))


async def _adopt(state: State, entry: ProgramRow) -> None:
    driver = state.program_drivers.get(entry.peer.driver)
    entry, found = _with_rules_of_now(state, entry), None
    if driver is not None:
        left = await _left(state, entry)
        found = await driver.find(entry.peer, entry.host_id, left, lambda r: noticed(state, r))
    if found is None or isinstance(found, Exit):
        await _was_lost(state, entry, found or Exit(lost="its driver is no longer there"))
    else:
        take(state, entry, found)
        keep_while_it_runs(state, entry.peer)


def keep_while_it_runs(state: State, peer: Peer) -> None:
    """Let a peer whose program runs be there until that has ended, where it is not configured any more."""
    if peer in state.peers:
        return
    state.peers.put(peer)

    async def forgotten() -> None:
        while not state.closing:
            heard = state.notifier.next()
            if not instances_of(state, peer.name):
                _forget(state, peer)
                return
            await heard.wait()

    state.background.start(forgotten(), f"program {peer.name}")


def _with_rules_of_now(state: State, entry: ProgramRow) -> ProgramRow:
    """What a program asks for is judged by the configuration of this hub, not of the one that started it."""
    if not _is_configured(state, entry.peer.name):
        return entry
    rules = state.peers.get(entry.peer.name).permissions
    return replace(entry, peer=replace(entry.peer, permissions=rules))


def source_of(host_id: str) -> str:
    """The name of a program's spool in the catalog."""
    return f"host:{host_id}"


async def _was_lost(state: State, entry: ProgramRow, ended: Exit) -> None:
    name = entry.peer.name
    end, rows = end_event(name, ended), [entry.ended(ended)]
    await state.store.commit(entry.session_id, [Draft(end)], rows=rows)
    await state.store.commit(HUB_STREAM, [Draft(end)])
    state.gone[name] = (ended, state.ids.now())
    if entry.peer.driver in state.program_drivers:
        forget(state, entry)


async def _left(state: State, entry: ProgramRow) -> SavedState:
    """What an earlier hub left of a program, the turn in its session included."""
    offset = await state.store.offset(source_of(entry.host_id))
    memory = await memory_of(state.store, entry.key)
    for started in STARTED:
        for row in await state.store.find("turn", state=started, parent=entry.session_id):
            asked = {
                each.id: each.data.get("detail")
                for each in await requests_of(state.store, entry.session_id, row.id)
                if each.kind == "permission"
            }
            return SavedState(offset, memory, True, asked)
    return SavedState(offset, memory)


async def _start(
    state: State, peer: Peer, session: Session, launch: Launch, *, announced: bool
) -> ProgramInstance:
    key, owner = instance_key(state, peer, session.id), session.owner
    entry = ProgramRow(state.ids.new("h"), key, peer, owner, session.id, announced, state.ids.now())
    await state.store.commit(HUB_STREAM, [], rows=[entry.row("running")])  # known before it runs
    driver = state.program_drivers[peer.driver]
    try:
        memory = await memory_of(state.store, key)
        running = await driver.start(peer, entry.host_id, launch, memory, lambda r: noticed(state, r))
    except BaseException:
        await state.store.commit(HUB_STREAM, [], drop=[("program", entry.host_id)])
        raise
    state.gone.pop(peer.name, None)
    return take(state, entry, running)


def _is_configured(state: State, name: str) -> bool:
    try:
        peer = state.peers.get(name)
    except UnknownPeer:
        return False
    return not state.peers.is_put(peer.name)


def _announced(command: AnnounceProgram) -> Peer:
    if not NAME.fullmatch(command.name):
        raise Malformed(
            f"{command.name!r} is no name: a letter, then up to 63 letters, digits, `_`, `.` or `-`"
        )
    if not command.argv or any("\0" in word for word in command.argv):
        raise Malformed("a program has a name and arguments without NUL")
    try:
        re.compile(command.prompt or "")
    except re.error as error:
        raise Malformed(f"the prompt is no regular expression: {error}") from error
    program = Program(
        command.argv,
        command.launch.cwd,
        command.delimiter,
        command.protocol,
        command.prompt,
        command.on_exit,
    )
    description = command.description or " ".join(" ".join(command.argv).split())[:200]
    return Peer(command.name, KINDS[command.kind], DRIVERS[command.kind], description, program=program)
