"""What can stand at the cursor in a line, with the names that a caller can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rhetor.domain.line_completion import Candidate, Completion, Names, complete
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.socket import TEAM
from rhetor.errors import UnknownPeer
from rhetor.hub.catalog.sessions import OPEN, session_of
from rhetor.hub.peers import Peers
from rhetor.hub.programs.ownership import peers_for

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_SESSIONS = 200


async def completed(state: State, principal: Principal, line: str, at: int) -> Completion:
    """Return what can stand in the line before the character `at`.

    Raises:
        StoreRefused: the caller's sessions cannot be read now.
    """
    rows = await state.store.find(
        "session", owner=principal.subject, state=OPEN, limit=MOST_SESSIONS, newest=True
    )
    sessions = [session_of(row) for row in reversed(rows)]
    peers = peers_for(state, principal)
    names = Names(
        lambda: _targets(peers),
        lambda target: _sessions(peers, sessions, target),
        lambda: _models(peers),
    )
    return complete(line, at, names)


def _targets(peers: Peers) -> Iterator[Candidate]:
    for peer in peers:
        yield Candidate(peer.name, "peer", _one_line(peer.description))
    for name, able in peers.capabilities().items():
        yield Candidate(f"@{name}", "capability", f"now {able[0]}" if able else "")
    for name in dict.fromkeys(("all", *sorted(peers.teams))):
        yield Candidate(TEAM + name, "team", ", ".join(peers.team(name)))


def _sessions(peers: Peers, sessions: list[Session], target: str) -> Iterator[Candidate]:
    """Yield the caller's open sessions with the target; those of all peers if it is no peer."""
    peer = _peer(peers, target)
    for session in sessions:
        if not session.once and (peer is None or session.peer == peer.name):
            text = session.name if _is_plain(session.name or "") else session.id
            yield Candidate(text or session.id, "session", f"{session.peer}, {session.state}")


def _peer(peers: Peers, target: str) -> Peer | None:
    try:
        return peers.get(target)
    except UnknownPeer:
        return None


def _models(peers: Peers) -> Iterator[Candidate]:
    for model in dict.fromkeys(peer.model for peer in peers if peer.model):
        used = ", ".join(peer.name for peer in peers if peer.model == model)
        yield Candidate(model, "model", f"the model of {used}")


def _is_plain(name: str) -> bool:
    """Whether the name can stand in a line without quotes."""
    return name[:1].isalnum() and all(char.isalnum() or char in "-_." for char in name)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:100]
