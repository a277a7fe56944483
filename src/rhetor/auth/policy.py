"""What a door asks of a caller. Every route declares one of these; there is no default."""

from __future__ import annotations

from enum import StrEnum

from rhetor.domain.command import Principal
from rhetor.errors import Forbidden, Unauthenticated


class Policy(StrEnum):
    """`public`: anyone who reached the address. `user`: who proved who they are. `owner`: the owner of this
    hub, over their own Unix socket."""

    PUBLIC = "public"
    USER = "user"
    OWNER = "owner"


def require(policy: Policy, principal: Principal | None) -> None:
    """Raises:
    Unauthenticated: nobody is known to ask.
    Forbidden: who asks may not.
    """
    if policy is Policy.PUBLIC:
        return
    if principal is None:
        raise Unauthenticated("a token is needed: `Authorization: Bearer …`")
    if policy is Policy.OWNER and not principal.local:
        raise Forbidden("only over the hub's own Unix socket")
    if policy is Policy.OWNER and principal.is_agent:
        raise Forbidden.to_agents(principal.subject)
