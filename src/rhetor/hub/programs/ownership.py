"""To whom a program belongs, and which programs a caller can see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.principal import ADMIN, Principal, agent_subject, is_agent_subject
from rhetor.hub.active import ProgramInstance
from rhetor.hub.peers import Peers

from .instances import instances_of

if TYPE_CHECKING:
    from rhetor.hub.state import State


def person_behind(state: State, subject: str) -> str:
    """Return who may answer for a caller: the caller, or for a peer's program the person who started it.

    If that program is no longer known, or programs of the peer run for several persons, the result is the
    program, for which nobody answers.
    """
    if not is_agent_subject(subject):
        return subject
    persons = _persons_behind(state, subject, frozenset())
    return persons.pop() if len(persons) == 1 else subject


def _persons_behind(state: State, subject: str, seen: frozenset[str]) -> set[str]:
    """Return the persons for whom the programs of a peer run; a program may have started another one."""
    if not is_agent_subject(subject):
        return {subject}
    owners = {i.entry.owner for i in state.instances.values() if agent_subject(i.peer.name) == subject}
    owners.update(state.elsewhere.owners_of(subject))
    found = (_persons_behind(state, owner, seen | {subject}) for owner in owners - seen - {subject})
    return set[str]().union(*found)


def peers_for(state: State, principal: Principal) -> Peers:
    """Return the peers that the caller can see and address: all but the programs that other callers have
    wrapped. A peer's program can see those of the person who started it."""
    peers = state.peers.for_callers()
    if not peers.has_wrapped:
        return peers
    return peers.seen_by(person_behind(state, principal.subject))


def own_instances(state: State, principal: Principal, peer: str) -> list[ProgramInstance]:
    """Return the programs of a peer that run for the caller, or for a peer's program that it answers for."""
    return [each for each in instances_of(state, peer) if is_own(state, principal, each.entry.owner)]


def is_own(state: State, principal: Principal, owner: str) -> bool:
    """Return whether what belongs to `owner` is the caller's, or of a peer's program that it answers for."""
    if owner == principal.subject or not is_agent_subject(owner):
        return owner == principal.subject
    person = person_behind(state, owner)
    # if nobody answers for it, the administrators of the hub do
    return person == principal.subject or (is_agent_subject(person) and principal.has(ADMIN))
