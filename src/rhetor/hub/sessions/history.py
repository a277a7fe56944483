"""History and search over all sessions and plans of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.principal import Principal
from rhetor.errors import NotFound
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.programs.ownership import peers_for
from rhetor.store.base import Among, Exchange, Hit

from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


class Wanted(msgspec.Struct, frozen=True):
    """What a caller looks for among the own messages. `peer`: its name in any case. `session`: its id or
    name. `since`: Unix time in milliseconds. `model`: with or without its provider."""

    peer: str | None = None
    session: str | None = None
    since: int | None = None
    model: str | None = None


ANYTHING = Wanted()


async def recent(
    state: State, principal: Principal, limit: int, wanted: Wanted = ANYTHING, before: str | None = None
) -> Sequence[Exchange]:
    """Return the caller's last `limit` messages with their answers, newest first.

    `before`: the id of the turn of the last message of the page before.

    Raises:
        NotFound: the caller has no such session, or no such turn.
        UnknownPeer: there is no such peer, nor a message to it.
        Forbidden: another owner shares the session with the caller.
    """
    if before is not None:
        row = await state.store.get("turn", before)
        if row is None or row.owner != principal.subject:
            raise NotFound("turn", before)
    found = await state.store.recent(limit, await _among(state, principal, wanted), before=before)
    if not found and before is None:
        _require_peer(state, principal, wanted)
    return found


async def search(
    state: State, principal: Principal, words: str, limit: int, wanted: Wanted = ANYTHING
) -> Sequence[tuple[Hit, str]]:
    """Return up to `limit` of the caller's messages that contain all the words, best match first.

    Each has its peer's name.

    Raises:
        NotFound, UnknownPeer, Forbidden: as for `recent`.
    """
    among = await _among(state, principal, wanted)
    peers: dict[str | None, str | None] = {}  # by turn; None if it has no row
    size = limit + limit // 4
    while True:
        hits = await state.store.search(words, among, limit=size)
        newest = {_message(hit): hit.position.seq for hit in sorted(hits, key=lambda hit: hit.position.seq)}
        found: list[tuple[Hit, str]] = []
        for hit in hits:
            if hit.turn_id and hit.position.seq < newest[_message(hit)]:
                continue  # an earlier state of an answer to which late text was added
            if hit.turn_id not in peers:
                peers[hit.turn_id] = await _peer(state, hit.turn_id)
            if (peer := peers[hit.turn_id]) is not None:
                found.append((hit, peer))
        if len(found) >= limit or len(hits) < size:
            break
        size *= 4
    if not found:
        _require_peer(state, principal, wanted)
    return found[:limit]


async def session_names(state: State, streams: Iterable[str]) -> Mapping[str, str]:
    """Return the names of those sessions among the streams that have one."""
    names = dict[str, str]()
    for stream in dict.fromkeys(streams):
        row = await state.store.get("session", stream)
        if row is not None and (name := session_of(row).name):
            names[stream] = name
    return names


async def _among(state: State, principal: Principal, wanted: Wanted) -> Among:
    streams = None
    if wanted.session is not None:
        streams = [(await owned_session(state, principal, wanted.session)).id]
    peer, peers = wanted.peer, peers_for(state, principal)
    if peer is not None and peers.has(peer):  # otherwise, a peer that exists no more may have had the name
        peer = peers.get(peer).name
    return Among(principal.subject, peer, streams, wanted.since, wanted.model)


def _require_peer(state: State, principal: Principal, wanted: Wanted) -> None:
    """Check the name of a peer with which no message was found.

    Raises:
        UnknownPeer: there is no such peer.
    """
    if wanted.peer is not None:
        peers_for(state, principal).get(wanted.peer)


def _message(hit: Hit) -> tuple[str, str, str | None]:
    return hit.stream, hit.role, hit.turn_id


async def _peer(state: State, turn_id: str | None) -> str | None:
    row = await state.store.get("turn", turn_id) if turn_id else None
    return TurnRow.of(row).peer if row is not None else None
