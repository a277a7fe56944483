"""History and search over all sessions and plans of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.principal import Principal
from rhetor.hub.catalog.turns import TurnRow
from rhetor.store.base import Exchange, Hit

if TYPE_CHECKING:
    from rhetor.hub.state import State

PAGE = 1000


async def recent(
    state: State, principal: Principal, limit: int, before: int | None = None
) -> Sequence[tuple[Exchange, str]]:
    """Return the caller's last `limit` messages with their answers, newest first, each with its peer's name.

    `before`: Unix time in milliseconds; only messages older than this.
    """
    found: list[tuple[Exchange, str]] = []
    seen: set[str] = set()
    size = PAGE
    while len(found) < limit:
        page = await state.store.recent(size, before=before)
        new = [exchange for exchange in page if exchange.turn_id not in seen]
        for exchange in new:
            seen.add(exchange.turn_id)
            peer = await _peer_of_own(state, principal, exchange.turn_id)
            if peer is not None:
                found.append((exchange, peer))
        if len(page) < size:
            break
        # reread the last millisecond: the page may have ended within it, or it may be larger than a page
        size, before = PAGE if new else 2 * size, page[-1].at + 1
    return found[:limit]


async def search(state: State, principal: Principal, words: str, limit: int) -> Sequence[tuple[Hit, str]]:
    """Return up to `limit` of the caller's messages that contain all the words, best match first.

    Each has its peer's name.
    """
    peers: dict[str | None, str | None] = {}  # by turn; None if the caller does not own it
    size = 4 * limit
    while True:
        hits = await state.store.search(words, limit=size)
        newest = {_message(hit): hit.position.seq for hit in sorted(hits, key=lambda hit: hit.position.seq)}
        found: list[tuple[Hit, str]] = []
        for hit in hits:
            if hit.turn_id and hit.position.seq < newest[_message(hit)]:
                continue  # an earlier state of an answer to which late text was added
            if hit.turn_id not in peers:
                peers[hit.turn_id] = await _peer_of_own(state, principal, hit.turn_id)
            if (peer := peers[hit.turn_id]) is not None:
                found.append((hit, peer))
        if len(found) >= limit or len(hits) < size:
            return found[:limit]
        size *= 4


def _message(hit: Hit) -> tuple[str, str, str | None]:
    return hit.stream, hit.role, hit.turn_id


async def _peer_of_own(state: State, principal: Principal, turn_id: str | None) -> str | None:
    row = await state.store.get("turn", turn_id) if turn_id else None
    return TurnRow.of(row).peer if row is not None and row.owner == principal.subject else None
