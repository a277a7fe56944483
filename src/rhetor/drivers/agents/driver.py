"""The driver of coding agents that speak lines: each conversation is a process of its own, under a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch
from rhetor.drivers.base import Left, Running
from rhetor.drivers.programs.driver import end_of, executable, program_of, taken_up
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.hosts import HostGone, Hosts
from rhetor.drivers.programs.host.spec import ProgramSpec
from rhetor.errors import ForkUnsupported

from .agent import AgentProgram
from .protocol import COPY_OF, Opening, Speech


class Agents:
    """`speech`: how this kind of agent is spoken to."""

    sessions: Literal["many", "one"] = "many"
    continues = True

    def __init__(self, hosts: Hosts, speech: Callable[[Opening], Speech]) -> None:
        self._hosts = hosts
        self._speech = speech

    async def start(
        self,
        peer: Peer,
        host_id: str,
        launch: Launch,
        memory: dict[str, Any],
        changed: Callable[[Running], None],
    ) -> Running:
        program = program_of(peer)
        path = executable(program, launch)
        speech = self._speech(opening(launch.cwd, memory))
        argv = speech.command((path, *program.argv[1:]))
        env = speech.environment(launch.env)
        spec = ProgramSpec(argv, launch.cwd, env, "pipes", on_exit=program.on_exit)
        link = await self._hosts.start(host_id, spec)
        return AgentProgram(peer, link, Feed(link, 0, 0), f"host:{host_id}", changed, speech, fresh=True)

    async def find(
        self, peer: Peer, host_id: str, left: Left, changed: Callable[[Running], None]
    ) -> Running | Exit:
        found = await self._hosts.find(host_id)
        if isinstance(found, HostGone):
            return end_of(found)
        status = await found.status()
        speech = self._speech(opening(program_of(peer).cwd, left.memory))
        if speech.opening.fork:
            speech.memory |= {key: value for key, value in left.memory.items() if key != COPY_OF}
        speech.reopen(left.in_turn, left.asked)
        stderr = status.stderr_total
        feed = Feed(found, await taken_up(found, status, left.offset), stderr)
        return AgentProgram(
            peer,
            found,
            feed,
            f"host:{host_id}",
            changed,
            speech,
            fresh=False,
            in_turn=left.in_turn,
            asked=left.asked if left.in_turn else (),
            stderr=stderr,
        )

    def copied(self, peer: Peer, memory: dict[str, Any]) -> dict[str, Any]:
        if not self._speech(Opening("", memory)).can_fork():
            raise ForkUnsupported(peer.name)
        return {COPY_OF: memory} if "session_id" in memory else {}

    def forget(self, host_id: str) -> None:
        self._hosts.forget(host_id)


def opening(cwd: str, memory: dict[str, Any]) -> Opening:
    """With a memory as it was kept: of a copy that is not made yet it holds what is to be copied."""
    parent = memory.get(COPY_OF)
    if "session_id" not in memory and isinstance(parent, dict):
        return Opening(cwd, parent, fork=True)
    return Opening(cwd, memory)
