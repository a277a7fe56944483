"""Coding agents as models: each turn runs an agent without tools, in an empty folder.

So users with a subscription to an agent need no API key. Permission requests of the agent are denied.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from rhetor.domain.output import Done, Output, Permission, Plain, Spooled, Text, Usage
from rhetor.domain.parts import TEXT_ONLY, Take
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Launch, Program
from rhetor.domain.program_keys import ProgramKeys
from rhetor.drivers.agents.agent import AgentProgram
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.agents.inputs import agent_inputs
from rhetor.drivers.agents.logins import Login, login_of
from rhetor.drivers.agents.protocol import AgentProtocol, Opening
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.parts import readable
from rhetor.drivers.models.target import AgentTarget
from rhetor.drivers.programs.driver import executable
from rhetor.drivers.programs.host.failures import HostLost, HostSilent, ProgramAlive
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.errors import (
    EmptyAnswer,
    ModelUnknown,
    ProgramMissing,
    ProgramRefused,
    ProviderDenied,
    ProviderFailed,
    ProviderTimeout,
    TurnFailure,
)

AT_ONCE = 4  # processes of a few hundred megabytes each; further turns wait
GRACE_SECONDS = 0.5  # such a process has nothing to save, so it is ended quickly
_LOGIN_WORDS = ("log in", "logged in", "/login", "api key", "authenticat")


class AgentEntry(msgspec.Struct, frozen=True):
    """A configured agent. `launch` returns how its program is started; the folder in it is not used."""

    driver: str
    program: Program
    launch: Callable[[], Launch]


class ListedAgent(NamedTuple):
    """An agent that can be a model. `name`: in references; `peer`: its entry. `hint`: how to install it."""

    name: str
    peer: str
    installed: bool
    login: Login
    hint: str


class AgentModels:
    """The agents that can answer as models.

    `protocols`: the protocols by the name of the driver; agents of other drivers are left out. `folder`: the
    working folder of the agents, which is created when needed and stays empty. `automatic`: the agents that
    `auto` may use, in this order. `keys`: with which the agents call the hub, as the peer that they answer
    for. `places`: held by each running turn, which limits how many run at once.
    """

    def __init__(
        self,
        entries: Mapping[str, AgentEntry],
        protocols: Mapping[str, Callable[[Opening], AgentProtocol]],
        hosts: Hosts,
        folder: Path,
        automatic: Sequence[str] = (),
        keys: ProgramKeys | None = None,
    ) -> None:
        self._entries = {name: entry for name, entry in entries.items() if entry.driver in protocols}
        self._protocols = protocols
        self.hosts = hosts
        self._folder = folder
        self._automatic = automatic
        self._keys = keys or ProgramKeys()
        self.places = asyncio.Semaphore(AT_ONCE)

    def named(self, ref: str) -> AgentTarget:
        """Return the agent of the reference `cli:NAME` or `cli:NAME/MODEL`. NAME is the name of an entry or
        of its program.

        Raises:
            ModelUnknown: there is no such agent, or its program is missing.
            ProviderDenied: the agent is not logged in.
        """
        name, _, model = ref.removeprefix("cli:").partition("/")
        peer = self._peer(name)
        if peer is None:
            there = ", ".join(f"cli:{Path(e.program.argv[0]).name}" for e in self._entries.values())
            raise _unknown(ref, f"no agent {name!r} can be used as a model", f"available: {there or 'none'}")
        target = AgentTarget(name, peer, model or None)
        if not self._is_there(peer):
            hint = self._entries[peer].program.hint or f"put {name} on the PATH"
            raise _unknown(ref, f"{name} is not installed", hint)
        login = self._login(peer)
        if login.known == "no":
            raise _denied(target, f"{name} is not logged in", login.how)
        return target

    def listed(self) -> list[ListedAgent]:
        """Return all agents that can be models, installed or not."""
        found = []
        for peer, entry in self._entries.items():
            name, installed = Path(entry.program.argv[0]).name, self._is_there(peer)
            login = self._login(peer) if installed else Login("unknown", "")
            found.append(
                ListedAgent(name, peer, installed, login, entry.program.hint or f"put {name} on the PATH")
            )
        return found

    def ready(self) -> AgentTarget | None:
        """Return the first agent that `auto` may use, because it is installed and known to be logged in; None
        if there is no such agent."""
        for peer in self._automatic:
            if peer in self._entries and self._is_there(peer) and self._login(peer).known == "yes":
                return AgentTarget(Path(self._entries[peer].program.argv[0]).name, peer)
        return None

    def usable(self) -> list[AgentTarget]:
        """Return the agents that are installed and known to be logged in."""
        return [
            AgentTarget(Path(entry.program.argv[0]).name, peer)
            for peer, entry in self._entries.items()
            if self._is_there(peer) and self._login(peer).known == "yes"
        ]

    def takes(self, target: AgentTarget) -> frozenset[Take]:
        """Return what an agent takes besides text when it answers as a model."""
        return agent_inputs(target.ref, self._entries[target.peer].driver).takes or TEXT_ONLY

    @property
    def drivers(self) -> Mapping[str, str]:
        """The drivers of the agents, by their names."""
        return {name: entry.driver for name, entry in self._entries.items()}

    async def outputs(
        self, target: AgentTarget, peer: Peer, message: Prompt, history: Sequence[PastMessage]
    ) -> AsyncGenerator[Output, None]:
        """Run one turn of the peer and yield its outputs, up to `Done`.

        Raises:
            ProviderFailed: the agent could not answer.
        """
        key = self._keys.issue(peer.name)
        try:
            running = await self._start(target, peer.prompt, key.variables)
            try:
                asked = Prompt(with_history(message.content, history), attachments=message.attachments)
                async with aclosing(_plain(running, asked)) as said:
                    async for output in said:
                        yield _named(output, target)
            finally:
                await self._end(running)
        except ProviderFailed:
            raise
        except TurnFailure as failure:
            raise _failed(target, failure) from failure
        finally:
            self._keys.end(key.digest)

    def forget(self) -> None:
        """Remove the files of agents that a killed hub left behind, except those that are still running."""
        for host_id in self.hosts.known():
            with suppress(ProgramAlive):
                self.hosts.forget(host_id)

    def _peer(self, name: str) -> str | None:
        if name in self._entries:
            return name
        programs = {Path(entry.program.argv[0]).name: peer for peer, entry in self._entries.items()}
        return programs.get(name)

    def _is_there(self, peer: str) -> bool:
        entry = self._entries[peer]
        try:
            executable(entry.program, replace(entry.launch(), cwd="/"))
        except (ProgramMissing, ProgramRefused):
            return False
        return True

    def _login(self, peer: str) -> Login:
        program, launch = self._entries[peer].program, replace(self._entries[peer].launch(), cwd="/")
        return login_of(executable(program, launch), launch.env, program.argv[1:])

    async def _start(self, target: AgentTarget, persona: str, variables: Mapping[str, str]) -> AgentProgram:
        entry = self._entries[target.peer]
        speak = self._protocols[entry.driver]
        self._folder.mkdir(mode=0o500, parents=True, exist_ok=True)
        agents = Agents(
            self.hosts, lambda opening: speak(replace(opening, persona=persona, model=target.model))
        )
        program = replace(entry.program, on_exit="reap")
        peer = Peer(target.name, PeerKind.TOOL, entry.driver, program=program)
        found = entry.launch()
        launch = replace(found, cwd=str(self._folder), env={**found.env, **variables})
        try:
            running = await agents.start(peer, f"m_{secrets.token_hex(12)}", launch, {}, lambda changed: None)
        except (ProgramMissing, ProgramRefused) as error:
            hint = entry.program.hint or "check that it runs in a terminal"
            raise _unknown(target.ref, error.detail, hint) from error
        assert isinstance(running, AgentProgram)
        return running

    async def _end(self, running: AgentProgram) -> None:
        try:
            await running.link.end(GRACE_SECONDS)
        except HostLost:
            pass  # it has ended
        except HostSilent:
            await running.link.kill()
        await running.aclose()
        self.hosts.forget(running.link.host_id)


def with_history(message: str, history: Sequence[PastMessage]) -> str:
    """Return the message preceded by the conversation so far, within a fence that no text can imitate."""
    if not history:
        return message
    fence = f"--- {secrets.token_hex(8)} ---"
    speakers = {"assistant": "You", "user": "User"}
    told = readable(history, TEXT_ONLY)
    earlier = "\n\n".join(f"[{speakers[said.role]}]\n{said.content}" for said in told)
    head = "The conversation so far, oldest first:"
    return f"{head}\n{fence}\n{earlier}\n{fence}\n\nThe new message:\n{message}"


async def _plain(running: AgentProgram, asked: Prompt) -> AsyncGenerator[Plain, None]:
    """Yield the outputs that a model would have too. Permission requests are denied."""
    async with aclosing(running.conversation().send(asked, ())) as said:
        async for output in said:
            for each in output.outputs if isinstance(output, Spooled) else (output,):
                match each:
                    case Permission(request_id):
                        await running.answer(request_id, None)
                    case Text(channel="answer" | "reasoning") | Usage() | Done():
                        yield each
            if isinstance(output, Spooled) and output.source == running.source:
                await running.acknowledge(output.offset)


def _named(output: Plain, target: AgentTarget) -> Output:
    if isinstance(output, Usage) and output.model:
        return replace(output, model=f"cli:{target.name}/{output.model}")
    return output


def _failed(target: AgentTarget, failure: TurnFailure) -> ProviderFailed:
    """Return the agent's failure as a provider's failure, so that another model may be tried."""
    said = failure.detail.lower()
    if any(words in said for words in _LOGIN_WORDS):
        return _denied(target, failure.detail, f"log in to {target.name} in a terminal")
    return ProviderFailed(
        failure.detail,
        retryable=failure.retryable,
        **_data(target.ref, f"run {target.name} in a terminal to see the reason"),
    )


def _denied(target: AgentTarget, detail: str, hint: str) -> ProviderDenied:
    return ProviderDenied(detail, **_data(target.ref, hint))


def _unknown(ref: str, detail: str, hint: str) -> ModelUnknown:
    return ModelUnknown(detail, **_data(ref, hint))


def empty(target: AgentTarget, reason: str) -> EmptyAnswer:
    """Return the failure for an answer without text. `reason`: why the agent ended it."""
    said = f"{target.name} gave an answer without text"
    data = _data(target.ref, "send the message again, or use another model")
    return EmptyAnswer(said, finish_reason=reason, **data)


def too_late(target: AgentTarget, phase: str, seconds: float) -> ProviderTimeout:
    """Return the failure for an agent that did not answer in time. `phase`: first_chunk, idle or total."""
    data = _data(target.ref, f"send the message again, or raise timeouts.{phase}")
    said = f"{target.name} did not answer in time ({phase}: {seconds:g} s)"
    return ProviderTimeout(said, retryable=True, phase=phase, **data)


def _data(ref: str, hint: str) -> dict[str, Any]:
    provider, _, model = ref.partition("/")
    return {"provider": provider, "model": model or None, "status": None, "hint": hint}
