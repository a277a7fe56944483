"""Callers other than the hub's owner, for tests: each has a subject and scopes of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from rhetor.domain.principal import ALL
from tests.served import TOKEN, Served

NAME = b"x-test-caller"


def admit_callers(home: Served) -> None:
    """Let the hub take the callers of `headers_of` for what they say they are, once the gate has admitted
    them with its token."""
    gate: Any = home.server.config.app
    gate._app = _Renaming(gate._app)


def headers_of(subject: str, scopes: Iterable[str] = ALL) -> dict[str, str]:
    """Return the headers of a caller's requests over TCP."""
    return {"authorization": f"Bearer {TOKEN}", NAME.decode(): f"{subject} {' '.join(sorted(scopes))}"}


class _Renaming:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (said := dict(scope.get("headers", ())).get(NAME)) is not None:
            subject, *scopes = said.decode().split()
            who = scope["state"]["principal"]
            scope["state"]["principal"] = replace(who, subject=subject, scopes=frozenset(scopes))
        await self._app(scope, receive, send)
