"""The peers of one caller, kept current for all subscriptions of that caller."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rhetor.domain.machine import MACHINE
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.project import PROJECT, Project
from rhetor.domain.socket import TEAM
from rhetor.errors import AmbiguousPeer, UnknownPeer
from rhetor.hub.core.changes import Changes
from rhetor.hub.forwarding.terminals import owned_terminals
from rhetor.hub.hub import Hub
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.programs.status import look_at_hosts
from rhetor.hub.sessions import projects
from rhetor.hub.sessions.own_sessions import OwnSessions
from rhetor.transports.server.call import Viewer
from rhetor.transports.server.node import Node

from . import peers, unaddressed
from .board import Board, ListWatch

EVERYBODY = ""  # the board is that of one caller


class Watcher(Struct, frozen=True):
    """A viewer that outlives a connection. `who`: without an address and a credential, because all
    connections of a caller see the same."""

    who: Principal
    node: Node

    @classmethod
    def of(cls, viewer: Viewer) -> Watcher:
        who = viewer.who
        return cls(Principal(who.subject, who.scopes, who.local), viewer.node)

    @property
    def hub(self) -> Hub:
        return self.node.hub


class PeerBoard(Board[bytes]):
    """Each peer as JSON, as `GET /api/v2/ai` returns it."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(f"peers of {watcher.who.subject}")
        self._watcher = watcher
        self._live = watcher.hub.state.live
        self._own = OwnSessions(watcher.hub.state, watcher.who.subject)
        self._projects: Sequence[Project] = ()
        self._read_at = -1

    @property
    def changes(self) -> Changes[Any]:
        return self._live.peers

    def audiences(self, item: bytes) -> Collection[str]:
        return (EVERYBODY,)

    def enter(self, watching: ExitStack) -> None:
        super().enter(watching)
        watching.enter_context(self._live.rows.watched())

    async def read(self) -> None:
        moment, changed = self._live.peers.now, self._live.peers.since(self._read_at)
        if changed is None:  # as when they are listed
            state = self._watcher.hub.state
            await look_at_hosts(state, list(state.instances.values()))
        if changed is None or PROJECT in changed:
            self._projects = await projects.projects(self._watcher.hub.state, self._watcher.who)
        await self._own.refresh()
        self.put(await self._shown_items(None if changed is None else changed.keys()))
        self._read_at = moment

    async def _shown_items(self, names: Collection[str] | None) -> dict[str, bytes | None]:
        """Return the items of these names, and of all projects; None: all items."""
        own = peers.Own(self._own.counts, peers.own_turns(self._watcher, self._own.name_of))
        found: dict[str, bytes | None] = {}
        for id in self.ids if names is None else names:
            found[id] = None
        for peer in peers.seen(self._watcher) if names is None else filter(None, map(self._peer, names)):
            found[peer.name] = msgspec.json.encode(await peers.shape(self._watcher, peer, own))
        for terminal in owned_terminals(self._watcher.hub.state, self._watcher.who):
            if names is None or terminal.name in names:
                found[terminal.name] = msgspec.json.encode(unaddressed.shell(self._watcher, terminal))
        for machine in self._watcher.hub.state.machines:
            if names is None or MACHINE + machine.name in names:
                shown = unaddressed.machine(self._watcher, machine)
                found[MACHINE + machine.name] = msgspec.json.encode(shown)
        return found | self._shown_projects()

    def _peer(self, name: str) -> Peer | None:
        """Return the peer or the team that is listed under this name, if there is one."""
        seen = peers_for(self._watcher.hub.state, self._watcher.who)
        try:
            peer = seen.get(name)
        except (UnknownPeer, AmbiguousPeer):
            return None
        is_team = peer.kind is PeerKind.TEAM and peer.name.removeprefix(TEAM) in seen.teams
        return peer if peer.name == name and (peer in seen or is_team) else None

    def _shown_projects(self) -> dict[str, bytes | None]:
        gone = {id: None for id in self.ids if id.startswith(PROJECT)}
        shown = {
            each.id: msgspec.json.encode(
                unaddressed.project(self._watcher, each, self._own.of_project(each.name))
            )
            for each in self._projects
        }
        return gone | shown


def peer_board(viewer: Viewer) -> PeerBoard:
    """Return the board of this caller that is watched now, or else a new one."""
    watcher = Watcher.of(viewer)
    boards: dict[Principal, PeerBoard] = viewer.node.components.setdefault("peer boards", {})
    for who in [who for who, board in boards.items() if not board.is_kept]:
        del boards[who]
    return boards.setdefault(watcher.who, PeerBoard(watcher))


class PeerWatch(ListWatch[bytes]):
    """The peers of one subscription."""

    method = "peers"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(EVERYBODY)
        self._viewer = viewer

    def find_board(self) -> PeerBoard:
        return peer_board(self._viewer)

    async def read_first(self) -> dict[str, Any]:
        items = self.board.items
        self.known = {id for id, _ in items}
        return {"peers": [Raw(value) for _, value in items]}

    def shown(self, id: str, value: bytes) -> bytes:
        return value
