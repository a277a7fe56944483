"""`aish.connect()`: peers, sessions, turns, following and permissions, with a hub on real sockets."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import aish
from aish import live
from aish.live import Event, Follow, Hub
from aish.live.errors import error_of
from aish.live.following import MAX_EVENTS
from rhetor import errors
from rhetor.domain.command import KeepBlob, Principal
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Record, Text
from rhetor.errors import ProviderCut
from rhetor.transports.websocket import connection
from tests.aish.relay import relayed
from tests.scale import scaled
from tests.served import TOKEN, Served, served

pytestmark = pytest.mark.anyio
LIMIT = scaled(200, 40)  # of subscriptions per connection
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
BASH = Permission("req_1", "Bash", {"command": "ls"}, OPTIONS)
MANY = 3 * MAX_EVENTS


@asynccontextmanager
async def connected(folder: Path, *scripts: Any, **options: Any) -> AsyncIterator[tuple[Served, Hub]]:
    async with served(folder, *scripts, **options) as home, aish.connect(str(folder), start=False) as hub:
        yield home, hub


async def log(hub: Hub, stream: str) -> list[dict[str, Any]]:
    """Return the whole stream over REST."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await hub.request("GET", f"/api/v2/sessions/{stream}/events?limit=1000{after}")
        found += page["events"]
        if not page["events"]:
            return found
        after = f"&after={found[-1]['cursor']}"


def as_logged(event: Event) -> dict[str, Any]:
    names = ("epoch", "seq", "prev", "cursor", "session_id", "turn_id", "at", "type", "data")
    return {name: getattr(event, name) for name in names}


async def follow_until(follow: Follow, last: str, count: int = 1) -> list[dict[str, Any]]:
    """Follow up to the `count`th event of type `last`; return the events."""
    found: list[dict[str, Any]] = []
    async for event in follow:
        found.append(as_logged(event))
        count -= event.type == last
        if not count:
            return found
    raise AssertionError("following does not end")


async def test_a_message_is_answered_in_pieces_and_as_a_whole(tmp_path: Path) -> None:
    script = [Text("He "), Text("llo"), Done()]
    async with connected(tmp_path, script) as (_, hub):
        session = await hub.session("apollo-ai", name="review", metadata={"a": 1})
        assert (session.peer, session.name) == ("apollo-ai", "review")
        turn = await session.send("why?")
        assert "".join([piece async for piece in turn.text()]) == "He llo"
        answer = await turn.answer()
        assert (answer.text, str(answer), answer.finish_reason) == ("He llo", "He llo", "stop")
        state = await session.state()
        assert [(m.role, m.content) for m in state.messages] == [("user", "why?"), ("assistant", "He llo")]
        assert state.metadata == {"a": 1}


async def test_connect_starts_no_process_if_a_hub_is_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    async with served(tmp_path), aish.connect(str(tmp_path)) as hub:
        assert (await hub.peer("apollo")).id == "apollo"


async def test_peers_are_listed_and_a_message_needs_no_session(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        assert {"apollo", "athena", "prometheus"} <= {peer.id for peer in await hub.peers()}
        assert (await hub.peer("apollo-ci")).capabilities.scores == {"code-analysis": 0.95}
        turn = await hub.send("@code-analysis", "hi")
        assert (turn.peer, (await turn.answer()).text) == ("apollo", "apollo heard: hi")


async def test_a_named_session_is_continued_and_others_are_new(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        opened = await asyncio.gather(
            *(
                hub.session(peer, name="review")
                for peer in ("apollo", "apollo-ai", "@code-analysis", "apollo")
            )
        )
        assert len({session.id for session in opened}) == 1
        others = [await hub.session("apollo"), await hub.session("apollo")]
        assert len({session.id for session in (*opened, *others)}) == 3
        assert (await hub.resume(others[0].id)).peer == "apollo"
        listed = await hub.sessions("apollo")
        assert {session.id for session in listed} == {opened[0].id, *(o.id for o in others)}
        with pytest.raises(live.NameTaken):
            await hub.session("athena", name="review")
        await opened[0].stop()  # an ended session frees its name
        assert (await hub.session("athena", name="review")).peer == "athena"


async def test_follow_yields_the_log(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        session = await hub.session("apollo")
        await (await session.send("one")).answer()
        follow = session.follow()
        first = await follow_until(follow, "turn.completed")
        await session.send("two")
        later = await follow_until(follow, "turn.completed")
        assert first + later == await log(hub, session.id)
        middle = session.follow(after=first[2]["cursor"])
        assert await follow_until(middle, "turn.completed", 2) == (first + later)[3:]
        assert middle.cursor == later[-1]["cursor"]


async def test_a_turn_that_was_folded_still_has_its_text(tmp_path: Path) -> None:
    script = [Text("He "), Text("llo "), Text("there"), Done()]
    async with connected(tmp_path, script) as (home, hub):
        session = await hub.session("apollo")
        turn = await session.send("hi")
        await turn.answer()
        await home.hub.state.store.fold(session.id, turn.id)
        assert "".join([piece async for piece in turn.text()]) == "He llo there"


async def test_a_failed_turn_has_a_reason_and_its_partial_text(tmp_path: Path) -> None:
    script = [Text("Well, "), ProviderCut("it broke off", retryable=True)]
    async with connected(tmp_path, script, script) as (_, hub):
        session = await hub.session("apollo")
        for read in (live.Turn.answer, _joined):
            with pytest.raises(live.TurnFailed) as failed:
                await read(await session.send("hi"))
            error = failed.value
            assert (error.code, error.partial, error.retryable) == ("provider_cut", "Well, ", True)


async def test_an_interrupted_turn_has_an_exception_of_its_own(tmp_path: Path) -> None:
    async with connected(tmp_path, [Text("Well, "), asyncio.Event()]) as (_, hub):
        session = await hub.session("apollo")
        turn = await session.send("hi")
        await follow_until(session.follow(), "output.delta")
        await session.interrupt()
        with pytest.raises((live.TurnCancelled, live.TurnInterrupted)) as ended:
            await turn.answer()
        assert ended.value.partial == "Well, "


async def _joined(turn: live.Turn) -> str:
    return "".join([piece async for piece in turn.text()])


async def test_a_rejected_request_raises_a_typed_exception(tmp_path: Path) -> None:
    async with connected(tmp_path, [asyncio.Event()]) as (_, hub):
        session = await hub.session("apollo")
        await session.send("hi")
        with pytest.raises(live.PeerBusy):
            await session.send("more", if_busy="refuse")
        with pytest.raises(live.UnknownPeer) as unknown:
            await hub.session("nobody")
        assert (unknown.value.status, unknown.value.data["peer"]) == (404, "nobody")
        for refused in (hub.resume("s_never"), session.answer_permission("never", "x")):
            with pytest.raises(live.NotFound):
                await refused
        with pytest.raises(live.NotFound):
            await anext(hub.follow("s_never"))
        with pytest.raises(live.Invalid):
            await anext(session.follow(after="nonsense"))
        with pytest.raises(live.Invalid):
            await session.send(" ")
        await session.stop()
        with pytest.raises(live.SessionOver):
            await session.send("again")


async def test_the_same_command_id_gives_the_same_turn_and_rejects_another_message(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path) as (home, hub):
        session = await hub.session("apollo")
        turns = [await session.send("hi", command_id="k") for _ in range(3)]
        assert len({turn.id for turn in turns}) == 1
        with pytest.raises(live.Conflict) as reused:
            await session.send("ho", command_id="k")
        assert reused.value.code == "key_reused"
        await turns[0].answer()
        assert home.driver.heard == [("apollo", "hi")]


async def test_a_lost_position_is_raised_after_the_events_before_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        session, other = await hub.session("apollo"), await hub.session("apollo")
        follow, beside = session.follow(), other.follow()
        first = await anext(follow)
        assert (await anext(beside)).session_id == other.id
        await (await session.send("hi")).answer()
        await hub.request("POST", f"/api/v2/sessions/{session.id}/restore", {"at": first.cursor})
        seen = [first.seq]
        with pytest.raises(live.EpochChanged) as lost:
            while True:
                seen.append((await anext(follow)).seq)
        assert seen == list(range(1, len(seen) + 1))
        assert lost.value.epoch != first.epoch
        with pytest.raises(live.EpochChanged):
            await anext(follow)
        with pytest.raises(live.Ahead):
            await anext(session.follow(after=f"{lost.value.epoch}:999"))
        await other.send("hi")
        assert (await follow_until(beside, "turn.completed"))[-1]["session_id"] == other.id


async def test_a_truncated_log_is_reported_with_its_beginning(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, hub):
        session = await hub.session("apollo")
        await (await session.send("hi")).answer()
        first = await anext(session.follow())
        await home.hub.state.store.truncate(session.id, 4)
        with pytest.raises(live.Truncated) as lost:
            await anext(session.follow(after=first.cursor))
        assert lost.value.earliest == 4
        assert (await anext(session.follow())).seq == 4


async def test_a_stalled_reader_is_buffered_up_to_a_limit_and_delays_no_other(tmp_path: Path) -> None:
    records = [Record(record={"n": number}) for number in range(MANY)]
    async with connected(tmp_path, [*records, Done()], seconds=60) as (_, hub):
        busy, calm = await hub.session("apollo"), await hub.session("apollo")
        stalled, reads = busy.follow(), busy.follow()
        await anext(stalled)
        await busy.send("go")
        everything = await follow_until(reads, "turn.completed")
        assert len(everything) > MANY
        assert stalled.buffered <= MAX_EVENTS
        assert (await (await calm.send("hi")).answer()).text == "apollo heard: hi"
        assert stalled.buffered <= MAX_EVENTS
        assert await follow_until(stalled, "turn.completed") == everything[1:]


async def test_one_connection_follows_more_turns_than_its_limit_of_subscriptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_TASKS", LIMIT)
    async with connected(tmp_path, seconds=120) as (_, hub):
        session = await hub.session("apollo")
        for number in range(LIMIT + 30):
            assert (await (await session.send(f"{number}")).answer()).text == f"apollo heard: {number}"
            await anext(session.follow())  # dropped without closing


async def test_every_event_arrives_once_however_often_the_connection_breaks(tmp_path: Path) -> None:
    dice = random.Random(7)
    async with (
        served(tmp_path, *([*_pieces(), Done()] for _ in range(6)), seconds=60) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
    ):
        session = await hub.session("apollo")
        follow = session.follow()
        events = asyncio.create_task(follow_until(follow, "turn.completed", 6))
        for _ in range(6):
            await session.send("go")
            for _ in range(3):
                await asyncio.sleep(dice.uniform(0, 0.02))
                relay.cut()
        assert await events == await log(hub, session.id)
        assert relay.connections > 6


def _pieces() -> list[Any]:
    """Yield texts that each become a separate event."""
    return [Record(record={"n": number}) for number in range(200)]


async def test_a_message_whose_response_was_lost_is_sent_once(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
    ):
        session = await hub.session("apollo")
        relay.is_deaf = True
        sending = asyncio.create_task(session.send("hi"))
        await relay.deafened.wait()
        relay.cut()
        assert (await (await sending).answer()).text == "apollo heard: hi"
        assert home.driver.heard == [("apollo", "hi")]


async def test_a_request_that_is_not_idempotent_is_not_repeated(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
    ):
        session = await hub.session("apollo")
        relay.is_deaf = True
        ending = asyncio.create_task(session.interrupt())
        await relay.deafened.wait()
        relay.cut()
        with pytest.raises(live.HubUnreachable):
            await ending


async def test_the_client_gives_up_if_the_hub_does_not_return(tmp_path: Path) -> None:
    async with aish.connect(str(tmp_path), start=False, reconnect_timeout=0.2) as hub:
        for asked in (hub.peers(), anext(hub.follow("s_1")), anext(hub.watch_permissions())):
            with pytest.raises(live.HubUnreachable):
                await asked


async def test_a_hub_at_a_url_requires_a_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with aish.connect(url=home.node.url, token=TOKEN) as hub:
            session = await hub.session("apollo")
            assert (await (await session.send("hi")).answer()).text == "apollo heard: hi"
        async with aish.connect(url=home.node.url, token="wrong") as hub:
            for asked in (hub.peers(), anext(hub.follow(session.id))):
                with pytest.raises(live.Denied):
                    await asked


async def test_permission_requests_are_reported_when_made_and_when_answered(tmp_path: Path) -> None:
    script = [BASH, asyncio.Event()]
    async with (
        served(tmp_path, script) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
        aish.connect(str(tmp_path), start=False) as other,
    ):
        watch = hub.watch_permissions()
        session = await other.session("apollo")
        await session.send("hi")
        asked = await anext(watch)
        assert (asked.pending, asked.request.tool, asked.request.peer) == (True, "Bash", "apollo")
        assert await other.permissions() == [asked.request]
        relay.cut()
        await other.answer_permission(asked.request, "allow")
        answered = await anext(watch)
        assert (answered.request, answered.pending) == (asked.request, False)
        with pytest.raises(live.Conflict):
            await session.answer_permission("req_1", "deny")


async def test_a_permission_change_has_the_option_and_who_chose_it(tmp_path: Path) -> None:
    async with connected(tmp_path, [BASH, asyncio.Event()]) as (home, hub):
        watch = hub.watch_permissions()
        session = await hub.session("apollo")
        await session.send("hi")
        request = (await anext(watch)).request
        await hub.answer_permission(request, "deny")
        assert await anext(watch) == live.PermissionChange(request, False, "deny", home.node.owner)


async def test_a_client_runs_the_tools_of_its_session(tmp_path: Path) -> None:
    tool = {"name": "weather", "description": "", "parameters": {"type": "object"}}
    async with connected(tmp_path) as (home, hub):
        session = await hub.session("apollo", tools=[tool])
        row = await home.ask("GET", f"/api/v2/sessions/{session.id}")
        assert [t["name"] for t in row.json["tools"]] == ["weather"]
        with pytest.raises(live.NotFound):
            await session.tool_result("never", {"sunny": True})


async def test_an_exception_in_the_block_is_raised_unchanged(tmp_path: Path) -> None:
    async with served(tmp_path):
        with pytest.raises(ZeroDivisionError):
            async with aish.connect(str(tmp_path), start=False) as hub:
                follow = (await hub.session("apollo")).follow()
                await anext(follow)
                raise ZeroDivisionError


async def test_closing_the_connection_ends_a_follow_with_an_exception(tmp_path: Path) -> None:
    async with served(tmp_path):
        async with aish.connect(str(tmp_path), start=False) as hub:
            follow = (await hub.session("apollo")).follow()
            await anext(follow)
            waiting = asyncio.create_task(anext(follow))
            await asyncio.sleep(0)
        with pytest.raises(live.HubError) as closed:
            await waiting
        assert closed.value.code == "closed"


async def test_text_and_binary_responses_are_returned_unchanged(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, hub):
        assert "rhetor_uptime_seconds" in await hub.request("GET", "/metrics")
        who = Principal(home.node.owner, local=True)
        session = await hub.session("team:all")
        await home.hub.execute(who, KeepBlob(session.id, "audio/wav", b"12345\xff"))
        (kept,) = [e for e in await log(hub, session.id) if e["type"] == "blob.kept"]
        assert await hub.request("GET", f"/api/v2/blobs/{kept['data']['blob_id']}") == b"12345\xff"


async def test_calls_on_a_closed_connection_raise_denied(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        session = await hub.session("apollo")
    for asked in (hub.peers(), session.send("hi")):
        with pytest.raises(live.Denied) as refused:
            await asked
        assert refused.value.code == "closed"


@pytest.mark.parametrize("url", ["127.0.0.1:8300", "localhost", "ftp://x", ""])
async def test_an_invalid_url_is_rejected_at_once(url: str) -> None:
    with pytest.raises(live.Invalid):
        async with aish.connect(url=url, token=TOKEN):
            pass


async def test_a_token_may_end_with_a_newline(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        aish.connect(url=f"http://127.0.0.1:{home.port}", token=f"{TOKEN}\n") as hub,
    ):
        assert "apollo" in [peer.id for peer in await hub.peers()]


def test_every_error_code_of_the_hub_has_an_exception_class() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.RhetorError)]
    of_turns = {k.code for k in kinds if issubclass(k, errors.TurnFailure)}
    hidden = of_turns | {"internal", "invalid_settings"}
    seen = {k.code: error_of({"code": k.code}, k.status) for k in kinds if k.code not in hidden}
    assert [code for code, error in seen.items() if type(error) is live.HubError] == []
    known = {"unknown_peer": live.UnknownPeer, "peer_busy": live.PeerBusy, "session_over": live.SessionOver}
    assert {code: type(seen[code]) for code in known} == known
    assert type(error_of({"code": "new"}, 409)) is live.Conflict


def test_the_shell_does_not_import_the_python_client() -> None:
    code = (
        "import sys, aish, aish.cli, aish.turns.message; print({'asyncio', 'aish.live'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
    assert aish.connect is live.connect
    with pytest.raises(AttributeError):
        _ = aish.never


async def test_a_socket_is_opened_written_read_and_closed(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_home, hub):
        socket = await hub.socket("apollo", prompt="Be brief.")
        await socket.write("one")
        await socket.write("two")
        assert [(await socket.read()).content for _ in range(2)] == ["apollo heard: one", "apollo heard: two"]
        with pytest.raises(live.Invalid):
            await socket.write(" ")
        waiting = asyncio.create_task(socket.read())
        await socket.write("three")
        assert (await waiting).content == "apollo heard: three"
        await socket.close()
        with pytest.raises(live.SessionOver):
            await socket.read()
        everyone = await hub.socket("team-chat-all")
        await everyone.write("hi")
        assert {(await everyone.read()).ai for _ in range(3)} == {"apollo", "athena", "prometheus"}


async def test_a_socket_reads_each_message_once_although_its_connection_is_cut(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_home, hub):
        socket = await hub.socket("apollo")
        for n in range(5):
            await socket.write(str(n))
            assert (await socket.read()).content == f"apollo heard: {n}"
            assert socket._socket is not None
            await socket._socket.close()


async def test_operations_in_bulk_and_the_best_peer(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        first = {"id": "a", "ai": "apollo", "message": "x"}
        done = await hub.bulk([first, {"id": "b", "ai": "athena", "message": "y", "depends_on": ["a"]}])
        assert {id: result.status for id, result in done.items()} == {"a": "success", "b": "success"}
        assert done["a"].response == "apollo heard: x"
        with pytest.raises(live.Invalid):
            await hub.bulk([first, first])
        best = await hub.best("code-analysis")
        assert best is not None and best.id == "apollo"
        assert await hub.best("nothing") is None
