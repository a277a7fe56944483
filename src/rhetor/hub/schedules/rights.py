"""With which rights the runs of a schedule work: those of its owner, at most those that its creator had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from rhetor.domain.event import Cause
from rhetor.domain.principal import Principal
from rhetor.domain.schedule import Rights, Schedule
from rhetor.errors import Forbidden
from rhetor.hub.identity.grants import credential_of, is_in_force
from rhetor.hub.plans.plan_run import Origin
from rhetor.hub.turns.attribution import cause_of, passed_through

if TYPE_CHECKING:
    from rhetor.hub.state import State


def rights_of(state: State, principal: Principal) -> Rights:
    """Return the rights that a schedule of the caller has.

    Raises:
        Forbidden: only the caller's own issuer knows when they end.
        Unauthenticated: the caller's token has ended meanwhile.
    """
    cause = cause_of(state, principal)
    return Rights(
        tuple(sorted(principal.scopes)),
        principal.local,
        credential_of(state, principal),
        passed_through(state, principal),
        (cause.caller or "") if cause else "",
    )


def principal_of(state: State, schedule: Schedule) -> Principal:
    """Return the caller that the runs of a schedule have.

    Raises:
        Forbidden: the token with which the schedule was created has ended.
    """
    rights = schedule.rights
    if not is_in_force(state, rights.until):
        hint = "add the schedule again; if you add it without a token, on this machine, it does not expire"
        raise Forbidden("the token with which the schedule was added has expired or was revoked", hint=hint)
    return Principal(schedule.owner, frozenset(rights.scopes), rights.local, schedule.label, schedule.label)


def origin_of(schedule: Schedule) -> Origin:
    """Return what the plans of a schedule follow from. What a peer's program has scheduled counts also for
    the person for whom it was working."""
    caller = schedule.rights.caller
    cause = Cause(schedule.id, caller=caller or UNSET) if caller else None
    return Origin(schedule.rights.via, cause, unattended=True)
