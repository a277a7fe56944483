"""Sessions that are watched on `/ws`: new ones, changed ones and ended ones, to each caller its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.callers import caller
from tests.rhetor.transports.calling import Caller, Frame, calling
from tests.served import Served, served, with_programs
from websockets.asyncio.client import connect

from rhetor.domain.event import OutputDelta, PermissionOption
from rhetor.domain.output import Done, Permission, Text
from rhetor.store.base import Draft, Row
from rhetor.transports.views import session_board
from rhetor.transports.views import sessions as views

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"),)
Sessions = dict[str, Frame]


class Kept:
    """The sessions as a client keeps them: what was listed first, with all changes since."""

    def __init__(self, socket: Caller) -> None:
        self.socket = socket
        self.sessions: Sessions = {}
        self.more: bool | None = None
        self._taken = 0

    async def begin(self, **params: Any) -> None:
        answer = await self.socket.result("watchSessions", subscription="s", **params)
        assert answer.keys() == {"sessions", "more"}
        self.sessions = {session["id"]: session for session in answer["sessions"]}
        self.more = answer["more"]

    @property
    def told(self) -> list[Frame]:
        return [frame["params"] for frame in self.socket.told if frame["method"] == "sessions"]

    async def until(self, matches: Callable[[Sessions], bool]) -> None:
        self._take()
        while not matches(self.sessions):
            await self.socket.read()
            self._take()

    def _take(self) -> None:
        told = self.told
        for params in told[self._taken :]:
            assert params.keys() == {"subscription", "changed", "removed"}
            assert params["subscription"] == "s"
            self.sessions |= {session["id"]: session for session in params["changed"]}
            for id in params["removed"]:
                del self.sessions[id]
        self._taken = len(told)


@asynccontextmanager
async def watching(home: Served, headers: dict[str, str]) -> AsyncIterator[Kept]:
    """Connect as another caller."""
    url = f"ws://127.0.0.1:{home.port}/ws"
    async with connect(url, additional_headers=headers, proxy=None, max_size=None) as raw:
        yield Kept(Caller(raw))


async def listed(home: Served) -> Sessions:
    found = (await home.ask("GET", "/api/v2/sessions")).json["sessions"]
    return {session["id"]: session for session in found}


async def opened(home: Served, **more: Any) -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", **more})
    assert answer.status < 300, answer.text
    return str(answer.json["id"])


async def send(home: Served, session: str, message: str = "hi") -> str:
    path, prefer = f"/api/v2/sessions/{session}/message", {"Prefer": "respond-async"}
    answer = await home.ask("POST", path, {"message": message}, headers=prefer)
    assert answer.status == 202, answer.text
    return str(answer.json["turn_id"])


async def test_a_session_is_followed_from_its_opening_to_its_end(tmp_path: Path) -> None:
    go = asyncio.Event()
    script = [Permission("r1", "Bash", {}, OPTIONS), Text("Here it is\nand more"), go, Done()]
    async with served(tmp_path, script) as home, calling(home, "/ws") as socket:
        old = await opened(home, name="old")
        kept = Kept(socket)
        await kept.begin()
        assert (kept.sessions, kept.more) == (await listed(home), False)
        new = await opened(home, name="new")
        await kept.until(lambda sessions: new in sessions)
        assert (kept.sessions[new]["title"], kept.sessions[new]["turn"]) == (None, None)
        turn = await send(home, new, "Run the tests\nplease")
        await kept.until(lambda sessions: sessions[new]["state"] == "waiting")
        assert kept.sessions == await listed(home)
        shown = kept.sessions[new]
        assert (shown["title"], shown["started"]) == ("Run the tests", True)
        assert shown["turn"] == {
            "turn_id": turn,
            "peer": "apollo",
            "since": shown["turn"]["since"],
            "state": "waiting",
            "doing": "waits for permission: Bash",
        }
        path = f"/api/v2/sessions/{new}/permissions/r1"
        assert (await home.ask("POST", path, {"option_id": "allow"})).status == 200
        await kept.until(lambda sessions: (sessions[new]["turn"] or {}).get("doing") == "answers")
        assert kept.sessions[new]["state"] == "active"
        go.set()
        await kept.until(lambda sessions: sessions[new]["title"] == "Here it is")
        await kept.until(lambda sessions: sessions[new]["turn"] is None)
        assert (await home.ask("POST", f"/api/v2/sessions/{new}/save", {"name": "kept"})).status == 200
        await kept.until(lambda sessions: sessions[new]["name"] == "kept")
        assert (await home.ask("POST", f"/api/v2/sessions/{new}/stop")).status == 200
        await kept.until(lambda sessions: sessions[new]["state"] == "stopped")
        head = (await listed(home))[new]["head"]
        await kept.until(lambda sessions: sessions[new]["head"] == head)
        assert kept.sessions == await listed(home)
        assert old in kept.sessions


async def test_only_sessions_in_the_wanted_states_are_in_the_list(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws") as socket:
        active, paused = await opened(home), await opened(home)
        await home.ask("POST", f"/api/v2/sessions/{paused}/pause")
        kept = Kept(socket)
        await kept.begin(states=["paused"])
        assert kept.sessions.keys() == {paused}
        await home.ask("POST", f"/api/v2/sessions/{active}/pause")
        await kept.until(lambda sessions: active in sessions)
        await home.ask("POST", f"/api/v2/sessions/{paused}/resume")
        await kept.until(lambda sessions: paused not in sessions)
        assert await socket.code("watchSessions", subscription="x", states=["happy"]) == -32602


async def test_a_session_of_one_message_leaves_the_list_when_it_has_ended(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, [go, Text("ok"), Done()]) as home, calling(home, "/ws") as socket:
        kept = Kept(socket)
        await kept.begin()
        body, prefer = {"content": "hi"}, {"Prefer": "respond-async"}
        id = (await home.ask("POST", "/api/v2/ai/apollo/message", body, headers=prefer)).json["session_id"]
        await kept.until(lambda sessions: id in sessions)
        go.set()
        await kept.until(lambda sessions: id not in sessions)
        assert kept.sessions == await listed(home) == {}


async def test_a_session_is_shown_to_others_only_while_it_is_shared(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("canary"), Done()]) as home:
        guest = await caller(home)
        session = await opened(home, name="canary")
        async with watching(home, guest) as kept:
            await kept.begin()
            assert kept.sessions == {}
            await send(home, session)
            share = {"subject": "guest", "scopes": ["read"]}
            assert (await home.ask("POST", f"/api/v2/sessions/{session}/shares", share)).status < 300
            before = len(kept.socket.all)
            assert "canary" not in str(kept.socket.all[:before])
            await kept.until(lambda sessions: session in sessions)
            assert kept.sessions[session]["owner"] == home.node.owner
            await home.ask("DELETE", f"/api/v2/sessions/{session}/shares/guest")
            await kept.until(lambda sessions: session not in sessions)
            told = len(kept.told)
            await home.ask("POST", f"/api/v2/sessions/{session}/save", {"name": "other"})
            own = await home.ask_tcp("POST", "/api/v2/sessions", guest, json={"specialist_id": "apollo"})
            await kept.until(lambda sessions: own.json["id"] in sessions)
            assert session not in str(kept.told[told:])


async def test_sessions_with_a_program_that_ended_are_shown_as_stopped(tmp_path: Path) -> None:
    async with with_programs() as home, calling(home, "/ws") as socket:
        await home.announce("box", "cat")
        session = (await home.status("box"))["session_id"]
        kept = Kept(socket)
        await kept.begin()
        assert kept.sessions[session]["state"] == "active"
        assert (await home.ask("DELETE", "/api/v2/programs/box?force=true")).status == 200
        await kept.until(lambda sessions: sessions[session]["state"] == "stopped")
        assert kept.sessions == await listed(home)


async def test_new_events_alone_are_notified_once_a_second(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, [Text("a"), go, Done()]) as home, calling(home, "/ws") as socket:
        kept = Kept(socket)
        await kept.begin()
        session = await opened(home)
        await send(home, session)
        await kept.until(lambda sessions: bool((sessions.get(session, {}).get("turn") or {}).get("doing")))
        told = len(kept.told)
        began = asyncio.get_running_loop().time()
        store = home.hub.state.store
        while asyncio.get_running_loop().time() - began < 2.2:
            await store.commit(session, [Draft(OutputDelta("x"))])
            await asyncio.sleep(0.02)
        head = await store.head(session)
        assert head is not None
        await kept.until(lambda sessions: sessions[session]["head"] == head.head)
        assert 2 <= len(kept.told) - told <= 5
        go.set()


async def test_at_most_500_sessions_are_listed_at_first(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(session_board, "MOST", 3)
    async with served(tmp_path) as home, calling(home, "/ws") as socket:
        ids = [await opened(home) for _ in range(5)]
        kept = Kept(socket)
        await kept.begin()
        assert (list(kept.sessions), kept.more) == (ids[:1:-1], True)
        await home.ask("POST", f"/api/v2/sessions/{ids[0]}/save", {"name": "first"})
        await kept.until(lambda sessions: ids[0] in sessions)


async def test_many_watchers_read_a_change_once(tmp_path: Path, monkeypatch: Any) -> None:
    read: list[str] = []
    real = views.described_as

    async def counting(state: Any, session: Any, title: Any) -> Any:
        read.append(session.id)
        return await real(state, session, title)

    monkeypatch.setattr(session_board, "described_as", counting)
    async with served(tmp_path) as home, calling(home, "/ws") as socket:
        for number in range(150):
            await socket.result("watchSessions", subscription=str(number))
        session = await opened(home)
        for number in range(150):
            await socket.until(
                lambda frame, number=number: (  # type: ignore[misc]
                    frame["params"]["subscription"] == str(number)
                    and [each["id"] for each in frame["params"]["changed"]] == [session]
                )
            )
        assert read.count(session) <= 3


async def test_a_watcher_of_ten_thousand_sessions_reads_only_what_changes(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws") as socket:
        session = await opened(home)
        store = home.hub.state.store
        row = await store.get("session", session)
        assert row is not None
        for begin in range(0, 10_000, 1000):
            rows = [_copy(row, number) for number in range(begin, begin + 1000)]
            await store.commit("hub", [], rows=rows)
        kept = Kept(socket)
        await kept.begin()
        assert (len(kept.sessions), kept.more) == (500, True)
        await home.ask("POST", f"/api/v2/sessions/{session}/save", {"name": "found"})
        await kept.until(lambda sessions: session in sessions)
        assert sum(len(params["changed"]) for params in kept.told) <= 3


def _copy(row: Row, number: int) -> Row:
    id = f"s_{number:024x}"
    doc = row.doc.replace(row.id.encode(), id.encode())
    return Row("session", id, row.state, doc, owner=row.owner, parent=row.parent, at=row.at + number)
