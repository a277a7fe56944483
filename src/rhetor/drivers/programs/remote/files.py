"""Calls the stores of snapshots on machines that have joined, from the threads in which the hub uses
files."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import msgspec

from rhetor.domain.machine import FilesFailed

from .machine import Machines
from .session import Channel, ChannelRefused, LinkReset

LOST_SECONDS = 15.0  # for a machine to be connected again, before its files count as unreachable
LOOK_SECONDS = 0.5


class MachineFiles:
    """The files of machines. Its method blocks; `loop` is that of the links."""

    def __init__(self, machines: Machines, loop: asyncio.AbstractEventLoop) -> None:
        self._machines = machines
        self._loop = loop

    def call(self, machine: str, method: str, arguments: dict[str, Any]) -> bytes:
        """Call a method of the store of snapshots on a machine; return its result as JSON.

        Raises:
            FilesFailed: the machine reports a failure.
            OSError: the machine is not connected, or was not for a while during the call. Then it may have
                done what was asked.
        """
        work = self._call(machine, method, arguments)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _call(self, name: str, method: str, arguments: dict[str, Any]) -> bytes:
        machine = self._machines.find(name)
        if machine is None:
            raise OSError(errno.ENOTCONN, f"the machine {name} was removed")
        if not machine.is_online:
            raise OSError(errno.ENOTCONN, f"{name} is offline: {machine.offline}")
        asked = asyncio.create_task(
            self._ask(name, {"op": "files", "method": method, "arguments": msgspec.to_builtins(arguments)})
        )
        lost = 0.0
        while not asked.done():
            await asyncio.wait((asked,), timeout=LOOK_SECONDS)
            lost = 0.0 if name in self._machines.connected() else lost + LOOK_SECONDS
            if lost >= LOST_SECONDS:
                asked.cancel()
                raise OSError(errno.ENOTCONN, f"{name} is offline: {machine.offline}")
        return asked.result()

    async def _ask(self, name: str, request: dict[str, Any]) -> bytes:
        machine = self._machines.of(name)
        try:
            channel, _ = await machine.open(request)
        except ChannelRefused as refused:
            data: dict[str, Any] = refused.error.get("data") or {}
            kind, journal = str(data.get("kind", "")), str(data.get("journal", ""))
            raise FilesFailed(str(refused), kind, journal) from None
        try:
            return await _whole(channel)
        except LinkReset as error:
            raise OSError(errno.ECONNRESET, str(error)) from None
        finally:
            channel.close()


async def _whole(channel: Channel) -> bytes:
    parts = []
    while part := await channel.read(1 << 16):
        parts.append(part)
    return b"".join(parts)
