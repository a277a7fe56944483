"""What the use cases share: the store, the peers, who runs what now, and the owner of all tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rhetor.drivers.base import Driver
from rhetor.errors import ShuttingDown
from rhetor.store.base import Store

from .ids import Ids
from .measured import Measured
from .peers import Peers
from .watching import Watching

if TYPE_CHECKING:
    from .asking import Asking
    from .plan_run import PlanRun
    from .runner import Lane
    from .running import TurnRun


@dataclass(frozen=True, slots=True)
class Limits:
    """`session_ttl` and `abandon_after` in seconds; `message_bytes` of UTF-8; `hops`: peers in a chain;
    `permission_seconds`: how long a person has to answer a request."""

    session_ttl: float = 3600.0
    context_window: int = 10
    message_bytes: int = 1 << 20
    hops: int = 8
    abandon_after: float = 5.0
    permission_seconds: float = 600.0


@dataclass(slots=True)
class State:
    """`lanes`: sessions with a turn that runs or waits. `plans`: plans that run. `asking`: what
    running turns (by id) wait to be told. All only mirror what the
    log says, for as long as something is going on."""

    store: Store
    peers: Peers
    drivers: Mapping[str, Driver]
    ids: Ids
    limits: Limits
    tasks: asyncio.TaskGroup
    watching: Watching
    measured: Measured
    lanes: dict[str, Lane] = field(default_factory=dict)
    plans: dict[str, PlanRun] = field(default_factory=dict)
    asking: dict[str, Asking] = field(default_factory=dict)
    closing: bool = False

    def require_open(self) -> None:
        """Raises:
        ShuttingDown: nothing new is taken any more."""
        if self.closing:
            raise ShuttingDown

    def running_turns(self) -> Iterator[TurnRun]:
        """In sessions and in plans."""
        yield from (lane.current for lane in self.lanes.values() if lane.current)
        for plan in self.plans.values():
            yield from plan.runs

    @property
    def running(self) -> int:
        """Turns and plans that run or wait to run."""
        return len(self.lanes) + len(self.plans)
