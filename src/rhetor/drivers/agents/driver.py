"""The driver of coding agents. Each conversation is a process of its own, under a host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch
from rhetor.drivers.base import RunningProgram, SavedState
from rhetor.drivers.programs.driver import end_of, executable, first_status, program_of, resume_offset
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.hosts import HostGone, Hosts
from rhetor.drivers.programs.host.spec import ProgramSpec
from rhetor.drivers.programs.places import Places
from rhetor.errors import ForkUnsupported, ProviderDenied

from .agent import AgentProgram
from .logins import login_of
from .protocol import COPY_OF, REPORTED, AgentProtocol, Opening

LOGIN_SECONDS = 0.3  # a message waits at most this long for the check of the login


class Agents:
    """The driver of one kind of agent. `protocol` creates the protocol of a conversation."""

    sessions: Literal["many", "one"] = "many"
    continues = True

    def __init__(self, hosts: Hosts | Places, protocol: Callable[[Opening], AgentProtocol]) -> None:
        self._places = hosts if isinstance(hosts, Places) else Places(hosts)
        self._protocol = protocol

    async def start(
        self,
        peer: Peer,
        host_id: str,
        launch: Launch,
        memory: dict[str, Any],
        changed: Callable[[RunningProgram], None],
    ) -> RunningProgram:
        link, cwd = await self._places.start(self, peer, host_id, launch, memory, "pipes")
        protocol = self._protocol(opening(cwd, memory))
        return AgentProgram(peer, link, Feed(link, 0, 0), f"host:{host_id}", changed, protocol, fresh=True)

    async def spec(self, peer: Peer, host_id: str, launch: Launch, memory: dict[str, Any]) -> ProgramSpec:
        """Return what to start on this machine.

        Raises:
            ProgramMissing, ProgramRefused: the agent, or its folder, does not exist.
            ProviderDenied: the agent is not logged in.
        """
        program = program_of(peer)
        path = executable(program, launch)
        await _require_login(peer, path, program.argv[1:], launch)
        protocol = self._protocol(opening(launch.cwd, memory))
        argv = protocol.command((path, *program.argv[1:]))
        env = protocol.environment(launch.env)
        return ProgramSpec(argv, launch.cwd, env, "pipes", on_exit=program.on_exit)

    async def find(
        self, peer: Peer, host_id: str, left: SavedState, changed: Callable[[RunningProgram], None]
    ) -> RunningProgram | Exit:
        found = await self._places.find(peer, host_id, "pipes")
        if isinstance(found, HostGone):
            return end_of(found)
        status = await first_status(found)
        protocol = self._protocol(opening(program_of(peer).cwd, left.memory))
        if protocol.opening.fork:
            protocol.memory |= {key: value for key, value in left.memory.items() if key != COPY_OF}
        protocol.resume(left.in_turn, left.asked)
        stderr = status.stderr_total if status is not None else None
        offset = left.offset if status is None else await resume_offset(found, status, left.offset)
        feed = Feed(found, offset, stderr)
        program = AgentProgram(
            peer,
            found,
            feed,
            f"host:{host_id}",
            changed,
            protocol,
            fresh=False,
            in_turn=left.in_turn,
            asked=left.asked if left.in_turn else (),
            stderr=stderr or 0,
        )
        if status is None:
            program.wait_for_host()
        return program

    def memory_of_copy(self, peer: Peer, memory: dict[str, Any]) -> dict[str, Any]:
        if not self._protocol(Opening("", memory)).can_fork():
            raise ForkUnsupported(peer.name)
        return _copy_of(memory)

    def memory_to_keep(self, memory: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in memory.items() if key != REPORTED}

    def memory_at(self, left: dict[str, Any], now: dict[str, Any]) -> dict[str, Any] | None:
        if not self.remembers(left):
            return {}
        if "session_id" not in left:  # a copy that was not made yet
            return _copy_of(left)
        then = self._protocol(Opening("", left))
        if left == self.memory_to_keep(now) or (
            then.place and then.place == self._protocol(Opening("", now)).place
        ):
            return now
        return _copy_of(left) if then.can_rewind() else None

    def remembers(self, memory: dict[str, Any]) -> bool:
        return "session_id" in memory or bool(memory.get(COPY_OF))

    def forget(self, peer: Peer, host_id: str) -> None:
        self._places.forget(peer, host_id)


def _copy_of(memory: dict[str, Any]) -> dict[str, Any]:
    """Return the memory of a copy of the conversation that left `memory`; empty if it has not begun."""
    original = memory if "session_id" in memory else memory.get(COPY_OF)
    return {COPY_OF: original} if original else {}


async def _require_login(peer: Peer, path: str, arguments: Sequence[str], launch: Launch) -> None:
    """Check that the agent is not known to be logged out, so that nobody waits for it to say so.

    Its files are read in a thread, because a home folder may be far away. The result is not cached: a login
    counts from the next message on.

    Raises:
        ProviderDenied: the agent is not logged in.
    """
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            login = await asyncio.to_thread(login_of, path, launch.env, arguments, launch.cwd)
    except TimeoutError:
        return
    if login.known == "no":
        raise ProviderDenied(f"{peer.name} is not logged in", provider=peer.name, hint=login.how)


def opening(cwd: str, memory: dict[str, Any]) -> Opening:
    """Return how to open the conversation that left this memory. If it is a copy that has not been made yet,
    it is opened as a fork of the original."""
    parent = memory.get(COPY_OF)
    if "session_id" not in memory and isinstance(parent, dict):
        return Opening(cwd, parent, fork=True)
    return Opening(cwd, memory)
