"""What is said to the hub itself: a few plain words, answered from what the hub knows. No model is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from rhetor.domain.command import Principal
from rhetor.domain.output import Done, Output, Text
from rhetor.domain.peer import Peer
from rhetor.domain.socket import HUB_PEER
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.hub.active import OpenRequests

from .programs.status import status_of
from .sessions.sessions import listed
from .sessions.sockets import active_sockets

if TYPE_CHECKING:
    from .state import State


class HubPeer:
    """Made for one turn."""

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        self._state = state
        self._principal = Principal(requests.owner)

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        word = message.content.strip().removeprefix("/").casefold()
        known = WORDS.get(word)
        yield Text(await known[1](self) if known else f"There is no command {word[:100]!r}.\n{_help()}")
        yield Done()

    async def answer(self, id: str, value: Any) -> None: ...

    async def interrupt(self) -> None: ...

    async def aclose(self) -> None: ...

    async def say_help(self) -> str:
        return _help()

    async def say_status(self) -> str:
        state = self._state
        sessions = await listed(state, self._principal, session_state="active")
        turns = sum(1 for _ in state.running_turns())
        return (
            f"running: {len(state.peers)} peers, {len(state.peers.teams)} teams, "
            f"{len(sessions)} active sessions, {turns - 1} other turns running"
        )

    async def say_peers(self) -> str:
        lines = []
        for peer in sorted(self._state.peers, key=lambda peer: (peer.kind, peer.name)):
            how = status_of(self._state, peer)
            lines.append(f"{peer.name}  {peer.kind}, {how.state}: {peer.description}")
        return "\n".join(lines)

    async def say_teams(self) -> str:
        teams = sorted(self._state.peers.teams.items())
        return "\n".join(f"team:{name}  {', '.join(members)}" for name, members in teams) or "no teams"

    async def say_sockets(self) -> str:
        active = await active_sockets(self._state, self._principal)
        return "\n".join(
            f"{a.id}  with {'the hub' if a.peer == HUB_PEER else a.peer}: "
            f"read by {a.readers}, unread {a.waiting}"
            for a in active
        )

    async def say_sessions(self) -> str:
        sessions = await listed(self._state, self._principal, session_state="active")
        return "\n".join(f"{s.id}  {s.peer}{f', {s.name}' if s.name else ''}" for s in sessions)


WORDS: dict[str, tuple[str, Callable[[HubPeer], Awaitable[str]]]] = {
    "help": ("these words", HubPeer.say_help),
    "status": ("that it runs, and figures", HubPeer.say_status),
    "peers": ("who is there, and how each is", HubPeer.say_peers),
    "teams": ("teams and their members", HubPeer.say_teams),
    "sockets": ("your sockets, who reads them, and what waits in them", HubPeer.say_sockets),
    "sessions": ("your active sessions", HubPeer.say_sessions),
}


def _help() -> str:
    return "\n".join(f"{word}  {what}" for word, (what, _) in WORDS.items())
