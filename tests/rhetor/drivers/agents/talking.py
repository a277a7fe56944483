"""Messages to agents that are test programs, under a real host."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhetor.domain.output import Done, Output, Plain, Record, Remembered, Spooled, Text, Usage
from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch
from rhetor.drivers.agents.agent import AgentProgram
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.agents.protocol import AgentProtocol, Opening
from rhetor.drivers.base import Prompt, SavedState
from rhetor.drivers.programs.host.hosts import Hosts
from tests.rhetor.drivers.programs.host.hosting import hosting

SECONDS = 60.0


@dataclass
class House:
    """Runs a peer's program, and talks to it by its protocol. `home`: the program's home and folder."""

    hosts: Hosts
    home: Path
    peer: Peer
    protocol: Callable[[Opening], AgentProtocol]

    async def start(self, memory: dict[str, Any] | None = None) -> AgentProgram:
        """Start a process. `memory`: that of the previous process."""
        launch = Launch(str(self.home), {"PATH": "/usr/bin:/bin", "HOME": str(self.home)})
        agents = Agents(self.hosts, self.protocol)
        running = await agents.start(
            self.peer, f"h{len(self.hosts.known())}", launch, memory or {}, lambda _: None
        )
        assert isinstance(running, AgentProgram)
        return running

    async def found(self, lost: AgentProgram) -> AgentProgram:
        """Find the first process as another hub would, after the hub of `lost` was killed during a turn."""
        offset, memory = lost.feed.offset, dict(lost._memory)
        lost.release()
        await lost.aclose()
        left = SavedState(offset, memory, in_turn=True)
        running = await Agents(self.hosts, self.protocol).find(self.peer, "h0", left, lambda _: None)
        assert isinstance(running, AgentProgram)
        return running


@asynccontextmanager
async def house(peer: Peer, protocol: Callable[[Opening], AgentProtocol]) -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(SECONDS), hosting(Path(folder)) as hosts:
            yield House(hosts, Path(folder), peer, protocol)


def send(running: AgentProgram, content: str) -> AsyncGenerator[Output, None]:
    return running.conversation().send(Prompt(content), ())


async def heard(turn: AsyncGenerator[Output, None], kept: list[Plain] | None = None) -> list[Plain]:
    """Return the outputs of a turn, without records, usage and `Remembered`."""
    found = [] if kept is None else kept
    async with aclosing(turn):
        async for output in turn:
            each = output.outputs if isinstance(output, Spooled) else (output,)
            found += [one for one in each if not isinstance(one, Record | Remembered | Usage)]
    return found


async def until(turn: AsyncGenerator[Output, None], wanted: type[Plain]) -> Any:
    """Return the first output of that kind; the turn continues."""
    async for output in turn:
        for one in output.outputs if isinstance(output, Spooled) else ():
            if isinstance(one, wanted):
                return one
    raise AssertionError(f"no {wanted.__name__} came")


async def answer(running: AgentProgram, content: str) -> str:
    outputs = await heard(send(running, content))
    assert outputs[-1] == Done()
    return "".join(output.text for output in outputs if isinstance(output, Text))
