"""Checks that several use cases make of what a client sent."""

from __future__ import annotations

import re

from rhetor.domain.command import Principal
from rhetor.errors import Forbidden, Malformed, TooLarge

PURPOSE_BYTES = 4096

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def require_person(principal: Principal) -> None:
    """Raises:
    Forbidden: a peer's program asks for what only a person may."""
    if principal.is_agent:
        raise Forbidden.to_agents(principal.subject)


def check_content(content: str, limit: int, what: str = "the message") -> None:
    if not content.strip():
        raise Malformed(f"{what} is empty")
    try:
        size = len(content.encode())
    except UnicodeEncodeError as error:
        raise Malformed(f"{what} has half a surrogate pair, which is no text") from error
    if size > limit:
        raise TooLarge(what, limit)
