"""Callers for tests: others than the hub's owner, each with a subject, scopes and a token for them; and
browsers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rhetor.domain.principal import ALL
from tests.served import CONSOLE, Answer, Served


async def caller(home: Served, subject: str = "guest", scopes: Iterable[str] = ALL) -> dict[str, str]:
    """Let the owner issue a token, and return the headers of its holder's requests over TCP."""
    wanted = {"scopes": sorted(scopes), "subject": subject}
    answer = await home.ask("POST", "/api/auth/token", wanted)
    assert answer.status == 200, answer.text
    return {"authorization": f"Bearer {answer.json['access_token']}"}


async def logged_in(home: Served, caller: Mapping[str, str] | None = None) -> dict[str, str]:
    """Log in a browser as the owner, or as the caller that sends these headers over TCP; return the headers
    that a browser sends with each request of a page of the hub."""
    asked = home.ask_tcp("POST", "/api/auth/code", caller) if caller else home.ask("POST", "/api/auth/code")
    code = (await asked).json["code"]
    answer = await log_in(home, code)
    assert answer.status == 303, answer.text
    return {**console(home), "cookie": cookie_of(answer), "origin": home.node.console}


async def log_in(home: Served, code: str, **headers: str) -> Answer:
    """Open the link of a code at the console."""
    return await home.ask_tcp("GET", f"/login?code={code}", {**console(home), **headers})


def console(home: Served) -> dict[str, str]:
    return {"host": f"{CONSOLE}:{home.port}"}


def cookie_of(answer: Answer) -> str:
    """Return the cookie that a response sets, as a browser sends it back."""
    return answer.headers["set-cookie"].partition(";")[0]
