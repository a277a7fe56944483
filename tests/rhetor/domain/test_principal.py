"""What the scopes of a caller allow."""

from __future__ import annotations

import pytest

from rhetor.domain.principal import ADMIN, AGENT, ALL, APPROVE, READ, SEND, Principal


def test_an_owner_has_every_scope_of_a_person() -> None:
    owner = Principal.person("me", local=True)
    assert all(owner.has(scope) for scope in (READ, SEND, APPROVE, ADMIN))
    assert owner.scopes == ALL
    assert not owner.has(AGENT)
    assert (owner.is_agent, owner.peer) == (False, None)


@pytest.mark.parametrize(("scope", "may"), [(READ, True), (SEND, True), (APPROVE, False), (ADMIN, False)])
def test_a_peers_program_may_read_and_send_but_not_approve_or_administer(scope: str, may: bool) -> None:
    agent = Principal.agent("apollo", local=False)
    assert agent.has(scope) is may
    assert (agent.scopes, agent.is_agent, agent.peer) == (frozenset({AGENT}), True, "apollo")


def test_a_caller_without_scopes_may_do_nothing() -> None:
    assert not any(Principal("me").has(scope) for scope in (READ, SEND, APPROVE, ADMIN, AGENT))
