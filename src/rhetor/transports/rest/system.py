"""The hub itself: health, what it can do, who may log in, and its end."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import Query, Request, Response

from rhetor.auth.logins import CODE_SECONDS, COOKIE_SECONDS
from rhetor.auth.policy import Policy
from rhetor.dialects.raw import timestamp
from rhetor.errors import Misdirected
from rhetor.transports.server.gate import COOKIE, wrong
from rhetor.transports.server.router import Doors

from .bodies import EnvironmentBody
from .dependencies import Here

doors = Doors(tags=["hub"])
PUBLIC = frozenset({"/healthz", "/login"})
FEATURES = ("streaming", "sessions", "plans", "checkpoints", "resume", "tools", "permissions", "sockets")


@doors.on("GET", "/healthz", Policy.PUBLIC)
async def healthz() -> dict[str, str]:
    """That it lives, and nothing else."""
    return {"status": "ok"}


@doors.on("GET", "/readyz", Policy.USER)
async def readyz(here: Here) -> dict[str, str]:
    here.hub.state.require_open()
    return {"status": "ready"}


@doors.on("GET", "/api/capabilities", Policy.USER)
async def capabilities(here: Here) -> dict[str, Any]:
    """What this hub speaks, and which peer is good at what."""
    return {
        "version": here.version,
        "doors": ["rest", "sse", "ws"],
        "features": list(FEATURES),
        "capabilities": here.hub.state.peers.capabilities(),
    }


@doors.on("GET", "/api/v2/status", Policy.USER)
async def status(here: Here) -> dict[str, Any]:
    state = here.hub.state
    active = await state.store.find("session", state="active", owner=here.owner)
    return {
        "version": here.version,
        "pid": os.getpid(),
        "started_at": timestamp(here.started_at),
        "home": here.home,
        "sockets": list(here.sockets),
        "url": here.url,
        "peers": len(state.peers),
        "sessions": len(active),
        "running": state.running,
        "provider": await here.providers.describe(),
    }


@doors.on("PUT", "/api/v2/environment", Policy.OWNER)
async def take_environment(body: EnvironmentBody, here: Here) -> dict[str, Any]:
    """Provider variables of the shell that asks: kept in memory, and only where a shell started this hub."""
    if here.by_itself and not here.hub.state.running:
        here.providers.take_over(body.variables)
        here.told_offline = False
    return {"fingerprint": here.providers.fingerprint}


@doors.on("POST", "/api/v2/reload", Policy.OWNER)
async def reload(here: Here) -> dict[str, Any]:
    """Read the configuration again. One that does not hold up is refused, and the running one stays."""
    reloaded = here.reload()
    return {"changed": reloaded.changed, "needs_restart": reloaded.needs_restart}


@doors.on("POST", "/api/v2/shutdown", Policy.OWNER, status_code=202)
async def shutdown(here: Here) -> dict[str, str]:
    here.shut_down()
    return {"status": "shutting down"}


@doors.on("POST", "/api/auth/code", Policy.USER)
async def issue_code(here: Here) -> dict[str, Any]:
    """A link that logs a browser in, once, for a minute."""
    code = here.logins.issue()
    return {"code": code, "url": f"{here.console}/login?code={code}", "expires_in": CODE_SECONDS}


@doors.on("GET", "/login", Policy.PUBLIC)
async def login(request: Request, here: Here, code: Annotated[str, Query(max_length=200)]) -> Response:
    """The code becomes a cookie that only this hub's own name in the browser sends."""
    if request.headers.get("host") != here.console.removeprefix("http://"):
        raise Misdirected("log in under the name that the link has")
    cookie = here.logins.redeem(code)
    if cookie is None:
        raise wrong(here.attempts, request.scope, "the code was used, or is too old; ask for another one")
    response = Response(status_code=303, headers={"location": "/", "referrer-policy": "no-referrer"})
    response.set_cookie(
        COOKIE, cookie, max_age=int(COOKIE_SECONDS), httponly=True, samesite="strict", path="/"
    )
    return response


@doors.on("GET", "/openapi.json", Policy.USER)
async def openapi(request: Request) -> dict[str, Any]:
    """The description of these doors (OpenAPI 3.1)."""
    from . import openapi as described  # what it loads is not needed before somebody asks

    return described.page(request.app)
