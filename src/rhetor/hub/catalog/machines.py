"""The machines that have joined, as rows of the catalog, and which of them are connected now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from rhetor.domain.machine import NOT_YET, JoinedMachine
from rhetor.domain.peer import Peer
from rhetor.domain.program import ProgramStatus
from rhetor.errors import MachineOffline
from rhetor.store.base import Catalog, Row

KIND, JOINED = "machine", "joined"
MAX_ROWS = 10_000


def machine_row(machine: JoinedMachine) -> Row:
    return Row(KIND, machine.name, JOINED, msgspec.json.encode(machine), at=machine.since)


def machine_of(row: Row) -> JoinedMachine:
    return msgspec.json.decode(row.doc, type=JoinedMachine)


class Machines:
    """All machines that have joined. `elsewhere`: since when those are connected that are connected to other
    nodes, in Unix time in milliseconds."""

    def __init__(self) -> None:
        self.elsewhere: Mapping[str, int] = {}
        self._known: dict[str, JoinedMachine] = {}
        self._online: set[str] = set()
        self._changed_at: dict[str, int] = {}

    async def load(self, catalog: Catalog) -> None:
        """Read all machines from the catalog. Call it once."""
        for row in await catalog.find(KIND, limit=MAX_ROWS):
            self.put(replace(machine_of(row), why=NOT_YET))

    def __iter__(self) -> Iterator[JoinedMachine]:
        return iter(sorted(self._known.values(), key=lambda machine: machine.name))

    def find(self, name: str) -> JoinedMachine | None:
        """Return the machine of this name, in upper or lower case; None if there is none."""
        return self._known.get(name) or next(
            (each for each in self._known.values() if each.name.lower() == name.lower()), None
        )

    def put(self, machine: JoinedMachine) -> None:
        self._known[machine.name] = machine
        self._changed_at.setdefault(machine.name, machine.seen)

    def remove(self, name: str) -> None:
        self._known.pop(name, None)
        self._online.discard(name)
        self._changed_at.pop(name, None)

    def note(self, name: str, *, online: bool, now: int) -> None:
        """Note that a machine is connected, or that its connection has ended."""
        (self._online.add if online else self._online.discard)(name)
        self._changed_at[name] = now

    def is_online(self, name: str) -> bool:
        """Return whether a machine is connected, to whichever node."""
        return name in self._online or name in self.elsewhere

    def is_here(self, peer: Peer) -> bool:
        """Return whether this node reaches the peer's machine."""
        return not peer.machine or peer.machine in self._online

    @property
    def here(self) -> dict[str, int]:
        """Since when those are connected that are connected to this node, in Unix time in milliseconds."""
        return {name: self._changed_at.get(name, 0) for name in sorted(self._online)}

    def since(self, name: str) -> int:
        """Return when a machine was connected, or its connection ended, in Unix time in milliseconds."""
        own = self._changed_at.get(name, 0)
        return own if name in self._online else self.elsewhere.get(name, own)

    def offline_status(self, peer: Peer) -> ProgramStatus | None:
        """Return the status of a peer whose machine is not connected; None for all other peers."""
        if not peer.machine or self.is_online(peer.machine):
            return None
        known = self._known.get(peer.machine)
        why = f"{peer.machine} is offline: {known.why}" if known else f"{peer.machine} was removed"
        return ProgramStatus("offline", why, self.since(peer.machine))

    def require_online(self, peer: Peer) -> None:
        """Check that this node reaches the peer's machine, if it is another one.

        Raises:
            MachineOffline: it does not.
        """
        if not self.is_here(peer):
            if peer.machine in self.elsewhere:
                raise MachineOffline(peer.machine, "it is connected to another node")
            known = self._known.get(peer.machine)
            raise MachineOffline(peer.machine, known.why if known else "it was removed")
