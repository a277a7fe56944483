"""Callers other than the hub's owner, for tests: each has a subject and scopes, and a token for them."""

from __future__ import annotations

from collections.abc import Iterable

from rhetor.domain.principal import ALL
from tests.served import Served


async def caller(home: Served, subject: str = "guest", scopes: Iterable[str] = ALL) -> dict[str, str]:
    """Let the owner issue a token, and return the headers of its holder's requests over TCP."""
    wanted = {"scopes": sorted(scopes), "subject": subject}
    answer = await home.ask("POST", "/api/auth/token", wanted)
    assert answer.status == 200, answer.text
    return {"authorization": f"Bearer {answer.json['access_token']}"}
