"""Validation that several use cases share."""

from __future__ import annotations

import re

from rhetor.domain.principal import Principal
from rhetor.errors import Forbidden, Malformed, TooLarge

PURPOSE_BYTES = 4096

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def require_person(principal: Principal) -> None:
    """Reject callers that run as a peer's program, and machines.

    Raises:
        Forbidden: the caller is a program or a machine.
    """
    if principal.is_agent:
        raise Forbidden.to_agents(principal.subject)
    if principal.is_machine:
        raise Forbidden.to_machines(principal.subject)


def require_name(name: str, what: str) -> None:
    """Check a name that users can address. `what`: the error message's term for it, as in "terminal name".

    Raises:
        Malformed: the name is invalid.
    """
    if not NAME.fullmatch(name):
        rule = "use a letter, then up to 63 letters, digits, `_`, `.` or `-`"
        raise Malformed(f"invalid {what} {name[:100]!r}: {rule}")


def check_content(content: str, limit: int, name: str = "the message") -> None:
    """Reject text that is blank, too large or not valid Unicode.

    `limit`: in bytes of UTF-8. `name`: what error messages call the text.

    Raises:
        Malformed: the text is blank or contains half of a surrogate pair.
        TooLarge: the text exceeds `limit`.
    """
    if not content.strip():
        raise Malformed(f"{name} is empty")
    try:
        size = len(content.encode())
    except UnicodeEncodeError as error:
        raise Malformed(f"{name} contains half of a surrogate pair; send valid Unicode") from error
    if size > limit:
        raise TooLarge(name, limit)
