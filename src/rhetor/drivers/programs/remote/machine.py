"""The hub's end of the link to one machine, over all connections that it makes.

It knows whether the machine is connected. What is asked of the machine is in `hosts.py` and `reach.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rhetor import background
from rhetor.codec.machine_link import LinkBroken
from rhetor.domain.machine import NOT_YET
from rhetor.drivers.base import LinkSocket, Resumed
from rhetor.drivers.programs.host.failures import HostLost
from rhetor.errors import MachineOffline

from .session import Channel, LinkReset, Session

CONNECTION_LOST = "the connection was lost"
REPLACED = "it has made another connection"
HEARD_SECONDS = 3.0  # since a message, after which a connection may be lost; there is one every 2 seconds
CHECK_SECONDS = 0.25


class Machine:
    """A machine that has joined, connected or not.

    `offline`: why it is not connected; None while it is. `changed` is called when it connects, and when its
    connection ends.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.offline: str | None = NOT_YET
        self.changed: Callable[[], None] = lambda: None
        self.noted: Callable[[dict[str, Any]], None] = lambda note: None
        self._session: Session | None = None
        self._session_id = ""
        self._connected = asyncio.Event()
        self._clocks: set[_Clock] = set()
        self._running: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._removed = False

    @property
    def is_online(self) -> bool:
        return self.offline is None

    def require_online(self) -> None:
        """Check that the machine is connected.

        Raises:
            MachineOffline: it is not.
        """
        if self.offline is not None:
            raise MachineOffline(self.name, self.offline)

    async def until_online(self) -> None:
        """Wait until the machine is connected.

        Raises:
            HostLost: it was removed.
        """
        await self._connected.wait()
        if self._removed:
            raise HostLost("", f"the machine {self.name} was removed")

    def resume(self, session: str, received: int) -> Resumed:
        """Do the same as `MachineLink.resume`."""
        known = self._session
        if known is not None and session == self._session_id and known.continues_after(received):
            return Resumed(session, known.received)
        self._stop_running()
        if self.is_online:
            self._note("it is connecting again")
        if known is not None:
            known.reset(f"rhetor join on {self.name} was started again")
        self._session, self._session_id = None, secrets.token_hex(16)
        return Resumed(self._session_id, None)

    async def serve(self, socket: LinkSocket, received: int) -> None:
        """Use a connection until it ends. An earlier one ends now.

        Raises:
            LinkBroken: the machine does not follow the protocol.
            ConnectionError: the connection was lost, or the machine has made another one.
        """
        self._stop_running()
        if self._removed:
            return
        if self._session is None:
            self._session, received = Session(noted=lambda note: self.noted(note)), 0
        session = self._session
        running = self._running = asyncio.create_task(session.run(socket, received), name=f"link {self.name}")
        self._note(None)
        why = "it has closed the connection"
        try:
            await asyncio.wait((running,))
            if running.cancelled():
                raise ConnectionError(REPLACED)
            running.result()
        except (ConnectionError, LinkBroken) as error:
            why = str(error) or CONNECTION_LOST
            if isinstance(error, LinkBroken):
                session.reset(f"{self.name} does not follow the protocol: {error}")
            raise
        finally:
            await background.stop(running)
            if self._running is running:
                self._running = None
                self._note(why)

    def _stop_running(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def _note(self, offline: str | None) -> None:
        was, self.offline = self.offline, offline
        for clock in self._clocks:
            clock.run() if offline is None else clock.stop()
        if offline is None:
            self._connected.set()
        else:
            self._connected.clear()
        if was != offline:
            self.changed()

    @asynccontextmanager
    async def limit(self, seconds: float | None) -> AsyncIterator[None]:
        """Limit how long something takes while the machine is connected. None means without limit.

        Raises:
            TimeoutError: the time is up.
        """
        async with asyncio.timeout(None) as timeout:
            clock = _Clock(timeout, seconds, lambda: self._session.heard_at if self._session else 0.0)
            self._clocks.add(clock)
            if self.is_online:
                clock.run()
            try:
                yield
            finally:
                self._clocks.discard(clock)
                clock.cancel()

    async def open(self, request: dict[str, Any]) -> tuple[Channel, dict[str, Any]]:
        """Open a channel, when the machine is connected. The request may arrive twice if the machine's
        process is started again meanwhile.

        Raises:
            ChannelRefused: the machine rejected the request.
            HostLost: the machine was removed.
        """
        while True:
            await self.until_online()
            assert self._session is not None
            try:
                return await self._session.open(request)
            except LinkReset:
                await asyncio.sleep(0)  # until the next session begins

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request that has only an answer.

        Raises:
            ChannelRefused: the machine rejected it.
        """
        channel, answer = await self.open(request)
        channel.close()
        return answer

    def close(self, why: str) -> None:
        """End the link for good. What uses it gets HostLost."""
        self._removed = True
        self._stop_running()
        self._note(why)
        self._connected.set()
        if self._session is not None:
            self._session.reset(why)
            self._session = None


class _Clock:
    """What is left of a time limit that counts only while a machine is connected.

    A connection may be lost before that is noticed. So the limit is reached only if the machine was heard
    shortly before.
    """

    def __init__(
        self, timeout: asyncio.Timeout, seconds: float | None, heard_at: Callable[[], float]
    ) -> None:
        self._timeout = timeout
        self._left = seconds
        self._heard_at = heard_at
        self._since: float | None = None
        self._due: asyncio.TimerHandle | None = None

    def run(self) -> None:
        if self._left is not None and self._since is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._due = loop.call_later(self._left, self._check)

    def stop(self) -> None:
        if self._left is not None and self._since is not None:
            self._left = max(0.0, self._left - (asyncio.get_running_loop().time() - self._since))
            self._since = None
            self.cancel()

    def cancel(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _check(self) -> None:
        loop, heard = asyncio.get_running_loop(), self._heard_at()
        assert self._since is not None
        if heard > max(self._since, loop.time() - HEARD_SECONDS):
            self._timeout.reschedule(loop.time())
        else:
            self._due = loop.call_later(CHECK_SECONDS, self._check)


class Machines:
    """The links to all machines that have joined, by name."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}

    def find(self, name: str) -> Machine | None:
        """Return the machine of this name; None if there is none."""
        return self._machines.get(name)

    def of(self, machine: str) -> Machine:
        return self._machines.setdefault(machine, Machine(machine))

    def connected(self) -> list[str]:
        """Return the names of the machines that are connected."""
        return [name for name, machine in self._machines.items() if machine.is_online]

    def remove(self, machine: str) -> None:
        if (found := self._machines.pop(machine, None)) is not None:
            found.close("it was removed")
