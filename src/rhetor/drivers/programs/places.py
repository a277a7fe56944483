"""Where the programs of peers run: on this machine, or on machines that have joined."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from rhetor import background
from rhetor.domain.machine import AT
from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch
from rhetor.errors import ProgramMissing, ProgramRefused, ProviderDenied, RhetorError, TurnFailure

from .host.hosts import HostGone, Hosts
from .host.link import HostLink
from .host.spec import Mode, ProgramSpec
from .remote.machine import Machine, Machines
from .remote.reach import RemoteReach
from .remote.session import ChannelRefused


class Started(NamedTuple):
    """A program that was started. `cwd`: the folder in which it runs, on its machine."""

    link: HostLink
    cwd: str


class Preparing(Protocol):
    """A driver of programs, as far as it decides how a program is started on this machine."""

    async def spec(self, peer: Peer, host_id: str, launch: Launch, memory: dict[str, Any]) -> ProgramSpec: ...


class Places:
    """The hosts of this machine, and the machines that have joined."""

    def __init__(self, own: Hosts, machines: Machines | None = None) -> None:
        self._own = own
        self._machines = machines or Machines()

    async def start(
        self, driver: Preparing, peer: Peer, host_id: str, launch: Launch, memory: dict[str, Any], mode: Mode
    ) -> Started:
        """Start the peer's program where the peer is. Another machine prepares the start itself.

        Raises:
            ProgramMissing, ProgramRefused, ProviderDenied: it cannot be started.
            MachineOffline: its machine was removed.
        """
        if not peer.machine:
            spec = await driver.spec(peer, host_id, launch, memory)
            return Started(await self._own.start(host_id, spec), launch.cwd)
        machine = self._machine(peer)
        try:
            found = await machine.ask(
                {
                    "op": "start",
                    "host": host_id,
                    "program": peer.name.partition(AT)[0],
                    "memory": memory,
                    "cwd": launch.cwd,
                    "rows": launch.rows,
                    "cols": launch.cols,
                }
            )
        except ChannelRefused as refused:
            raise _fault(refused.error) from None
        reach = RemoteReach(machine, host_id, mode)
        reach.note(found)
        try:
            return Started(await HostLink.open(reach, None), str(found["cwd"]))
        except (ConnectionError, EOFError):  # it has ended at once; its output can still be read
            return Started(HostLink(reach, None), str(found["cwd"]))

    async def find(self, peer: Peer, host_id: str, mode: Mode) -> HostLink | HostGone:
        """Find the host that an earlier hub started. One on another machine is returned as a link that is not
        `connected` yet.

        Raises:
            HostRefused: its folder was tampered with.
            TurnFailure: its machine was removed.
        """
        if not peer.machine:
            return await self._own.find(host_id)
        return HostLink(RemoteReach(self._machine(peer), host_id, mode), None)

    def forget(self, peer: Peer, host_id: str) -> None:
        """Remove the files of a host whose program has ended.

        Raises:
            ProgramAlive: the program is still running.
        """
        if not peer.machine:
            self._own.forget(host_id)
        elif (machine := self._machines.find(peer.machine)) is not None:
            task = background.start(_forget(machine, peer, host_id), f"forget {host_id}")
            machine.tasks.add(task)
            task.add_done_callback(machine.tasks.discard)

    def _machine(self, peer: Peer) -> Machine:
        found = self._machines.find(peer.machine)
        if found is None:
            raise TurnFailure(f"{peer.name}: the machine {peer.machine} was removed")
        return found


async def _forget(machine: Machine, peer: Peer, host_id: str) -> None:
    try:
        await machine.ask({"op": "forget", "host": host_id, "program": peer.name.partition(AT)[0]})
    except ChannelRefused:
        pass  # the files remain, which does no harm


def fault_of(error: RhetorError) -> dict[str, Any]:
    """Return an error as a machine sends it to the hub."""
    return {"code": error.code, "detail": error.detail, "data": error.data}


def _fault(error: dict[str, Any]) -> RhetorError:
    """Return the error that a machine has sent."""
    code, detail = str(error.get("code")), str(error.get("detail", "the machine gave no reason"))
    data = error.get("data")
    said: dict[str, Any] = {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}
    hint = str(said.pop("hint", "") or "")
    if code == ProgramMissing.code:
        return ProgramMissing(str(said.get("executable", "")), hint)
    if code == ProviderDenied.code:
        return ProviderDenied(detail, **said, hint=hint)
    return ProgramRefused(detail, **said, **({"hint": hint} if hint else {}))
