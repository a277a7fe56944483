"""What could answer: providers, model servers on this machine and coding agents; and trying one of them.

For a person who sets the hub up. Nothing of it is in the log, and no other model answers instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Literal

import msgspec

from rhetor.domain.output import Text
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import Prompt
from rhetor.drivers.models.cooldown import Cooldowns
from rhetor.drivers.models.driver import ChatDriver
from rhetor.drivers.models.local_models import LocalServer, searched
from rhetor.drivers.models.resolve import CLI, chosen
from rhetor.drivers.models.target import Provider
from rhetor.errors import ProviderDenied, ProviderFailed, TurnFailure

LIST_SECONDS = 5.0  # for a provider to list its models
SEARCH_SECONDS = 1.0  # for a server on this machine; nobody waits for a turn now
TRY_SECONDS = 30.0  # a server may have to load its model first
SHOWN = 200  # characters of an answer
_PERSON = Peer("setup", PeerKind.SPECIALIST, "chat", prompt="You answer with one word.")
_QUESTION = Prompt("Reply with the word: ready")


class Candidate(msgspec.Struct, frozen=True):
    """Something that could answer. `model`: the reference that `models.default` would have, if it is known.
    `ready`: whether it is worth a try. `detail`: what was found. `hint`: what to do if it is not ready."""

    name: str
    kind: Literal["provider", "server", "agent", "local"]
    model: str | None
    ready: bool
    detail: str
    hint: str = ""


class Trial(msgspec.Struct, frozen=True):
    """How a model has answered. `answer`: the beginning of it."""

    model: str
    ok: bool
    seconds: float
    answer: str = ""
    error: str = ""
    hint: str = ""


async def found(driver: ChatDriver) -> list[Candidate]:
    """Return all candidates: those in the configuration, the built-in providers, the usual model servers on
    this machine, the coding agents that can be models, and the small models that the hub runs itself."""
    models = driver.resources.models
    providers = await models.providers()
    places = {provider.base_url.rstrip("/") for provider in providers}
    servers = [server for server in models.local_servers if server.url not in places]
    listed, searching = await asyncio.gather(
        asyncio.gather(*(_provider(driver, each) for each in providers)),
        searched(servers, SEARCH_SECONDS),
    )
    running = [_server(server, names) for server, names in searching]
    small = [
        Candidate(target.ref, "local", target.ref, True, "a small model that the hub runs")
        for target in models.small()
    ]
    return [*listed, *running, *_agents(driver), *small]


async def _provider(driver: ChatDriver, provider: Provider) -> Candidate:
    if not provider.key and provider.key_env:
        return Candidate(
            provider.name, "provider", None, False, "no API key", f"run: aish keys set {provider.name}"
        )
    source = provider.key_env if provider.key else provider.base_url
    try:
        async with asyncio.timeout(LIST_SECONDS):
            model = await driver.resources.models.model_of(provider)
    except ProviderFailed as failure:
        hint = failure.data.get("hint") or ""
        if isinstance(failure, ProviderDenied):  # its hint is about the model
            hint = f"check {provider.key_env}" if provider.key else f"run: aish keys set {provider.name}"
        return Candidate(provider.name, "provider", None, False, failure.detail, hint)
    except TimeoutError:
        detail = f"did not list its models within {LIST_SECONDS:g} s"
        return Candidate(provider.name, "provider", None, False, detail, f"check {provider.base_url}")
    return Candidate(provider.name, "provider", f"{provider.name}/{model}", True, source)


def _server(server: LocalServer, names: Sequence[str]) -> Candidate:
    place = server.url.removeprefix("http://").removesuffix("/v1")
    if not names:
        hint = "ollama pull llama3.2" if server.name == "ollama" else "load a model there"
        return Candidate(server.name, "server", None, False, f"{place} has no model", hint)
    return Candidate(server.name, "server", f"{server.name}/{chosen(names)}", True, place)


def _agents(driver: ChatDriver) -> list[Candidate]:
    agents = driver.resources.agents
    if agents is None:
        return []
    return [
        Candidate(
            each.peer,
            "agent",
            f"{CLI}{each.name}",
            each.installed and each.login.known != "no",
            "not installed" if not each.installed else f"logged in: {each.login.known}",
            each.hint if not each.installed else each.login.how if each.login.known == "no" else "",
        )
        for each in agents.listed()
    ]


async def tried(driver: ChatDriver, model: str, seconds: float = TRY_SECONDS) -> Trial:
    """Ask a model a short question, and return how it has answered within so many seconds."""
    began, answer = time.monotonic(), ""
    resources = driver.resources._replace(fallbacks=(), cooldowns=Cooldowns())
    turn = driver.conversation(msgspec.structs.replace(_PERSON, model=model), resources)
    try:
        async with (
            asyncio.timeout(seconds),
            aclosing(turn.send(_QUESTION, ())) as outputs,
        ):
            async for output in outputs:
                if isinstance(output, Text) and output.channel == "answer":
                    answer += output.text[:SHOWN]
    except TurnFailure as failure:
        hint = failure.data.get("hint") or ""
        return Trial(model, False, time.monotonic() - began, error=failure.detail, hint=hint)
    except TimeoutError:
        error = f"no answer within {seconds:g} s"
        return Trial(model, False, time.monotonic() - began, error=error)
    return Trial(model, True, time.monotonic() - began, answer[:SHOWN].strip())
