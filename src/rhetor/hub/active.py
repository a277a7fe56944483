"""What runs now: program instances."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from rhetor.domain.peer import Peer
from rhetor.domain.program import ProgramStatus
from rhetor.drivers.base import Running
from rhetor.hub.catalog.programs import ProgramRow
from rhetor.store.base import SourceOffset


@dataclass(slots=True)
class ProgramInstance:
    """A program that runs, and the tasks that hear it. `left`: after its end was told to all. `given_up`: its
    last turn, where that ended without its answer: what it took may be told only then."""

    entry: ProgramRow
    running: Running
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    given_up: str | None = None

    @property
    def peer(self) -> Peer:
        return self.entry.peer

    @property
    def status(self) -> ProgramStatus:
        return self.running.status

    def stored(self, sources: Sequence[SourceOffset]) -> int | None:
        """How far its spool is in the log now, where a commit has said so."""
        return next((s.offset for s in sources if s.source == self.running.source), None)
