"""What happens to open connections when their credentials become invalid, or the hub stops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rhetor.auth.logins import COOKIE_SECONDS
from rhetor.auth.tokens import rotate_token
from rhetor.store.memory import MemoryStore
from rhetor.transports.server import server
from tests.rhetor.transports.calling import calling
from tests.rhetor.transports.open_clients import APIS, BEARER, OpenClient, open_client, refusal, terminal
from tests.served import CONSOLE, Served, served, with_programs

pytestmark = pytest.mark.anyio


async def test_a_new_token_ends_connections_of_the_old_one_on_every_api() -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(with_programs())
        home.node.attempts.per_minute = 100  # the old token is tried on each API
        clients = await _on_every_api(stack, home)
        local = await stack.enter_async_context(calling(home, "/ws"))
        token = rotate_token(Path(home.node.home, "token"))
        assert (await home.ask_tcp("GET", "/api/v2/ai", BEARER)).status == 401
        for api in APIS:
            assert (await refusal(home, api)).status == 401
        closed = (4500, "unauthenticated")
        assert await _ends(clients) == [("error", "unauthenticated"), *[closed] * 4]
        for api in APIS:
            async with open_client(home, api, {"authorization": f"Bearer {token}"}):
                pass
        assert await local.result("echo", message="the owner's socket stays") == "the owner's socket stays"
        assert home.node.tally.closed == {(api, "unauthenticated"): 1 for api in APIS}


async def test_a_removed_token_is_rejected_and_its_connections_end(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        open_client(home, "sse") as stream,
        open_client(home, "ws") as socket,
    ):
        (tmp_path / "token").unlink()
        assert (await home.ask_tcp("GET", "/api/v2/ai", BEARER)).status == 401
        assert await _ends([stream, socket]) == [("error", "unauthenticated"), (4500, "unauthenticated")]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_expired_login_ends_its_connections_on_every_api() -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(with_programs())
        clock = home.node.logins.clock = Clock()
        page = await _login(home)
        clients = await _on_every_api(stack, home, page)
        with_token = await stack.enter_async_context(open_client(home, "ws"))
        clock.now += COOKIE_SECONDS
        closed = (4001, "login_expired")
        assert await _ends(clients) == [("error", "login_expired"), *[closed] * 4]
        assert (await refusal(home, "ws", page)).status == 401
        assert await with_token.call("echo", message="still here") == "still here"


async def test_a_new_token_ends_logins_and_codes_of_the_old_one(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page = await _login(home)
        code = (await home.ask("POST", "/api/auth/code")).json["code"]
        async with open_client(home, "ws", page) as client:
            token = rotate_token(tmp_path / "token")
            new = {"authorization": f"Bearer {token}"}
            assert (await home.ask_tcp("GET", "/api/v2/ai", new)).status == 200
            assert await client.ended() == (4500, "unauthenticated")
        assert (await home.ask_tcp("GET", f"/login?code={code}", {"host": page["host"]})).status == 401


async def test_the_hub_reports_its_shutdown_on_every_api() -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(with_programs())
        clients = await _on_every_api(stack, home)
        follows = await stack.enter_async_context(open_client(home, "ws.ai"))
        await follows.call("subscribe", session_id=clients[0].session)
        home.node.shut_down()
        ends = await _ends([*clients, follows])
        assert ends[0] == ("error", "shutting_down")
        assert [code for code, _ in ends[1:]] == [1012] * 5


class Stuck(MemoryStore):
    """A store that answers nothing once `stuck` is set."""

    stuck = False

    async def commit(self, *what: Any, **how: Any) -> Any:
        await self._wait()
        return await super().commit(*what, **how)

    async def head(self, *what: Any, **how: Any) -> Any:
        await self._wait()
        return await super().head(*what, **how)

    async def _wait(self) -> None:
        if self.stuck:
            await asyncio.Event().wait()


async def test_a_request_that_the_ending_hub_cannot_answer_may_be_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 0.2)
    store = Stuck(clock=lambda: 0)
    async with served(tmp_path, store=store) as home, asyncio.TaskGroup() as tasks:
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        store.stuck = True
        path = f"/api/v2/sessions/{session}"
        reads = tasks.create_task(home.ask_tcp("GET", path, BEARER))
        writes = tasks.create_task(home.ask("POST", f"{path}/message", {"message": "hi"}))
        opens = tasks.create_task(refusal(home, "ws.socket"))
        await asyncio.sleep(0.1)
        home.node.shut_down()
        store.stuck = False  # so that the hub itself can end
    assert ((await reads).status, (await reads).json["code"]) == (503, "shutting_down")
    assert ((await writes).status, (await writes).json["code"]) == (503, "commit_unresolved")
    assert (await opens).status == 503


async def _on_every_api(
    stack: AsyncExitStack, home: Served, headers: dict[str, str] | None = None
) -> list[OpenClient]:
    await stack.enter_async_context(terminal(home))
    opened = [open_client(home, api, headers or BEARER) for api in APIS]
    return [await stack.enter_async_context(each) for each in opened]


async def _ends(clients: list[OpenClient]) -> list[tuple[int | str, str]]:
    return await asyncio.gather(*(client.ended() for client in clients))


async def _login(home: Served) -> dict[str, str]:
    """Log in; return the headers that a browser sends with each request of the hub's page."""
    code = (await home.ask("POST", "/api/auth/code")).json["code"]
    host = {"host": f"{CONSOLE}:{home.port}"}
    answer = await home.ask_tcp("GET", f"/login?code={code}", host)
    return {**host, "cookie": answer.headers["set-cookie"].split(";")[0], "origin": home.node.console}


async def test_a_hub_without_clients_stops_at_once(tmp_path: Path) -> None:
    loop, taken = asyncio.get_running_loop(), []
    for number in range(5):
        (folder := tmp_path / str(number)).mkdir()
        async with served(folder) as home:
            assert (await home.ask("GET", "/healthz")).status == 200
            began = loop.time()
        taken.append(loop.time() - began)
    assert min(taken) < 0.1
