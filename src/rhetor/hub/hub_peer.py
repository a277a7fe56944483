"""The hub peer: answers a few commands that are sent to the hub itself as messages, without a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from rhetor.domain.output import Done, Output, Text
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal, is_agent_subject
from rhetor.domain.session import SessionState
from rhetor.domain.socket import HUB_PEER
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.hub.active import OpenRequests

from .programs.ownership import peers_for
from .programs.status import status_of
from .sessions.sessions import counted, listed
from .sessions.sockets import active_sockets

if TYPE_CHECKING:
    from .state import State


class HubPeer:
    """A conversation with the hub itself, for one turn."""

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        self._state = state
        # what a guest asks for in a shared session is the guest's; a program gets only its own
        asker = requests.owner if is_agent_subject(requests.owner) else requests.caller
        self._principal = Principal(asker)

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        """Answer the command in the message; the answer to an unknown command lists the known ones."""
        name = message.content.strip().removeprefix("/").casefold()
        command = COMMANDS.get(name)
        yield Text(await command[1](self) if command else f"There is no command {name[:100]!r}.\n{_help()}")
        yield Done()

    async def answer(self, id: str, value: Any) -> None: ...

    async def interrupt(self) -> None: ...

    async def aclose(self) -> None: ...

    async def show_help(self) -> str:
        return _help()

    async def show_status(self) -> str:
        state = self._state
        sessions = await counted(state, self._principal)
        turns = sum(1 for _ in state.running_turns()) + len(state.elsewhere.turns)
        return (
            f"running: {len(state.peers)} peers, {len(state.peers.teams)} teams, "
            f"{sum(sessions.values())} open sessions, {turns - 1} other turns running"
        )

    async def show_peers(self) -> str:
        lines = []
        seen = peers_for(self._state, self._principal)
        for peer in sorted(seen, key=lambda peer: (peer.kind, peer.name)):
            status = status_of(self._state, peer)
            lines.append(f"{peer.name}  {peer.kind}, {status.state}: {peer.description}")
        return "\n".join(lines)

    async def show_teams(self) -> str:
        teams = sorted(self._state.peers.teams.items())
        return "\n".join(f"team:{name}  {', '.join(members)}" for name, members in teams) or "no teams"

    async def show_sockets(self) -> str:
        active = await active_sockets(self._state, self._principal)
        return "\n".join(
            f"{a.id}  with {'the hub' if a.peer == HUB_PEER else a.peer}: "
            f"readers: {a.readers}, unread: {a.waiting}"
            for a in active
        )

    async def show_sessions(self) -> str:
        sessions = await listed(self._state, self._principal, states=(SessionState.ACTIVE,))
        return "\n".join(f"{s.id}  {s.peer}{f', {s.name}' if s.name else ''}" for s in sessions)


COMMANDS: dict[str, tuple[str, Callable[[HubPeer], Awaitable[str]]]] = {
    "help": ("lists these commands", HubPeer.show_help),
    "status": ("shows the numbers of peers, teams, sessions and turns", HubPeer.show_status),
    "peers": ("lists the peers and their status", HubPeer.show_peers),
    "teams": ("lists the teams and their members", HubPeer.show_teams),
    "sockets": ("lists your sockets with their numbers of readers and unread messages", HubPeer.show_sockets),
    "sessions": ("lists your active sessions", HubPeer.show_sessions),
}


def _help() -> str:
    return "\n".join(f"{name}  {description}" for name, (description, _) in COMMANDS.items())
