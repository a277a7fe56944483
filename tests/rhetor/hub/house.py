"""A hub with a memory store and scripted peers, and helpers that read its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.scripted import PEERS, ScriptedDriver

from rhetor.domain.budget import Budget
from rhetor.domain.command import Command, SendMessage, StartPlan
from rhetor.domain.event import Event, Payload, PlanEnded, Position, TurnEnd
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.secrets import Secrets
from rhetor.drivers.base import PeerInputs, Sender
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.limits import Limits
from rhetor.hub.core.nodes import Nodes
from rhetor.hub.hub import Hub
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.hub.plans.plans import Planned
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Blobs, Store, follow
from rhetor.store.memory import MemoryStore

ME = Principal.person("me", local=True)
OTHER = Principal.person("somebody else", local=True)


class House:
    def __init__(self, hub: Hub, driver: ScriptedDriver) -> None:
        self.hub = hub
        self.driver = driver
        self.store = hub.state.store

    async def send(self, command: SendMessage | None = None, **fields: object) -> Accepted:
        found: Accepted = await self.hub.execute(ME, command or SendMessage(**fields))  # type: ignore[arg-type]
        return found

    async def execute(self, command: Command) -> object:
        return await self.hub.execute(ME, command)

    async def end_of(self, accepted: Accepted) -> TurnEnd:
        end, _ = await self.hub.answer(accepted)
        assert isinstance(end, TurnEnd)
        return end

    async def run_plan(self, command: StartPlan) -> list[Event]:
        planned: Planned = await self.hub.execute(ME, command)
        return await self.until(planned.plan_id, planned.after, PlanEnded)

    async def until(self, stream: str, after: Position, kind: type[Payload]) -> list[Event]:
        events: list[Event] = []
        async for records in follow(self.store, stream, after):
            events += [record.event for record in records]
            if any(isinstance(event.payload, kind) for event in events):
                return events
        raise AssertionError("following does not end")

    async def log(self, stream: str) -> list[Payload]:
        head = await self.store.head(stream)
        assert head is not None
        records = await self.store.page(stream, Position(head.epoch, 0), 1000)
        return [record.event.payload for record in records]


@asynccontextmanager
async def house(
    *scripts: object,
    store: Store | None = None,
    limits: Limits | None = None,
    driver: ScriptedDriver | None = None,
    secrets: Secrets | None = None,
    budgets: Sequence[Budget] = (),
    ids: Ids | None = None,
    peers: Sequence[Peer] = PEERS,
    senders: Sequence[Sender] = (),
    kept: Blobs | None = None,
    inputs: PeerInputs | None = None,
    nodes: Nodes | None = None,
) -> AsyncIterator[House]:
    driver = driver or ScriptedDriver(*scripts)  # type: ignore[arg-type]
    store = store or MemoryStore(clock=lambda: 1_700_000_000_000, secrets=secrets)
    known = Peers(peers, {"reviewers": ("apollo", "athena")})
    async with (
        asyncio.timeout(60),
        open_hub(
            store,
            known,
            {"scripted": driver},
            ids=ids,
            limits=limits,
            secrets=secrets,
            budgets=budgets,
            senders=senders,
            owner=ME.subject,
            kept=kept,
            inputs=inputs,
            nodes=nodes,
        ) as hub,
    ):
        yield House(hub, driver)
