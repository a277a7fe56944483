"""Policies, which say who may use a route. Every route declares one; there is no default."""

from __future__ import annotations

from enum import StrEnum

from rhetor.domain.principal import ADMIN, APPROVE, NODE, READ, SEND, Principal
from rhetor.errors import Forbidden, Unauthenticated


class Policy(StrEnum):
    """Who may use a route.

    `public`: anyone who can reach the address. `read`, `send`, `approve`, `admin`: callers with this scope;
    programs of peers may use routes for `read` and `send`. `node`: machines that join. `person`:
    authenticated callers that are neither machines nor programs of peers. `owner`: the owner of this hub, on
    its Unix socket.
    """

    PUBLIC = "public"
    READ = READ
    SEND = SEND
    APPROVE = APPROVE
    ADMIN = ADMIN
    NODE = NODE
    PERSON = "person"
    OWNER = "owner"


def require(policy: Policy, principal: Principal | None) -> None:
    """Check that a caller may use a route with this policy.

    Raises:
        Unauthenticated: the caller is unknown.
        Forbidden: the caller may not use the route.
    """
    if policy is Policy.PUBLIC:
        return
    if principal is None:
        raise Unauthenticated("missing token; send `Authorization: Bearer TOKEN` (`rhetor token` prints it)")
    if policy is Policy.PERSON or policy is Policy.OWNER:
        if principal.is_agent:
            raise Forbidden.to_agents(principal.subject)
        if principal.is_machine:
            raise Forbidden.to_machines(principal.subject)
        if policy is Policy.OWNER and not principal.local:
            raise Forbidden("this route is available only on the hub's Unix socket")
    else:
        principal.require(policy.value)
