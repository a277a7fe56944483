"""The messages that wait for a machine that is not connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.hub.turns.runner import wake

if TYPE_CHECKING:
    from rhetor.hub.state import State


def wake_waiting(state: State, machine: str) -> None:
    """Run the turns that wait for the peers of a machine that is connected again."""
    names = {peer.name for peer in state.peers if peer.machine == machine}
    for session_id in {row.stream for row in state.live.queued if row.peer in names}:
        if session_id.startswith("s_"):
            wake(state, session_id)
