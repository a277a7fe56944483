"""Shows forwarded answers in terminals of any node: named shells, and wrapped programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.node_commands import ShowAnswer
from rhetor.domain.principal import Principal
from rhetor.errors import UnknownPeer
from rhetor.hub.catalog.outbox import DELIVERY, DUE
from rhetor.hub.catalog.sessions import standing_session
from rhetor.hub.core.nodes import at_home
from rhetor.hub.programs.now import programs_now
from rhetor.store.base import Draft, Expect

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def show_answer(state: State, principal: Principal, command: ShowAnswer) -> None:
    """Commit the event to the stream of its terminal, which a shell shows now or later, and take the answer
    out of the outbox.

    Raises:
        UnknownPeer: the caller has no such terminal.
        NodeLost: the node of the terminal was lost before it answered.
        StateConflict: the answer is no longer in the outbox.
        StoreRefused: nothing was stored.
    """
    await at_home(
        state.nodes,
        lambda: _home(state, principal, command.shown.to),
        lambda: shown_here(state, principal, command),
        lambda node: state.nodes.execute(node, principal, command),
    )


async def shown_here(state: State, principal: Principal, command: ShowAnswer) -> None:
    """Do the same as `show_answer`, for a terminal of this node.

    Raises:
        UnknownPeer, StateConflict, StoreRefused: as `show_answer`.
    """
    stream = await _stream(state, principal, command.shown.to)
    still_due = Expect(DELIVERY, command.delivery, frozenset({DUE}))
    drop = [(DELIVERY, command.delivery)]
    await state.store.commit(stream, [Draft(command.shown)], expects=[still_due], drop=drop)


async def _home(state: State, principal: Principal, to: str) -> str:
    if not state.nodes.own or to in state.routing_table.terminals:  # every node may write its stream
        return state.nodes.own
    return await state.nodes.owner(await _stream(state, principal, to))


async def _stream(state: State, principal: Principal, to: str) -> str:
    terminal = state.routing_table.terminals.get(to)
    if terminal is not None:
        if terminal.owner != principal.subject:
            raise UnknownPeer(to)
        return terminal.stream
    for program in programs_now(state, to):
        if program.owner == principal.subject:
            return program.session_id
    return (await standing_session(state.store, state.ids, principal.subject, state.peers.get(to))).id
