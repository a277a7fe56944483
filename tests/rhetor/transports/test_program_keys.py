"""What the key in a program's environment allows: on every API, from every process, as long as the program
runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import unix_connect

from rhetor.domain.event import MessageAccepted
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.rhetor.transports.calling import Caller
from tests.rhetor.transports.open_clients import open_client, refusal
from tests.rhetor.transports.socketio.engine_client import OnWebSocket
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import Answer, Served, with_programs

pytestmark = pytest.mark.anyio
TELLS = """
import os, sys
with open(sys.argv[1] + ".new", "w") as file:
    file.write(os.environ["RHETOR_TOKEN"])
os.rename(sys.argv[1] + ".new", sys.argv[1])
for line in sys.stdin:
    print(os.environ["RHETOR_TOKEN"] if line == "tell\\n" else "heard " + line.strip(), flush=True)
"""


@dataclass
class Holder:
    """Somebody who has the key of the program `box`: here a process of the person, so that only the key says
    which peer it is."""

    home: Served
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def tcp(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.home.ask_tcp(method, path, self.bearer, json=body)

    async def unix(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.home.ask(method, path, body, headers=self.bearer)


@asynccontextmanager
async def holding(**options: Any) -> AsyncIterator[Holder]:
    async with with_programs(**options) as home:
        told = home.socket.parent / "told"
        await home.announce("box", *PYTHON, TELLS, str(told))
        async with asyncio.timeout(25):
            while not told.exists():  # noqa: ASYNC110  # written by another process
                await asyncio.sleep(0.01)
        yield Holder(home, told.read_text())


@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_a_message_with_the_key_names_the_peer_as_its_author(way: str) -> None:
    async with holding() as box:
        ask = box.tcp if way == "tcp" else box.unix
        sent = await ask("POST", "/api/v2/ai/apollo/message", {"content": "hi", "context_window": 5})
        assert sent.status == 200, sent.text
        session = sent.json["session_id"]
        message = next(p for p in await box.home.log(session) if isinstance(p, MessageAccepted))
        assert (message.from_, message.via) == ("agent:box", ("box",))
        assert message.content.startswith("[From Box]\n---")  # fenced, as the text of every other peer
        assert (await ask("GET", f"/api/v2/sessions/{session}")).status == 200
        assert (await box.home.ask("GET", f"/api/v2/sessions/{session}")).status == 404


async def test_a_completion_with_the_key_in_x_api_key_is_asked_for_by_the_peer() -> None:
    body = {"model": "apollo", "messages": [{"role": "user", "content": "hi"}]}
    async with holding() as box:
        key, path = {"x-api-key": box.key}, "/v1/chat/completions"
        over_tcp = await box.home.ask_tcp("POST", path, key, json=body)
        over_unix = await box.home.ask("POST", path, body, headers=key)
        for answer in (over_tcp, over_unix):
            assert answer.status == 200, answer.text
            log = await box.home.log(answer.headers["x-session-id"])
            message = next(each for each in log if isinstance(each, MessageAccepted))
            assert (message.from_, message.via, message.api) == ("agent:box", ("box",), "chat")
        elsewhere = await box.home.ask_tcp("GET", "/api/v2/ai", key)
        assert elsewhere.status == 401  # only the APIs of vendors have this header


ONLY_PERSONS: list[tuple[str, str, Any]] = [
    ("POST", "/api/auth/code", None),
    ("POST", "/api/auth/token", {}),
    (
        "POST",
        "/api/v2/programs",
        {"name": "x", "kind": "stdio", "argv": ["/bin/true"], "cwd": "/", "env": {}},
    ),
    ("DELETE", "/api/v2/programs/box", None),
    ("POST", "/api/mcp-servers", {"name": "x", "command": ["/bin/true"]}),
    ("POST", "/api/v2/shutdown", None),
    ("POST", "/api/v2/reload", None),
    ("PUT", "/api/v2/environment", {"variables": {}}),
    ("PUT", "/api/v2/budgets/global", {"usd_per_day": "1"}),
]


@pytest.mark.parametrize("way", ["tcp", pytest.param("unix", marks=pytest.mark.long)])
async def test_the_key_has_the_scope_of_an_agent_and_nothing_more(way: str) -> None:
    async with holding() as box:
        ask = box.tcp if way == "tcp" else box.unix
        mine = await box.home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
        for method, path, body in ONLY_PERSONS:
            answer = await ask(method, path, body)
            assert (answer.status, answer.json["code"]) == (403, "forbidden"), (path, answer.text)
        for path in (f"sessions/{mine.json['id']}", f"sessions/{mine.json['id']}/events"):
            assert (await ask("GET", f"/api/v2/{path}")).status == 404
        allowed = await ask("POST", f"/api/v2/sessions/{mine.json['id']}/permissions/r_1", {"option_id": "x"})
        assert allowed.status in (403, 404)
        assert (await ask("GET", "/api/v2/history")).json == {"history": []}
        entries = (await box.home.ask("GET", "/api/v2/audit")).json["entries"]
        refusals = [entry for entry in entries if entry["subject"] == "agent:box"]
        assert refusals
        assert {entry["credential"] for entry in refusals if entry["of"] is None} == {"key box"}


@pytest.mark.long
async def test_all_connections_with_the_key_end_with_the_program() -> None:
    async with holding() as box, AsyncExitStack() as stack:
        apis = ("ws", "ws.ai", "ws.socket")
        over_tcp = [await stack.enter_async_context(open_client(box.home, api, box.bearer)) for api in apis]
        talker = await stack.enter_async_context(connecting(box.home))
        assert "sid" in await talker.connect({"token": box.key})
        local = unix_connect(str(box.home.socket), uri="ws://localhost/ws", additional_headers=box.bearer)
        over_unix = Caller(await stack.enter_async_context(local))
        assert await over_unix.result("echo", message=1) == 1
        assert (await box.home.ask("DELETE", "/api/v2/programs/box")).status == 200
        async with asyncio.timeout(25):
            ended: list[Any] = [await client.ended() for client in over_tcp]
            assert isinstance(talker.engine, OnWebSocket)
            ended += [await over_unix.closed(), await talker.engine.closed()]
        assert ended == [(4500, "unauthenticated")] * 5
        box.home.node.attempts.per_minute = 100
        for api in ("sse", *apis):
            assert (await refusal(box.home, api, box.bearer)).status == 401
        async with connecting(box.home) as again:
            assert "sid" not in await again.connect({"token": box.key})
        assert (await box.tcp("GET", "/api/v2/ai")).status == 401
        assert (await box.tcp("POST", "/mcp", {})).status == 401


@pytest.mark.long
async def test_the_key_ends_when_the_program_is_killed() -> None:
    async with holding() as box:
        assert (await box.tcp("GET", "/api/v2/ai")).status == 200
        pid = (await box.home.status("box"))["pid"]
        os.kill(pid, 9)
        async with asyncio.timeout(25):
            while (await box.tcp("GET", "/api/v2/ai")).status != 401:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.mark.long
async def test_a_made_up_key_is_an_invalid_token() -> None:
    async with holding() as box:
        wrong = {"authorization": f"Bearer {box.key[:-1]}_"}
        answers = [await box.home.ask_tcp("GET", "/api/v2/ai", wrong) for _ in range(6)]
        assert [answer.status for answer in answers] == [401] * 5 + [429]
        assert (await box.tcp("GET", "/api/v2/ai")).status == 200  # a valid key is never refused by that
        assert (await box.home.ask("POST", "/api/auth/code", headers=wrong)).status == 200  # still the owner


@pytest.mark.long
async def test_the_key_is_masked_in_the_programs_output() -> None:
    async with holding() as box:
        said = await box.home.say("box", "tell")
        assert said.status == 200, said.text
        assert box.key not in said.text


@pytest.mark.long
async def test_two_programs_have_different_keys() -> None:
    async with holding() as box:
        told = box.home.socket.parent / "told2"
        await box.home.announce("crate", *PYTHON, TELLS, str(told))
        async with asyncio.timeout(25):
            while not told.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        other = Holder(box.home, told.read_text())
        assert other.key != box.key
        sent = await other.tcp("POST", "/api/v2/ai/apollo/message", {"content": "hi", "context_window": 1})
        session = sent.json["session_id"]
        assert (await box.tcp("GET", f"/api/v2/sessions/{session}")).status == 404
        assert (await box.home.ask("DELETE", "/api/v2/programs/crate")).status == 200
        assert (await other.tcp("GET", "/api/v2/ai")).status == 401
        assert (await box.tcp("GET", "/api/v2/ai")).status == 200
