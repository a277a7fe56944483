"""Who may use a route. Every route declares a policy; there is no default."""

from __future__ import annotations

from enum import StrEnum

from rhetor.domain.command import Principal
from rhetor.errors import Forbidden, Unauthenticated


class Policy(StrEnum):
    """`public`: anyone who can reach the address. `user`: authenticated callers. `owner`: the owner of this
    hub, on its Unix socket."""

    PUBLIC = "public"
    USER = "user"
    OWNER = "owner"


def require(policy: Policy, principal: Principal | None) -> None:
    """Raises:
    Unauthenticated: the caller is unknown.
    Forbidden: the caller may not use the route.
    """
    if policy is Policy.PUBLIC:
        return
    if principal is None:
        raise Unauthenticated("a token is needed: `Authorization: Bearer …`")
    if policy is Policy.OWNER and not principal.local:
        raise Forbidden("only over the hub's own Unix socket")
    if policy is Policy.OWNER and principal.is_agent:
        raise Forbidden.to_agents(principal.subject)
