"""How many connections a caller may open per minute, and have open at the same time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rhetor.auth.limits import MOST_CALLERS
from rhetor.domain.principal import AGENT, Principal
from rhetor.errors import RhetorError, TooManyConnections, Unauthenticated
from rhetor.transports.server.connections import Connections
from tests.rhetor.transports.calling import calling
from tests.rhetor.transports.open_clients import APIS, BEARER, open_client, refusal, session, terminal
from tests.served import CONSOLE, Served, served, with_programs

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("api", APIS)
async def test_a_connection_over_the_limit_per_minute_is_rejected(api: str) -> None:
    async with with_programs(connections=Connections(per_minute=2, at_once=100)) as home, terminal(home):
        for _ in range(2):
            async with open_client(home, api):
                pass
        refused = await refusal(home, api)
        assert (refused.status, refused.headers["content-type"]) == (429, "application/problem+json")
        assert 50 <= int(refused.headers["retry-after"]) <= 60
        for other in APIS:  # all APIs count together
            assert (await refusal(home, other)).status == 429
        assert (await home.ask_tcp("GET", "/api/v2/ai", BEARER)).status == 200


@pytest.mark.parametrize("api", APIS)
async def test_a_connection_over_the_limit_at_once_is_rejected_until_another_ends(api: str) -> None:
    connections = Connections(per_minute=1000, at_once=2)
    async with with_programs(connections=connections) as home, terminal(home):
        async with open_client(home, "sse"), open_client(home, "ws"):
            refused = await refusal(home, api)
            assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        async with asyncio.timeout(25):
            while connections.by_api():  # noqa: ASYNC110  # the hub has no event for the end of a connection
                await asyncio.sleep(0.01)
        async with open_client(home, api):
            assert connections.by_api() == {api: 1}


async def test_a_streamed_answer_counts_only_towards_the_limit_at_once(
    tmp_path: Path,
) -> None:
    connections = Connections(per_minute=1, at_once=1)
    async with served(tmp_path, connections=connections) as home:
        stream, body = "/api/v2/ai/apollo/stream", {"content": "hi"}
        for _ in range(3):
            assert (await home.ask_tcp("POST", stream, BEARER, json=body)).status == 200
        async with open_client(home, "ws"):
            refused = await home.ask_tcp("POST", stream, BEARER, json=body)
            assert (refused.status, refused.json["code"]) == (429, "too_many_connections")
            whole = await home.ask_tcp("POST", "/api/v2/ai/apollo/message", BEARER, json=body)
            assert whole.status == 200
        assert len(await home.hub.state.store.find("turn")) == 4  # the rejected message was not accepted


async def test_another_credential_of_the_same_caller_shares_its_limits(tmp_path: Path) -> None:
    async with served(tmp_path, connections=Connections(per_minute=1, at_once=1)) as home:
        code = (await home.ask("POST", "/api/auth/code")).json["code"]
        own = {"host": f"{CONSOLE}:{home.port}"}
        login = await home.ask_tcp("GET", f"/login?code={code}", own)
        cookie = {**own, "cookie": login.headers["set-cookie"].split(";")[0], "origin": home.node.console}
        async with open_client(home, "ws"):
            assert (await refusal(home, "ws", cookie)).status == 429
            assert (await refusal(home, "ws", {**BEARER, "cookie": "rhetor=made-up"})).status == 429
            assert (await refusal(home, "ws", {"authorization": "Bearer made-up"})).status == 401


async def test_the_owners_unix_socket_is_exempt(tmp_path: Path) -> None:
    async with served(tmp_path, connections=Connections(per_minute=1, at_once=1)) as home:
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(calling(home, "/ws"))
            assert await _streams(home, 5) == [200] * 5
        async with open_client(home, "ws"):
            assert (await refusal(home, "ws")).status == 429


async def _streams(home: Served, count: int) -> list[int]:
    path = f"http://localhost/api/v2/sessions/{await session(home)}/events"
    async with AsyncExitStack() as stack:
        asked = [home.local.get(path, headers={"accept": "text/event-stream"}) for _ in range(count)]
        return [(await stack.enter_async_context(each)).status for each in asked]


async def test_the_minute_is_a_sliding_window_per_caller() -> None:
    connections = Connections(per_minute=2, at_once=9)
    for now in (0.0, 30.0):
        connections._admit("me", now, is_new=True)
    with pytest.raises(TooManyConnections) as refused:
        connections._admit("me", 59.0, is_new=True)
    assert refused.value.data == {"limit": 2, "retry_after": 1.0, "hint": TooManyConnections.hint}
    connections._admit("you", 59.0, is_new=True)
    connections._admit("me", 60.0, is_new=True)
    with pytest.raises(TooManyConnections) as refused:
        connections._admit("me", 61.0, is_new=True)
    assert refused.value.data == {"limit": 2, "retry_after": 29.0, "hint": TooManyConnections.hint}
    for n in range(2 * MOST_CALLERS):
        connections._admit(f"caller {n}", 62.0, is_new=True)
    assert len(connections._new) == MOST_CALLERS


async def test_an_agent_is_limited_even_on_the_unix_socket() -> None:
    connections = Connections(per_minute=1, at_once=9)
    owner = Principal.person("me", local=True)
    agent = Principal("agent:apollo", frozenset({AGENT}), local=True)
    for who in (owner, owner, agent):
        with connections.opened("ws", who, None):
            pass
    with pytest.raises(TooManyConnections), connections.opened("ws", agent, None):
        pass
    assert (connections.by_api(), connections._held) == ({}, {})


class _Unreadable:
    """A credential that cannot be checked at first, and is invalid from then on."""

    def __init__(self) -> None:
        self.faults: list[Exception] = [OSError("too many open files")]

    def fault(self) -> RhetorError | None:
        if self.faults:
            raise self.faults.pop()
        return Unauthenticated("revoked")


async def test_a_failed_check_is_repeated_and_revocation_still_ends_connections() -> None:
    connections = Connections()
    checking = asyncio.create_task(connections.keep_checking())
    with pytest.raises(Unauthenticated), connections.opened("ws", Principal.person("me"), _Unreadable()):
        await asyncio.sleep(30)
    checking.cancel()
