"""Tokens of a hub under test, issued through its routes."""

from __future__ import annotations

from typing import Any

from tests.served import TOKEN, Answer, Served

OWNER = {"authorization": f"Bearer {TOKEN}"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def issue(home: Served, name: str, *scopes: str, **more: Any) -> str:
    """Issue a token with a name, as `rhetor token issue` does."""
    answer = await home.ask("POST", "/api/v2/tokens", {"name": name, "scopes": scopes, **more})
    assert answer.status == 200, answer.text
    return str(answer.json["token"])


async def login(home: Served, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    """Return new tokens of `POST /api/auth/token`."""
    answer = await home.ask_tcp("POST", "/api/auth/token", headers or OWNER, json=body)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


async def refresh(home: Served, token: str) -> Answer:
    return await home.ask_tcp("POST", "/api/auth/refresh", json={"refresh_token": token})


async def opens(home: Served, token: str) -> bool:
    """Return whether the token is valid over TCP."""
    status = (await home.ask_tcp("GET", "/api/v2/ai", bearer(token))).status
    assert status in (200, 401)
    return status == 200
