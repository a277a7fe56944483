"""Which kinds of rows a hub has something of in memory, and what it does when another node changes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.domain.identity import GRANT, LOGIN, SIGNING_KEY
from rhetor.domain.turn import UNSTARTED
from rhetor.domain.usage import day_of
from rhetor.hub import tool_servers
from rhetor.hub.catalog import (
    boards,
    budgets,
    identities,
    machines,
    notifications,
    outbox,
    peer_stats,
    programs,
    recent_tokens,
    requests,
    schedules,
    shares,
    usage,
)
from rhetor.hub.forwarding import inbox
from rhetor.hub.machines import joining
from rhetor.hub.plans import teams
from rhetor.hub.programs import adoption
from rhetor.hub.sessions import projects
from rhetor.store.base import Row

from . import reservations

if TYPE_CHECKING:
    from rhetor.hub.state import State

MAX_ROWS = 1_000_000
DATA_KEY = "data_key"  # a key that one node gives to the others


async def _all(state: State, kind: str) -> Sequence[Row]:
    return await state.store.find(kind, limit=MAX_ROWS)


async def _unstarted(state: State, kind: str) -> Sequence[Row]:
    return await state.store.find(kind, state=sorted(UNSTARTED), limit=MAX_ROWS)


async def _running(state: State, kind: str) -> Sequence[Row]:
    return await state.store.find(kind, state=adoption.RUNNING, limit=MAX_ROWS)


async def _this_month(state: State, kind: str) -> Sequence[Row]:
    return await state.store.find(kind, parent=day_of(state.ids.now())[:7], limit=MAX_ROWS)


def _nothing(state: State, kind: str, id: str, row: Row | None) -> None:
    """Change nothing in memory."""


class Kind(Struct, frozen=True):
    """One kind of rows. `use(state, kind, id, row)`: uses a row as it is stored; None means that it was
    dropped. `ids`: returns the ids of those that are in memory; None if nothing is. `rows`: returns those
    that are to be in memory. `wake`: is called after the rows were used. `is_needed`: rows must be read.
    `is_summed`: there are few enough rows to look now and then whether any of them has changed."""

    use: Callable[[State, str, str, Row | None], None] = _nothing
    ids: Callable[[State], Collection[str]] | None = None
    rows: Callable[[State, str], Awaitable[Sequence[Row]]] = _all
    wake: Callable[[State], None] | None = None
    is_needed: Callable[[State], bool] = lambda state: True
    is_summed: bool = True


def _watched(state: State) -> bool:
    return state.live.is_watched


def _never(state: State) -> bool:
    return False


def _told(wake: Callable[[State], None]) -> Kind:
    """Return a kind of which nothing is in memory, and for which some wait."""
    return Kind(wake=wake, is_needed=_never)


def _shown() -> Kind:
    """Return a kind of which nothing is in memory, and which is shown to those who watch."""
    return Kind(is_needed=_watched)


def _identity(ids: Callable[[State], Collection[str]]) -> Kind:
    return Kind(lambda state, kind, id, row: identities.mirror(state.identities, kind, id, row), ids)


def _rule(kind: str) -> Kind:
    return Kind(
        lambda state, kind, id, row: state.routing_table.mirror(kind, id, row),
        lambda state: state.routing_table.ids(kind),
    )


def _use_share(state: State, kind: str, id: str, row: Row | None) -> None:
    """As `rhetor.hub.sessions.shares` does after its commits."""
    known = state.shares.find(id)
    if row is not None:
        share = shares.share_of(row)
        state.shares.put(share)
        state.presence.admit(share.session_id, share.subject)
    elif known is not None:
        state.shares.remove(known.session_id, known.subject)
        state.presence.withdraw(known.session_id, known.subject)


KINDS: dict[str, Kind] = {
    DATA_KEY: Kind(ids=lambda state: ()),  # there is a listener
    boards.KIND: Kind(lambda state, kind, id, row: state.boards.apply(id, row), lambda state: ()),
    budgets.KIND: Kind(
        lambda state, kind, id, row: state.budgets.mirror(kind, id, row),
        lambda state: state.budgets.names_set,
    ),
    budgets.RESERVED: Kind(
        lambda state, kind, id, row: reservations.mirror(state, id, row), lambda state: ()
    ),
    budgets.NOTE: Kind(lambda state, kind, id, row: state.budgets.mirror(kind, id, row), lambda state: ()),
    "context": _rule("context"),
    "forward": _rule("forward"),
    "purpose": _rule("purpose"),
    "route": _rule("route"),
    "terminal": _rule("terminal"),
    GRANT: _identity(lambda state: list(state.identities.grants)),
    LOGIN: _identity(
        lambda state: [login.digest for login in state.identities.logins.values() if login.parent]
    ),
    identities.RETIRED: _identity(lambda state: ()),
    SIGNING_KEY: _identity(lambda state: list(state.identities.keys)),
    machines.KIND: Kind(
        lambda state, kind, id, row: joining.mirror(state, id, row),
        lambda state: [machine.name for machine in state.machines],
    ),
    peer_stats.KIND: Kind(
        lambda state, kind, id, row: state.peer_statistics.mirror(id, row), lambda state: ()
    ),
    programs.KIND: Kind(
        lambda state, kind, id, row: adoption.mirror(state, id, row),
        lambda state: state.peers.programs_elsewhere,
        _running,
    ),
    recent_tokens.KIND: Kind(
        lambda state, kind, id, row: state.usage.recent.mirror(id, row), lambda state: ()
    ),
    schedules.KIND: Kind(
        lambda state, kind, id, row: state.schedules.mirror(id, row), lambda state: state.schedules.ids
    ),
    shares.KIND: Kind(
        _use_share, lambda state: state.shares.ids, wake=lambda state: state.requests_changed.notify()
    ),
    teams.KIND: Kind(
        lambda state, kind, id, row: teams.mirror(state, id, row),
        lambda state: [name for name in state.peers.teams if not state.peers.is_configured_team(name)],
    ),
    tool_servers.KIND: Kind(
        lambda state, kind, id, row: tool_servers.mirror(state, id, row),
        lambda state: list(state.tool_servers.added),
    ),
    "turn": Kind(
        _nothing,  # `Live.mirror` has those that wait
        lambda state: state.live.queued_ids,
        _unstarted,
        wake=lambda state: state.notifier.notify(),
        is_summed=False,
    ),
    usage.KIND: Kind(
        lambda state, kind, id, row: state.usage.mirror(id, row),
        lambda state: (),
        _this_month,
        wake=lambda state: state.budgets.changed.notify(),
    ),
    inbox.KIND: _told(lambda state: state.notes_changed.notify()),
    notifications.KIND: _told(lambda state: state.notifications.changed.notify()),
    outbox.DELIVERY: _told(lambda state: state.routing_table.outbox_changed.notify()),
    "plan": _told(lambda state: state.notifier.notify()),
    "session": _shown(),
    projects.KIND: _shown(),
} | {kind: _told(lambda state: state.requests_changed.notify()) for kind in requests.KINDS}
