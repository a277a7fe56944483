"""Ends running turns of sessions of any node, because of something else than a command about the session."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rhetor.domain.node_commands import StopTurn
from rhetor.domain.principal import Principal
from rhetor.errors import NodeLost
from rhetor.hub.core.nodes import at_home

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


def stop_turn(state: State, command: StopTurn) -> None:
    """End the turn, at once if it runs at this node, otherwise soon. No effect if it has ended."""
    if not _stop(state, command) and state.nodes.own:
        state.background.start(_stop_elsewhere(state, command), f"stop {command.session_id}")


async def stopped_here(state: State, principal: Principal, command: StopTurn) -> None:
    """End the turn if it runs at this node."""
    _stop(state, command)


def _stop(state: State, command: StopTurn) -> bool:
    """Return False if no turn of the session runs at this node."""
    runner = state.runners.get(command.session_id)
    if runner is None or runner.current is None:
        return runner is not None
    if command.turn_id in ("", runner.current.turn.turn_id):
        by = command.why
        runner.current.stop(
            lambda turn: turn.cancel(by) if command.how == "cancel" else turn.interrupt(by),
            waiting_only=command.waiting_only,
        )
    return True


async def _stop_elsewhere(state: State, command: StopTurn) -> None:
    nobody = Principal("")
    try:
        await at_home(
            state.nodes,
            lambda: state.nodes.owner(command.session_id),
            lambda: stopped_here(state, nobody, command),
            lambda node: state.nodes.execute(node, nobody, command),
        )
    except NodeLost:  # the node that takes over interrupts the turn
        log.info("turn not stopped", extra={"session": command.session_id})
