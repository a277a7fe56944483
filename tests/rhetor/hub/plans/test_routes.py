"""Routes: named chains of peers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.rhetor.hub.forwarding.test_forwards import AGENT_OF_APOLLO
from tests.rhetor.hub.house import ME, OTHER, House, house
from tests.rhetor.hub.turns.test_context import injected, split

from rhetor.domain import event as ev
from rhetor.domain.command import Command
from rhetor.domain.event import Event
from rhetor.domain.rule_commands import PutRoute, RemoveRoute, SendRoute
from rhetor.domain.rules import Hop
from rhetor.errors import (
    Forbidden,
    HopLimit,
    Malformed,
    NameTaken,
    NoCapablePeer,
    NotFound,
    ProviderCut,
    UnknownPeer,
    UnknownTeam,
    Unprocessable,
)
from rhetor.hub.plans.routes import route_of, routes_of
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio
REVIEW = PutRoute("review", (Hop("apollo"), Hop("athena", "look for races"), Hop("prometheus")))


async def sent(home: House, name: str, content: str) -> list[Event]:
    planned = await home.hub.execute(ME, SendRoute(name, content))
    return await home.until(planned.plan_id, planned.after, ev.PlanEnded)


async def test_each_peer_of_a_route_receives_the_previous_answer_and_its_purpose() -> None:
    async with house() as home:
        await home.execute(REVIEW)
        events = await sent(home, "review", "a cache")
        assert [name for name, _ in home.driver.heard] == ["apollo", "athena", "prometheus"]
        first, second, third = (split(message) for _, message in home.driver.heard)
        assert first == ([], "a cache")
        assert second[0] == [("route review", "look for races")]
        assert re.fullmatch(r"\[From Apollo\]\n(--- \w{16} ---)\napollo heard: a cache\n\1", second[1])
        assert third[1].startswith("[From Athena]\n")
        assert injected([e.payload for e in events]) == [(("look for races",), "route review")]
        vias = [e.payload.via for e in events if isinstance(e.payload, ev.MessageAccepted)]
        assert vias == [(), ("apollo",), ("apollo", "athena")]
        assert events[-1].payload == ev.PlanEnded("completed")


async def test_after_a_failed_hop_no_later_peer_is_called() -> None:
    async with house([ProviderCut("broke off")]) as home:
        await home.execute(REVIEW)
        events = await sent(home, "review", "x")
        ends = [
            e.payload for e in events if isinstance(e.payload, ev.StepFailed | ev.StepSkipped | ev.PlanEnded)
        ]
        assert ends == [
            ev.StepFailed("h1", "provider_cut", "broke off", False),
            ev.StepSkipped("h2", "h1"),
            ev.StepSkipped("h3", "h1"),
            ev.PlanEnded("failed"),
        ]


async def test_a_route_can_contain_another_route_a_team_and_a_capability() -> None:
    async with house() as home:
        await home.execute(PutRoute("inner", (Hop("team:reviewers"),)))
        await home.execute(
            PutRoute("outer", (Hop("@code-analysis"), Hop("route:inner", "check it"), Hop("apollo")))
        )
        events = await sent(home, "outer", "x")
        names = [name for name, _ in home.driver.heard]
        assert [names[0], sorted(names[1:3]), names[3]] == ["apollo", ["apollo", "athena"], "apollo"]
        assert injected([e.payload for e in events]) == [(("check it",), "route outer")] * 2
        await home.execute(RemoveRoute("inner"))
        with pytest.raises(NotFound) as missing:
            await sent(home, "outer", "x")
        assert missing.value.data == {"kind": "route", "id": "inner"}


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x\x1b[31m", "route:z", "@a", "y" * 101, "list", "name"])
async def test_an_invalid_route_name_is_rejected(name: str) -> None:
    async with house() as home:
        for new in (True, False):
            with pytest.raises(Unprocessable):
                await home.execute(PutRoute(name, (Hop("apollo"),), new))
        assert routes_of(home.hub.state, ME) == []


async def test_a_route_is_replaced_by_name_unless_it_must_be_new() -> None:
    async with house() as home:
        await home.execute(REVIEW)
        with pytest.raises(NameTaken):
            await home.execute(PutRoute("review", (Hop("apollo"),), new=True))
        await home.execute(PutRoute("review", (Hop("athena"),)))
        assert [hop.target for hop in route_of(home.hub.state, ME, "review").hops] == ["athena"]


async def test_routes_survive_a_restart_and_belong_to_their_owner(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    try:
        async with house(store=store) as home:
            await home.execute(REVIEW)
        async with house(store=store) as home:
            assert [route.hops for route in routes_of(home.hub.state, ME)] == [REVIEW.hops]
            with pytest.raises(NotFound):
                await home.hub.execute(OTHER, SendRoute("review", "x"))
            await home.execute(RemoveRoute("review"))
        async with house(store=store) as home:
            assert routes_of(home.hub.state, ME) == []
    finally:
        await store.aclose()


LONG = tuple(Hop("apollo") for _ in range(9))


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (PutRoute("r", (Hop("apollo"), Hop("nobody"))), UnknownPeer),
        (PutRoute("r", (Hop("@flying"),)), NoCapablePeer),
        (PutRoute("r", (Hop("team:nobody"),)), UnknownTeam),
        (PutRoute("r", (Hop("route:nowhere"),)), NotFound),
        (PutRoute("r", (Hop("route:r"),)), Unprocessable),
        (PutRoute("r", LONG), HopLimit),
        (PutRoute("r", ()), Unprocessable),
        (SendRoute("nowhere", "x"), NotFound),
        (RemoveRoute("nowhere"), NotFound),
    ],
)
async def test_an_invalid_command_is_rejected(command: Command, refused: type[Exception]) -> None:
    async with house() as home:
        with pytest.raises(refused):
            await home.execute(command)
        assert routes_of(home.hub.state, ME) == []


async def test_a_route_that_would_close_a_cycle_is_rejected() -> None:
    async with house() as home:
        await home.execute(PutRoute("a", (Hop("apollo"),)))
        await home.execute(PutRoute("b", (Hop("route:a"),)))
        with pytest.raises(Unprocessable) as refused:
            await home.execute(PutRoute("a", (Hop("athena"), Hop("route:b"))))
        assert refused.value.data == {"circle": ["a", "b", "a"]}


async def test_an_empty_message_is_rejected() -> None:
    async with house() as home:
        await home.execute(REVIEW)
        with pytest.raises(Malformed):
            await home.execute(SendRoute("review", " \n"))


async def test_a_peers_program_cannot_change_routes() -> None:
    async with house() as home:
        with pytest.raises(Forbidden):
            await home.hub.execute(AGENT_OF_APOLLO, REVIEW)
