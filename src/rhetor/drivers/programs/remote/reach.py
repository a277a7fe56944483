"""The reach of a host on a machine that has joined: requests and bytes over the machine's link."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rhetor.codec import host_frames as frames
from rhetor.drivers.programs.host.connection import ANSWER_SECONDS, HostConnection
from rhetor.drivers.programs.host.failures import HostLost, HostRefused, OutputUnreadable
from rhetor.drivers.programs.host.spec import HostIdentity, Mode
from rhetor.drivers.programs.host.values import Chunk, Exited, exited
from rhetor.errors import HostSilent

from .machine import Machine
from .session import ChannelRefused

GONE, SILENT = "host_gone", "host_silent"  # the codes of a machine's answers


class RemoteReach:
    """The way to a host on another machine. Requests wait while the machine is not connected."""

    def __init__(self, machine: Machine, host_id: str, mode: Mode) -> None:
        self._machine = machine
        self.host_id = host_id
        self.identity = HostIdentity(host_id, 0, 0, 0, 0, "", b"", mode, "")

    @property
    def machine(self) -> str:
        return self._machine.name

    def require_reachable(self) -> None:
        self._machine.require_online()

    @asynccontextmanager
    async def answering(self, seconds: float | None = ANSWER_SECONDS) -> AsyncIterator[None]:
        try:
            async with self._machine.limit(seconds):
                yield
        except TimeoutError:
            raise HostSilent(self.host_id) from None

    async def connect(self, *, hub: bool = False, seconds: float | None = ANSWER_SECONDS) -> HostConnection:
        async with self.answering(seconds):
            try:
                channel, found = await self._machine.open(
                    {"op": "connect", "host": self.host_id, "hub": hub, "seconds": seconds}
                )
            except ChannelRefused as refused:
                raise self._fault(refused) from None
        self.note(found)
        return HostConnection(channel, self.host_id)

    async def runs(self) -> bool:
        return bool((await self._look())["runs"])

    async def exited(self) -> Exited | None:
        end = (await self._look()).get("exited")
        return exited(bytes.fromhex(end)) if end else None

    async def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        channel, _ = await self._machine.open({"op": "left", "host": self.host_id, "offset": offset})
        connection = HostConnection(channel, self.host_id)
        try:
            while True:
                item = _left(*await connection.receive())
                yield item
                if isinstance(item, Exited):
                    return
        except (ConnectionError, EOFError):
            raise HostLost(self.host_id) from None
        except ValueError as error:
            raise OutputUnreadable(self.host_id, error) from error
        finally:
            channel.close()

    async def kill(self) -> None:
        async with self.answering():
            await self._machine.ask({"op": "kill", "host": self.host_id})

    async def until_over(self) -> None:
        return  # the machine waits for that

    def note(self, found: dict[str, Any]) -> None:
        """Note what a machine says of the processes of the host."""
        mode: Mode = "pty" if found["mode"] == "pty" else "pipes"
        self.identity = HostIdentity(
            self.host_id,
            int(found["host_pid"]),
            int(found["host_start"]),
            int(found["program_pid"]),
            int(found["program_start"]),
            str(found["boot_id"]),
            b"",
            mode,
            "",
        )

    async def _look(self) -> dict[str, Any]:
        return await self._machine.ask({"op": "look", "host": self.host_id})

    def _fault(self, refused: ChannelRefused) -> Exception:
        code = refused.error.get("code")
        if code == GONE:
            return ConnectionError(str(refused))
        if code == SILENT:
            return HostSilent(self.host_id)
        return HostRefused(self.host_id, str(refused))


def _left(kind: int, body: bytes) -> Chunk | Exited:
    if kind == frames.EXITED:
        return exited(body)
    return Chunk(*frames.unpack_chunk(body))
