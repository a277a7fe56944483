"""Third-party clients follow a session while its turns run, are cut, resume, and receive every event once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.browser import browsing
from tests.clients.having import BROWSERS, node_with_socketio, node_with_ws
from tests.clients.relay import Relay, relayed
from tests.needs import needs
from tests.scale import FULL, scaled
from tests.served import CONSOLE, TOKEN, Served, served
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from rhetor.auth.addresses import Addresses
from rhetor.codec.sse import ServerSentEvent, SSEDecoder

pytestmark = pytest.mark.anyio
TURNS = 30
ENDS = (-15, 18, 56)  # exit codes of curl: ended by the test, or cut (CURLE_PARTIAL_FILE, CURLE_RECV_ERROR)
CUTS = (1_500, 7_001)  # bytes; of about 40,000
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("follow.js")
SOCKETIO_SCRIPT = Path(__file__).with_name("follow_socketio.js")


@dataclass
class FollowedSession:
    """A session that is followed through a relay. `address`: host and port of the relay."""

    home: Served
    relay: Relay
    session: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.relay.port}"

    @property
    def events(self) -> str:
        return f"/api/v2/sessions/{self.session}/events"

    async def talk(self, cuts: Sequence[int] = CUTS) -> None:
        """Run turns, during which connections are cut, then end the session."""
        self.relay.cuts.extend(cuts)
        for n in range(TURNS):
            body = {"message": f"message {n} ✓"}
            answer = await self.home.ask("POST", f"/api/v2/sessions/{self.session}/message", body)
            assert answer.status == 200, answer.text
        assert (await self.home.ask("DELETE", f"/api/v2/sessions/{self.session}")).status == 200

    async def log(self) -> list[Any]:
        found: list[Any] = (await self.home.ask("GET", f"{self.events}?limit=1000")).json["events"]
        return found


@asynccontextmanager
async def followed_session(folder: Path) -> AsyncIterator[FollowedSession]:
    async with served(folder, seconds=120.0) as home, relayed(home.port) as relay:
        home.node.addresses = Addresses(relay.port, CONSOLE)
        home.node.console = f"http://{CONSOLE}:{relay.port}"
        made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
        yield FollowedSession(home, relay, made.json["id"])


async def test_the_websockets_library_receives_every_event_once(tmp_path: Path) -> None:
    async with followed_session(tmp_path) as there, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_follow(there))
        await there.talk()
        assert await following == await there.log()
        assert there.relay.made == len(CUTS)


async def _follow(there: FollowedSession) -> list[Any]:
    seen: list[Any] = []
    headers = {"Authorization": f"Bearer {TOKEN}"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "subscribe"}
    async for socket in connect(f"ws://{there.address}/ws/ai/apollo", additional_headers=headers):
        cursor = seen[-1]["cursor"] if seen else None
        params = {"session_id": there.session, "cursor": cursor}
        try:
            await socket.send(json.dumps({**call, "params": params}))
            assert json.loads(await socket.recv())["result"]["outcome"] == "ok"
            while not seen or not _is_end(seen[-1]):
                seen.append(json.loads(await socket.recv())["params"])
            return seen
        except ConnectionClosed:
            continue
    raise AssertionError("connecting does not end")


def _is_end(event: Any) -> bool:
    return bool(event["type"] == "session.state" and event["data"]["state"] == "stopped")


async def test_the_ws_package_of_node_receives_every_event_once(tmp_path: Path) -> None:
    node, folder = node_with_ws()
    async with followed_session(tmp_path) as there:
        process = await asyncio.create_subprocess_exec(
            node,
            *(str(SCRIPT), str(folder), f"ws://{there.address}/ws/ai/apollo", TOKEN, there.session),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await there.talk()
            out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert json.loads(out) == await there.log()
        assert there.relay.made == len(CUTS)


TRANSPORTS = ("polling", "polling,websocket", "websocket")


def _socketio_client(kind: str, there: FollowedSession, transports: str) -> list[str]:
    """Return the command of a Socket.IO client that follows the session."""
    if kind == "node":
        node, folder = node_with_socketio()
        command = [node, str(SOCKETIO_SCRIPT), str(folder)]
    else:
        command = [sys.executable, "-W", "error", "-m", "tests.clients.follow_socketio", kind]
    return [*command, f"http://{there.address}", TOKEN, there.session, transports]


async def _followed(command: list[str], there: FollowedSession, cuts: Sequence[int]) -> dict[str, Any]:
    """Run turns while the client follows them; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        await there.talk(cuts)
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.long
@pytest.mark.parametrize("transports", TRANSPORTS)
@pytest.mark.parametrize("kind", ["node", "asynchronous", "synchronous"])
async def test_a_socketio_client_receives_every_event_once(
    tmp_path: Path, kind: str, transports: str
) -> None:
    async with followed_session(tmp_path) as there:
        found = await _followed(_socketio_client(kind, there, transports), there, CUTS)
        assert found["seen"] == await there.log()
        assert there.relay.made == len(CUTS)
        assert found["transport"] == transports.split(",")[-1]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["node", "asynchronous", "synchronous"])
async def test_a_socketio_client_that_is_cut_at_random_has_the_digest_of_the_log(
    tmp_path: Path, kind: str
) -> None:
    for n in range(scaled(15, 1)):
        seed = secrets.randbits(32)
        chance = random.Random(seed)
        transports = TRANSPORTS[n % 3] if FULL else chance.choice(TRANSPORTS)
        cuts = [chance.randrange(100, 6_000) for _ in range(chance.randrange(1, 7))]
        folder = tmp_path / str(seed)
        folder.mkdir()
        async with followed_session(folder) as there:
            found = await _followed(_socketio_client(kind, there, transports), there, cuts)
            assert _digest(found["seen"]) == _digest(await there.log()), (seed, transports)
            assert there.relay.made > 0


def _digest(events: list[Any]) -> str:
    same = json.loads(json.dumps(events, sort_keys=True), parse_int=float)  # JavaScript writes 0.0 as 0
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()


async def test_curl_receives_every_event_once(tmp_path: Path) -> None:
    curl = needs("curl")
    async with followed_session(tmp_path) as there, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_curled(curl, there))
        await there.talk()
        assert await following == await there.log()
        assert there.relay.made == len(CUTS)


async def _curled(curl: str, there: FollowedSession) -> list[Any]:
    """Run curl again and again, each time from the last event that was received completely."""
    seen: list[ServerSentEvent] = []
    while not seen or not _is_end(json.loads(seen[-1].data)):
        last = ["--header", f"Last-Event-ID: {seen[-1].id}"] if seen else []
        process = await asyncio.create_subprocess_exec(
            *(curl, "--no-buffer", "--silent", "--fail", "--header", f"Authorization: Bearer {TOKEN}"),
            *("--header", "Accept: text/event-stream", *last, f"http://{there.address}{there.events}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        decoder = SSEDecoder()
        while data := await process.stdout.read(1 << 16):
            seen += decoder.feed(data)
            if seen and _is_end(json.loads(seen[-1].data)):
                process.terminate()
                break
        assert await process.wait() in ENDS
    return [json.loads(event.data) for event in seen]


@pytest.mark.browser
@pytest.mark.parametrize("transport", ["WebSocket", "EventSource"])
async def test_a_logged_in_browser_receives_every_event_once(tmp_path: Path, transport: str) -> None:
    chromium = needs(*BROWSERS)
    async with followed_session(tmp_path) as there, browsing(chromium, tmp_path) as page:
        login = (await there.home.ask("POST", "/api/auth/code")).json["url"]
        await page.open(login)
        # the hub's page at / may connect to nothing
        await page.open(f"http://{CONSOLE}:{there.relay.port}/healthz")
        await page.run(SCRIPT.read_text())
        async with asyncio.TaskGroup() as tasks:
            script = {
                "WebSocket": "follow(WebSocket, `ws://${location.host}/ws/ai/apollo`, [], SESSION)",
                "EventSource": "follow_source(EventSource, `/api/v2/sessions/${SESSION}/events`)",
            }[transport]
            following = tasks.create_task(page.run(script.replace("SESSION", f"'{there.session}'")))
            await there.talk()
            assert await following == await there.log()
        assert there.relay.made == len(CUTS)


@pytest.mark.browser
async def test_a_browser_without_a_login_receives_no_event(tmp_path: Path) -> None:
    chromium = needs(*BROWSERS)
    async with followed_session(tmp_path) as there, browsing(chromium, tmp_path) as page:
        await page.open(f"http://{CONSOLE}:{there.relay.port}/healthz")
        refused = await page.run(f"fetch('{there.events}').then((answer) => answer.status)")
        closed = await page.run(
            "new Promise((done) => {"
            " const socket = new WebSocket(`ws://${location.host}/ws`);"
            " socket.onclose = (event) => done(event.code);"
            "})"
        )
        assert (refused, closed) == (401, 1006)
