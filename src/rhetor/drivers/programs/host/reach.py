"""How one host is reached: over its socket on this machine, or through the link of another machine.

The rest of this package uses a host only through its reach, so it does not know where the host is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .connection import ANSWER_SECONDS, HostConnection, answering
from .folder import HostFolder, kill, start_time
from .spec import HostIdentity
from .values import Chunk, Exited

LAST_SECONDS = 5.0  # a killed host closes its sockets a moment before its process is gone
LOOK_SECONDS = 0.01


class HostReach(Protocol):
    """The way to one host, which may be gone. `identity`: of the host; that of a host on a machine that is
    not connected has no processes until it is known."""

    @property
    def host_id(self) -> str: ...

    @property
    def identity(self) -> HostIdentity: ...

    @property
    def machine(self) -> str:
        """The machine of the host; empty if it is this one."""
        ...

    def require_reachable(self) -> None:
        """Check that requests reach the host's machine.

        Raises:
            MachineOffline: they do not.
        """
        ...

    def answering(self, seconds: float | None = ANSWER_SECONDS) -> AbstractAsyncContextManager[None]:
        """Limit how long the host may take to answer. The time in which its machine is not connected does not
        count. None means without limit.

        Raises:
            HostSilent: the time is up.
        """
        ...

    async def connect(self, *, hub: bool = False, seconds: float | None = ANSWER_SECONDS) -> HostConnection:
        """Open a connection. With `hub`, the host keeps running as long as it is open.

        Raises:
            ConnectionError: the host is gone.
            HostRefused: the nonce is wrong.
            HostSilent: the host does not answer in time.
        """
        ...

    async def runs(self) -> bool:
        """Return whether the host runs although a connection to it has ended."""
        ...

    async def exited(self) -> Exited | None:
        """Return how the program ended; None if its host has not recorded that."""
        ...

    def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        """Yield what a host that is gone has left from `offset` on, then the program's end.

        Raises:
            HostLost: after the last piece, if it is not known how the program ended.
            OutputUnreadable: the output from here on was changed, or its key is missing.
        """
        ...

    async def kill(self) -> None:
        """Kill a host that does not answer. Its program and all descendants end with it."""
        ...

    async def until_over(self) -> None:
        """Wait until the host's process is gone, at most `LAST_SECONDS`."""
        ...


class LocalReach:
    """The reach of a host on this machine. `folder`: where it leaves its output."""

    machine = ""

    def __init__(self, identity: HostIdentity, folder: HostFolder) -> None:
        self.identity = identity
        self._folder = folder

    @property
    def host_id(self) -> str:
        return self.identity.host_id

    def require_reachable(self) -> None:
        return

    def answering(self, seconds: float | None = ANSWER_SECONDS) -> AbstractAsyncContextManager[None]:
        return answering(self.host_id, seconds)

    async def connect(self, *, hub: bool = False, seconds: float | None = ANSWER_SECONDS) -> HostConnection:
        return await HostConnection.open(self.identity, hub=hub, seconds=seconds)

    async def runs(self) -> bool:
        return False  # a host that runs does not end its connections

    async def exited(self) -> Exited | None:
        return self._folder.exited()

    def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        return self._folder.read(offset)

    async def kill(self) -> None:
        kill(self.identity)
        await self.until_over()

    async def until_over(self) -> None:
        for _ in range(round(LAST_SECONDS / LOOK_SECONDS)):
            if start_time(self.identity.host_pid) != self.identity.host_start:
                return
            await asyncio.sleep(LOOK_SECONDS)
