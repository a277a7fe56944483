"""The hub itself: health, capabilities, reloading and shutdown."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from rhetor.domain.principal import ADMIN
from rhetor.domain.secrets import secret_values
from rhetor.domain.timestamps import timestamp
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.schedules import schedules
from rhetor.hub.sessions import sessions
from rhetor.hub.turns.caller_limits import turns_of
from rhetor.transports.server.call import Call
from rhetor.transports.server.certificate import described

from .bodies import EnvironmentBody, PromptLineBody

FEATURES = (
    "streaming",
    "sessions",
    "plans",
    "bulk",
    "checkpoints",
    "resume",
    "tools",
    "permissions",
    "sockets",
    "schedules",
)


async def healthz(call: Call) -> dict[str, str]:
    """Report that the hub is alive."""
    return {"status": "ok"}


async def readyz(call: Call) -> dict[str, str]:
    call.hub.state.require_open()
    return {"status": "ready"}


async def whoami(call: Call) -> dict[str, Any]:
    """Return who the hub takes the caller for."""
    who = call.who
    return {
        "subject": who.subject,
        "scopes": sorted(who.scopes),
        "ai": who.peer,
        "address": who.address,
        "credential": who.credential,
    }


async def capabilities(call: Call) -> dict[str, Any]:
    """Return the APIs of this hub, and the peers for each capability."""
    return {
        "version": call.node.version,
        "doors": ["rest", "sse", "ws", "socketio", "mcp"],
        "features": list(FEATURES),
        "capabilities": peers_for(call.hub.state, call.who).capabilities(),
    }


async def status(call: Call) -> dict[str, Any]:
    """Return what the hub is doing. Callers without the scope admin see only what concerns themselves."""
    whole = await _whole_status(call)
    if call.who.is_agent or call.who.has(ADMIN):
        return whole
    provider = {key: whole["provider"][key] for key in ("name", "model") if key in whole["provider"]}
    hidden: dict[str, Any] = {
        "pid": None,
        "home": None,
        "sockets": [],
        "models": [],
        "provider": provider,
        "nodes": None,
    }
    return {**whole, **hidden, "running": turns_of(call.hub.state, call.who.subject)}


async def _whole_status(call: Call) -> dict[str, Any]:
    state, providers = call.hub.state, call.node.providers
    findings = providers.findings
    if findings and not providers.is_checking:
        _check_models(call)  # a provider may have started in the meantime: the next response shows it
    counts = await sessions.counted(state, call.who)
    return {
        "version": call.node.version,
        "pid": os.getpid(),
        "started_at": timestamp(call.node.started_at),
        "home": call.node.home,
        "sockets": list(call.node.sockets),
        "url": call.node.url,
        "peers": len(peers_for(state, call.who)),
        "sessions": sum(counts.values()),
        "running": state.running + state.elsewhere.running,
        "provider": await providers.describe(),
        "models": findings,
        "schedules": _schedules(call),
        "certificate": described(certificate.expires) if (certificate := call.node.certificate) else None,
        "nodes": await call.node.nodes() if call.node.nodes else None,
    }


def _schedules(call: Call) -> dict[str, Any]:
    own = schedules.schedules_of(call.hub.state, call.who)
    dues = [schedule.due for schedule in own if schedule.due is not None]
    return {
        "active": len(dues),
        "paused": len(own) - len(dues),
        "next_at": timestamp(min(dues)) if dues else None,
        "starts_again": not call.node.by_itself,
    }


def _check_models(call: Call) -> None:
    call.hub.state.background.start(call.node.providers.check_models(), "models")


async def take_environment(call: Call, body: EnvironmentBody) -> dict[str, Any]:
    """Use the provider variables of the caller's shell, if a shell started this hub. They are kept in
    memory."""
    variables, call.acting.detail = body.texts(), "not used"
    if call.node.by_itself and not call.hub.state.running:
        call.acting.detail = f"variables {', '.join(sorted(variables))}"
        call.hub.state.secrets.add(secret_values(variables))
        call.node.providers.take_over(variables)
        _check_models(call)
        call.node.told_offline = False
    return {"fingerprint": call.node.providers.fingerprint}


async def prompt_history(call: Call) -> dict[str, Any]:
    """Return the history of the shell's prompt, if the hub keeps it."""
    prompt = call.node.prompt
    lines = await asyncio.to_thread(prompt.lines) if prompt.active else []
    return {"sealed": prompt.active, "lines": lines}


async def add_to_prompt_history(call: Call, body: PromptLineBody) -> dict[str, Any]:
    """Keep a line of the shell's prompt, if the hub keeps them."""
    prompt = call.node.prompt
    if prompt.active:
        await asyncio.to_thread(prompt.add, body.line)
    return {"sealed": prompt.active}


async def reload(call: Call) -> dict[str, Any]:
    """Read the configuration again. An invalid one is rejected, and the current one stays in force."""
    reloaded = await call.node.reload()
    call.acting.detail = reloaded.summary
    return {"changed": reloaded.changed, "needs_restart": reloaded.needs_restart}


async def shutdown(call: Call) -> dict[str, str]:
    call.node.shut_down()
    return {"status": "shutting down"}


async def openapi(call: Call) -> dict[str, Any]:
    """Return the description of all routes (OpenAPI 3.1)."""
    from . import openapi as description  # imported on the first request

    return description.page(call.app.table, call.node.version)
