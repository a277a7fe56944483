"""Starts programs that run as peers, and ends them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.command import AnnounceProgram, EndProgram, LaunchTool
from rhetor.domain.event import SessionStateChanged
from rhetor.domain.node_commands import EndPrograms
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import ADMIN, Principal
from rhetor.domain.program import Exit, Launch, Program
from rhetor.domain.rules import PERSONS, RESERVED
from rhetor.domain.secrets import secret_values
from rhetor.domain.session import Session
from rhetor.drivers.base import require_pattern
from rhetor.errors import Malformed, NameTaken, NotRunning, UnknownPeer, Unprocessable
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.boards import Board
from rhetor.hub.catalog.programs import HUB_STREAM, ProgramRow, memory_of
from rhetor.hub.catalog.routing_table import ALIAS, place_id
from rhetor.hub.catalog.sessions import (
    CWD,
    open_session,
    runs_at_caller,
    session_of,
    session_row,
    standing_id,
    standing_session,
)
from rhetor.hub.core.checks import require_name, require_person
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.core.nodes import is_own
from rhetor.store.base import Draft, Row

from .instances import add_instance, instances_of, status_changed
from .ownership import is_own as is_own_program
from .ownership import own_instances, peers_for

if TYPE_CHECKING:
    from rhetor.hub.state import State

STANDING = "standing"
DRIVERS = {"terminal": "terminal", "stdio": "stdio"}
KINDS = {"terminal": PeerKind.TERMINAL, "stdio": PeerKind.TOOL}


async def announce(state: State, principal: Principal, command: AnnounceProgram) -> Peer:
    """Start the program that the command describes, and add it as a peer.

    After the program has ended, the peer stays, with the status `gone`, until `end` removes it.

    Raises:
        Forbidden: the caller is a program.
        Malformed: the name, the command line or the prompt pattern is invalid.
        NameTaken: a peer, team, terminal or command has this name.
        ProgramMissing, ProgramRefused: the program cannot be started; nothing is running.
        StoreRefused, ShuttingDown: nothing was started; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    peer = _announced(command)
    async with state.exclusively(peer.name.lower()):
        known = state.peers.known_as(peer.name)
        if known not in (None, peer.name):  # names ignore case
            raise NameTaken("peer", str(known))
        taken = peer.name in state.peers.teams or is_configured(state, peer.name)
        if taken or instances_of(state, peer.name) or state.peers.node_of(peer.name):
            raise NameTaken("peer", peer.name)
        if peer.name.casefold() in {*PERSONS, principal.subject.casefold()}:
            raise NameTaken("person", peer.name)
        if peer.name.lower() in RESERVED or peer.name in state.routing_table.terminals:
            raise NameTaken("command" if peer.name.lower() in RESERVED else "terminal", peer.name)
        if await state.store.get(ALIAS, place_id(principal.subject, peer.name)):
            raise NameTaken("alias", peer.name)
        state.secrets.add(secret_values(command.launch.env))
        session = await _own_default_session(state, principal.subject, peer, None)
        await _start(state, peer, session, command.launch, announced=True)
        state.peers.put(peer, principal.subject)
    return peer


async def launch(state: State, principal: Principal, command: LaunchTool) -> Peer:
    """Start a configured program unless it is running, for a named session or for the owner's default one.

    Raises:
        Forbidden: the caller is a program.
        UnknownPeer: there is no peer of this name.
        Unprocessable: the peer is not a program.
        NameTaken: the session name belongs to a session with another peer.
        NotRunning: the program was announced and has ended, so only its owner can start it.
        ProgramMissing, ProgramRefused: the program cannot be started.
        StoreRefused, ShuttingDown: nothing was started; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    peer = peers_for(state, principal).get(command.name)
    state.machines.require_online(peer)
    cwd = command.cwd if principal.local and not peer.machine else None
    if command.session is None:
        session = await standing_session(state.store, state.ids, principal.subject, peer, cwd)
    else:
        session = await _named_session(state, principal, peer, command.session, cwd)
    await instance_for(state, peer, principal.subject, session.id)
    return peer


async def end(state: State, principal: Principal, command: EndProgram) -> Exit:
    """End the caller's programs of a peer at all nodes, or all of them if the caller has the scope `admin`,
    and return how the last one ended. An announced peer is removed.

    Raises:
        Forbidden: the caller is a program.
        UnknownPeer: there is no peer of this name.
        NotRunning: no program of the peer is running.
        TurnFailure: the program's host does not answer, and `force` is not set.
        NodeLost: another node was lost before it said that its programs have ended.
    """
    require_person(principal)
    peer = peers_for(state, principal).get(command.name)
    others = [
        node for node, board in state.elsewhere.boards.items() if _has_own(state, principal, board, peer)
    ]
    if not others:
        return await _end_here(state, principal, command)
    work = [state.nodes.execute(node, principal, EndPrograms(peer.name, command.force)) for node in others]
    found = await asyncio.gather(*work, _end_here(state, principal, command), return_exceptions=True)
    ends = [each for each in found if isinstance(each, Exit)]
    errors = [each for each in found if isinstance(each, BaseException)]
    for error in errors:
        if not (isinstance(error, NotRunning) and ends):
            raise error
    return ends[-1]


def _has_own(state: State, principal: Principal, board: Board, peer: Peer) -> bool:
    """Return whether another node runs programs of the peer that the caller may end."""
    may_end_all = principal.has(ADMIN)
    programs = (program for program in board.programs if program.peer == peer.name)
    return any(may_end_all or is_own_program(state, principal, program.owner) for program in programs)


async def ended_here(state: State, principal: Principal, command: EndPrograms) -> Exit:
    """End the programs of this node, because another node was asked to.

    Raises:
        UnknownPeer, NotRunning, TurnFailure: as `end`.
    """
    return await _end_here(state, principal, EndProgram(command.name, command.force))


async def _end_here(state: State, principal: Principal, command: EndProgram) -> Exit:
    peer = peers_for(state, principal).get(command.name)
    if principal.has(ADMIN):
        instances = instances_of(state, peer.name)
    else:
        instances = own_instances(state, principal, peer.name)
    configured = is_configured(state, peer.name)
    if not instances and (configured or peer.name not in state.gone):
        raise NotRunning(peer.name, is_configured=configured)
    state.machines.require_online(peer)
    ended, _ = state.gone.get(peer.name, (Exit(), 0))
    await asyncio.gather(*(_end(instance, command.force) for instance in instances))
    if instances:
        ended = instances[-1].running.ended or Exit()
    if not configured:
        _remove_announced(state, peer)
    return ended


def _remove_announced(state: State, peer: Peer) -> None:
    """Remove an announced peer, unless another program was announced under its name in the meantime."""
    if state.peers.is_announced(peer.name) and state.peers.get(peer.name) is peer:
        state.gone.pop(peer.name, None)
        state.peers.remove(peer.name)


async def _end(instance: ProgramInstance, force: bool) -> None:
    await instance.running.end(force=force)
    await instance.end_logged.wait()


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
    """Return the peer's program instance; start the program if it is configured and not running.

    If the peer has one program for each conversation, the result is the instance for the session, or, without
    `session_id`, for the owner's default session.

    Raises:
        Unprocessable: the peer is not a program.
        NotRunning: the program is not running, and only its owner can start it.
        ProgramMissing, ProgramRefused: the program cannot be started.
    """
    if peer.program is None:
        raise Unprocessable(f"{peer.name} is not a program", peer=peer.name)
    session = await _session(state, peer, owner, session_id)
    key = instance_key(state, peer, session.id)
    async with state.exclusively(key.lower()):
        instance = state.instances.get(key)
        if instance and instance.running.ended is not None and is_configured(state, peer.name):
            await instance.end_logged.wait()  # the message is for the next instance
            instance = None
        if instance:
            return instance
        if not is_configured(state, peer.name):
            raise NotRunning(peer.name)
        launch = launch_of(state, peer, session.metadata.get(CWD))
        return await _start(state, peer, session, launch, announced=False)


def instance_key(state: State, peer: Peer, session_id: str) -> str:
    """Return the key of a program instance: the peer's name, or `peer/session` if each conversation has its
    own program."""
    per_session = state.program_drivers[peer.driver].sessions == "many"
    return f"{peer.name}/{session_id}" if per_session else peer.name


async def _session(state: State, peer: Peer, owner: str, session_id: str | None) -> Session:
    """Return the session that the program logs to: the given one if each session has its own program, else
    the owner's default session. If that one is at another node, the program of this node logs to the given
    one."""
    row = await state.store.get("session", session_id) if session_id else None
    session = session_of(row) if row is not None else None
    if session is not None and state.program_drivers[peer.driver].sessions == "many":
        return session
    cwd = session.metadata.get(CWD) if session is not None else None
    standing = await standing_session(state.store, state.ids, owner, peer, cwd)
    if session is not None and not await is_own(state.nodes, standing.id):
        return session
    return standing


async def _own_default_session(state: State, owner: str, peer: Peer, cwd: str | None) -> Session:
    """Return the owner's default session with a program that starts at this node. One of another node, where
    a program of the same name has ended, is replaced."""
    session = await standing_session(state.store, state.ids, owner, peer, cwd)
    if await is_own(state.nodes, session.id):
        return session
    session = open_session(state.ids, owner, peer.name, context_window=0, ttl=None, cwd=cwd)
    link = Row(STANDING, standing_id(owner, peer, cwd), "open", b"{}", owner, session.id, at=state.ids.now())
    drafts = [Draft(SessionStateChanged(session.state))]
    await state.store.commit(session.id, drafts, rows=[session_row(session), link])
    return session


async def make_standing(state: State, session: Session, cwd: str | None) -> None:
    """Make a session the owner's default session with its peer, in the folder `cwd` if the program runs in
    its caller's folder.

    No effect if the peer has no program, or has one program for all conversations.
    """
    peer = state.peers.get(session.peer)
    if peer.program is None or state.program_drivers[peer.driver].sessions == "one":
        return
    id = standing_id(session.owner, peer, cwd if runs_at_caller(peer) else None)
    link = Row(STANDING, id, "open", b"{}", owner=session.owner, parent=session.id, at=state.ids.now())
    await state.store.commit(session.id, [], rows=[link])


def keep_until_ended(state: State, peer: Peer) -> None:
    """Keep a peer that is no longer configured until its programs have ended. No effect on other peers."""
    if peer in state.peers:
        return
    state.peers.put(peer)

    async def remove_at_end() -> None:
        while not state.closing:
            changed = state.notifier.next()
            if not instances_of(state, peer.name):
                _remove_announced(state, peer)
                return
            await changed.wait()

    state.background.start(remove_at_end(), f"program {peer.name}")


async def _start(
    state: State, peer: Peer, session: Session, launch: Launch, *, announced: bool
) -> ProgramInstance:
    key, owner, now = instance_key(state, peer, session.id), session.owner, state.ids.now()
    # the program may use its key before it is registered. One on another machine has none: the hub's folder
    # and socket are not there
    variables, digest = state.program_keys.issue(peer.name) if not peer.machine else ({}, "")
    node = state.nodes.own
    entry = ProgramRow(state.ids.new("h"), key, peer, owner, session.id, announced, now, digest, node)
    driver = state.program_drivers[peer.driver]
    launch = replace(launch, env={**launch.env, **variables})
    try:
        # stored before the program starts, so that no program is lost in a crash
        await state.store.commit(HUB_STREAM, [], rows=[entry.row("running")])
    except BaseException:  # also if the caller is cancelled
        state.program_keys.end(digest)
        raise
    try:
        memory = await memory_of(state.store, key)
        running = await driver.start(peer, entry.host_id, launch, memory, lambda r: status_changed(state, r))
    except BaseException:  # also if the caller is cancelled
        state.program_keys.end(digest)
        # in the background, so that the caller gets this error even if the store rejects the commit
        dropping = until_accepted(
            lambda: state.store.commit(HUB_STREAM, [], drop=[("program", entry.host_id)]), HUB_STREAM
        )
        state.background.start(dropping, f"drop {peer.name}")
        raise
    state.gone.pop(peer.name, None)
    return add_instance(state, entry, running)


def launch_of(state: State, peer: Peer, cwd: str | None) -> Launch:
    """Return how a configured program is started. `cwd`: the folder of its session, if it has one. A program
    on another machine is started as that machine is configured, in its own folder or in `cwd`."""
    if not peer.machine:
        return state.launches(peer, cwd)
    assert peer.program is not None
    return Launch(cwd or peer.program.cwd, {})


def is_configured(state: State, name: str) -> bool:
    """Return whether the name is that of a configured peer, not of an announced one."""
    try:
        peer = state.peers.get(name)
    except UnknownPeer:
        return False
    return not state.peers.is_announced(peer.name)


def _announced(command: AnnounceProgram) -> Peer:
    require_name(command.name, "program name")
    if not command.argv or any("\0" in word for word in command.argv):
        raise Malformed("argv is empty or has a NUL character")
    try:
        require_pattern(command.prompt)
    except ValueError as error:
        raise Malformed(f"the prompt is not a valid regular expression: {error}") from error
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
