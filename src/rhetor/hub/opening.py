"""A session as it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.command import Principal
from rhetor.domain.session import Session

if TYPE_CHECKING:
    from .state import State

CWD = "cwd"
IMPORTED = "imported"  # where a conversation was held before, in its metadata


def open_session(
    state: State,
    principal: Principal,
    peer: str,
    *,
    context_window: int,
    once: bool = False,
    name: str | None = None,
    ttl: float | None = None,
    endless: bool = False,
    cwd: str | None = None,
) -> Session:
    """A session that is not in the store yet. One that has a name has no end of its own. `cwd`: where a
    program of its own runs, in its metadata."""
    now = state.ids.now()
    if ttl is None and name is None and not endless:
        ttl = state.limits.session_ttl
    return Session(
        state.ids.new("s"),
        peer,
        principal.subject,
        now,
        now,
        ttl=ttl,
        context_window=context_window,
        once=once,
        name=name,
        metadata={CWD: cwd} if cwd else {},
    )
