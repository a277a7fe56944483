"""Limits on what one caller may begin: the turns that run at once, and the tokens that its turns use within
an hour.

Only what the caller sends is rejected. What follows from an accepted message counts and is never rejected:
the steps of a plan, the answers of a team's members, and forwards. The same holds for a message that waits in
its session, once its turn runs.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rhetor.domain.event import Cause
from rhetor.domain.principal import Principal
from rhetor.errors import TokensExceeded, TooManyTurns

if TYPE_CHECKING:
    from rhetor.hub.state import State


def require_turn(state: State, principal: Principal) -> None:
    """Check that the caller may begin another turn now.

    Raises:
        TooManyTurns: as many of the caller's turns are running as may run at once.
    """
    free = free_turns(state, principal)
    if free is not None and free < 1:
        raise TooManyTurns(state.limits.turns_at_once)


def require_tokens(state: State, principal: Principal, cause: Cause | None) -> None:
    """Check that the caller may use more tokens. `cause`: what a peer's program is working for. What it uses
    is counted for the sender of that.

    Raises:
        TokensExceeded: the caller, or the sender that it works for, has used too many within the last hour.
    """
    limit = state.limits.tokens_per_hour
    if limit is None or not principal.is_limited:
        return
    callers = [principal.subject, *([cause.caller] if cause and cause.caller else [])]
    for caller in callers:
        if wait := state.usage.recent.wait(caller, limit, state.ids.now()):
            raise TokensExceeded(caller, limit, wait / 1000)


def free_turns(state: State, principal: Principal) -> int | None:
    """Return how many more turns of the caller may run now; None if there is no limit. The number is negative
    if turns that follow from accepted messages exceed the limit."""
    limit = state.limits.turns_at_once
    if not principal.is_limited:
        return None
    everything = len(state.runners) + state.elsewhere.running
    if not state.plans and not state.elsewhere.has_plans and everything < limit:  # of all callers together
        return limit - everything
    return limit - turns_of(state, principal.subject)


def turns_of(state: State, caller: str) -> int:
    """Return how many turns of a caller run, or are about to. A session runs one at a time.

    What other nodes said last counts, so callers may exceed a limit for a moment.
    """
    own = sum(runner.caller == caller for runner in state.runners.values())
    own += sum(plan.active for plan in state.plans.values() if plan.owner == caller)
    return own + state.elsewhere.turns_of(caller)


def turns_by_caller(state: State) -> Counter[str]:
    """Return how many turns of each caller run at this node, or are about to."""
    found = Counter(runner.caller for runner in state.runners.values() if runner.caller)
    for plan in state.plans.values():
        if plan.active:
            found[plan.owner] += plan.active
    return found
