"""What one node commits is in the memory of the other one, and those who watch there are told."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.auth.tokens import rotate_token
from rhetor.domain.event import PermissionOption
from rhetor.domain.machine import LINK_VERSION, Hello, Offer
from rhetor.domain.output import Done, Permission, Text, Usage
from rhetor.domain.principal import NODE, Principal
from rhetor.domain.rule_commands import RemoveMachine
from rhetor.drivers.programs.remote.machine import Machines
from rhetor.errors import MachineTaken, Unauthenticated
from rhetor.hub.catalog import identities
from rhetor.hub.catalog.peer_stats import PeerStatistics
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.limits import Limits
from rhetor.hub.machines import joining
from rhetor.hub.nodes import mirrors
from rhetor.hub.turns import budgets as turn_budgets
from tests.callers import caller, console, logged_in
from tests.issued import bearer, issue, login, opens, refresh
from tests.nodes.pairs import ONE, TWO, Homes, pair, until
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.rhetor.transports.calling import calling
from tests.rhetor.transports.open_clients import WAITS, open_client
from tests.served import Served

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]
BASH = Permission("1", "Bash", {"command": "ls"}, (PermissionOption("allow", "Allow", "allow_once"),))
WITHIN = 1.0  # seconds, in which a token that was revoked is refused at all nodes


@pytest.fixture
async def homes(postgres_url: str, tmp_path: Path) -> AsyncIterator[Homes]:
    async with pair(postgres_url, tmp_path) as found:
        yield found


async def shown(home: Served, path: str, is_so: Callable[[Any], bool]) -> None:
    """Wait until the answer for a path is as wanted."""

    async def asked() -> bool:
        answer = await home.ask("GET", path)
        return is_so(answer.json)

    await until(asked)


async def done(home: Served, method: str, path: str, body: Any = None) -> Any:
    answer = await home.ask(method, path, body)
    assert answer.status < 300, answer.text
    return answer.json if answer.text else None


async def test_a_team_that_is_made_changed_and_deleted_at_one_node(homes: Homes) -> None:
    groups = "/api/ai/socket/groups"

    def members(found: Any) -> Any:
        return {team["name"]: team["members"] for team in found["groups"]}.get("poets")

    await done(homes.one, "POST", groups, {"name": "poets", "members": ["apollo"]})
    await shown(homes.two, groups, lambda found: members(found) == ["apollo"])
    await done(homes.one, "PUT", f"{groups}/poets", {"members": ["athena"]})
    await shown(homes.two, groups, lambda found: members(found) == ["athena"])
    await done(homes.one, "DELETE", f"{groups}/poets")
    await shown(homes.two, groups, lambda found: members(found) is None)


async def test_a_budget_that_is_set_and_removed_at_one_node(homes: Homes) -> None:
    path = "/api/v2/budgets"
    await done(homes.one, "PUT", f"{path}/peer.apollo", {"tokens_per_day": 100, "on_limit": "ask"})
    await shown(homes.two, path, lambda found: [each["tokens_per_day"] for each in found["budgets"]] == [100])
    await done(homes.one, "DELETE", f"{path}/peer.apollo")
    await shown(homes.two, path, lambda found: not found["budgets"])


@pytest.mark.parametrize(
    ("method", "path", "body", "listed"),
    [
        ("PUT", "forwards/apollo", {"to": "athena"}, "forwards"),
        ("PUT", "terminals/jill", {}, "terminals"),
        ("PUT", "routes/review", {"hops": [{"ai": "apollo"}]}, "routes"),
        ("PUT", "purposes/apollo", {"text": "reviews"}, "purposes"),
    ],
)
async def test_a_rule_that_is_made_and_removed_at_one_node(
    homes: Homes, method: str, path: str, body: Any, listed: str
) -> None:
    await done(homes.one, method, f"/api/v2/{path}", body)
    await shown(homes.two, f"/api/v2/{listed}", lambda found: len(found[listed]) == 1)
    await done(homes.one, "DELETE", f"/api/v2/{path}")
    await shown(homes.two, f"/api/v2/{listed}", lambda found: not found[listed])


async def test_context_that_is_promoted_at_one_node_is_sent_at_the_other(homes: Homes) -> None:
    await done(homes.one, "POST", "/api/v2/context/apollo/stage", {"text": "be brief"})
    await done(homes.one, "POST", "/api/v2/context/apollo/promote")

    async def is_known() -> bool:
        return ("me", "apollo") in homes.two.hub.state.routing_table.promoted

    await until(is_known)
    await done(homes.two, "POST", "/api/v2/ai/apollo/message", {"content": "hi"})
    assert "be brief" in homes.two.driver.heard[0][1]

    async def is_gone() -> bool:
        return not homes.one.hub.state.routing_table.promoted

    await until(is_gone)


async def test_a_schedule_that_is_made_paused_and_removed_at_one_node(homes: Homes) -> None:
    path = "/api/v2/schedules"
    body = {"name": "yearly", "cron": "0 8 1 1 *", "timezone": "UTC", "line": "apollo hi"}
    await done(homes.one, "POST", path, body)
    await shown(homes.two, path, lambda found: [each["state"] for each in found["schedules"]] == ["active"])
    await done(homes.one, "POST", f"{path}/yearly/pause")
    await shown(homes.two, path, lambda found: [each["state"] for each in found["schedules"]] == ["paused"])
    await done(homes.one, "DELETE", f"{path}/yearly")
    await shown(homes.two, path, lambda found: not found["schedules"])


async def test_a_tool_server_that_is_added_and_removed_at_one_node(homes: Homes) -> None:
    body = {"name": "files", "command": ["files-server"], "env": {"FILES_TOKEN": "a-secret-of-files"}}
    await done(homes.one, "POST", "/api/mcp-servers", body)
    added = homes.two.hub.state.tool_servers.added

    async def is_added() -> bool:
        return "files" in added

    await until(is_added)
    assert homes.two.hub.state.secrets.mask("a-secret-of-files") != "a-secret-of-files"
    await done(homes.one, "DELETE", "/api/mcp-servers/files")

    async def is_removed() -> bool:
        return not added

    await until(is_removed)


async def test_a_token_that_is_revoked_at_one_node_is_refused_at_the_other_and_its_connections_end(
    homes: Homes,
) -> None:
    token = await issue(homes.one, "robot", "read", "send")

    async def is_valid() -> bool:
        return await opens(homes.two, token)

    await until(is_valid)
    async with open_client(homes.two, "ws", bearer(token)) as client:
        await done(homes.one, "DELETE", "/api/v2/tokens/robot")
        revoked = time.monotonic()
        async with asyncio.timeout(WITHIN):
            while await opens(homes.two, token):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        code, _ = await client.ended()
        assert code == Unauthenticated.close
        assert time.monotonic() - revoked < 5


async def test_the_refresh_token_of_one_node_is_used_and_refused_at_the_other(homes: Homes) -> None:
    tokens = await login(homes.one)
    fresh = await refresh(homes.two, tokens["refresh_token"])
    assert fresh.status == 200, fresh.text
    assert (await refresh(homes.one, tokens["refresh_token"])).status == 401  # reuse, which revokes all

    async def is_invalid() -> bool:
        return not await opens(homes.two, fresh.json["access_token"])

    await until(is_invalid)


async def test_tokens_that_were_signed_with_a_replaced_key_end_at_the_other_node(homes: Homes) -> None:
    before = await issue(homes.one, "robot", "read")

    async def is_valid() -> bool:
        return await opens(homes.two, before)

    await until(is_valid)
    await done(homes.one, "POST", "/api/v2/signing-keys/rotate")

    async def keys() -> bool:
        found = (await homes.two.ask("GET", "/.well-known/jwks.json")).json["keys"]
        return len(found) == 2

    await until(keys)
    after = await issue(homes.one, "other", "read")
    await until(lambda: opens(homes.two, after))


async def test_a_token_and_a_login_of_one_node_are_valid_at_the_other_at_once(homes: Homes) -> None:
    for number in range(10):
        assert await opens(homes.two, await issue(homes.one, f"robot{number}", "read"))
        page = {**await logged_in(homes.one), **console(homes.two), "origin": homes.two.node.console}
        assert (await homes.two.ask_tcp("GET", "/api/v2/ai", page)).status == 200
    await done(homes.one, "POST", "/api/v2/signing-keys/rotate", {})
    assert await opens(homes.two, await issue(homes.one, "last", "read"))


async def test_a_login_is_valid_at_both_nodes_until_it_ends_at_one(homes: Homes) -> None:
    page = await logged_in(homes.one)

    async def is_valid() -> bool:
        there = {**page, **console(homes.two), "origin": homes.two.node.console}
        return (await homes.two.ask_tcp("GET", "/api/v2/ai", there)).status == 200

    await until(is_valid)
    assert (await homes.one.ask_tcp("POST", "/api/auth/logout", page)).status == 204

    async def is_invalid() -> bool:
        return not await is_valid()

    async with asyncio.timeout(WITHIN):
        await until(is_invalid)


async def test_a_share_that_is_taken_back_at_one_node_ends_the_reader_at_the_other(homes: Homes) -> None:
    guest = await caller(homes.one)
    session = (await done(homes.one, "POST", "/api/v2/sessions", {"specialist_id": "apollo"}))["id"]
    await done(
        homes.one, "POST", f"/api/v2/sessions/{session}/shares", {"subject": "guest", "scopes": ["read"]}
    )
    path = f"/api/v2/sessions/{session}/events"

    async def may_read() -> bool:
        return (await homes.two.ask_tcp("GET", path, guest)).status == 200

    await until(may_read)
    stream = {**guest, "accept": "text/event-stream"}
    async with homes.two.remote.get(f"{homes.two.node.url}{path}", headers=stream) as response:
        assert response.status == 200
        await done(homes.one, "DELETE", f"/api/v2/sessions/{session}/shares/guest")
        async with asyncio.timeout(WITHIN):
            assert b'"not_found"' in await response.read()
    assert (await homes.two.ask_tcp("GET", path, guest)).status == 404


async def test_what_peers_used_at_one_node_counts_at_the_other(postgres_url: str, tmp_path: Path) -> None:
    answer = [Text("x"), Usage("tiny", 60, 30), Done()]
    async with pair(postgres_url, tmp_path, answer, answer) as homes:
        await done(homes.one, "PUT", "/api/v2/budgets/peer.apollo", {"tokens_per_day": 50, "on_limit": "ask"})
        await done(homes.two, "POST", "/api/v2/ai/apollo/message", {"content": "hi"})

        def spent(found: Any) -> Any:
            return [limit["spent"] for each in found["budgets"] for limit in each["limits"]]

        await shown(homes.one, "/api/v2/budgets", lambda found: spent(found) == [90])
        await shown(homes.two, "/api/v2/budgets", lambda found: spent(found) == [90])
        headers = {"Prefer": "respond-async"}
        body = {"content": "again"}
        sent = await homes.one.ask("POST", "/api/v2/ai/apollo/message", body, headers=headers)
        assert sent.status == 202, sent.text
        session = sent.json["session_id"]
        await homes.one.seen(session, lambda payload: payload.type == "permission.asked")
        assert homes.one.driver.heard == []  # the turn waits for a person


async def test_the_tokens_of_an_hour_count_at_all_nodes(postgres_url: str, tmp_path: Path) -> None:
    answer = [Text("x"), Usage("tiny", 60, 60), Done()]
    limits = Limits(tokens_per_hour=100)
    async with pair(postgres_url, tmp_path, answer, answer, limits=limits) as homes:
        guest = await caller(homes.one)
        body = {"content": "hi"}

        async def status(home: Served) -> int:
            return (await home.ask_tcp("POST", "/api/v2/ai/apollo/message", guest, json=body)).status

        async def is_admitted() -> bool:
            return await status(homes.two) == 200

        await until(is_admitted)

        async def is_refused() -> bool:
            return homes.one.hub.state.usage.recent.wait("guest", 100, wall_clock()) > 0

        await until(is_refused)
        assert await status(homes.one) == 429


async def test_the_statistics_of_a_peer_have_the_turns_of_all_nodes(homes: Homes) -> None:
    for home in (homes.one, homes.two, homes.one):
        await done(home, "POST", "/api/v2/ai/apollo/message", {"content": "hi"})
    for home in (homes.one, homes.two):
        stats = home.hub.state.peer_statistics

        async def is_complete(stats: PeerStatistics = stats) -> bool:
            return stats.of("apollo").turns > 2.99

        await until(is_complete)
    rows = await homes.one.hub.state.store.find("peer_stats")
    assert {(row.id, row.parent) for row in rows} == {
        (f"apollo/{ONE}", "apollo"),
        (f"apollo/{TWO}", "apollo"),
    }


async def test_those_who_watch_at_one_node_are_told_what_changes_at_the_other(
    postgres_url: str, tmp_path: Path
) -> None:
    waits = asyncio.Event()
    async with pair(postgres_url, tmp_path, [BASH, waits, Done()]) as homes, calling(homes.two, "/ws") as ws:
        await ws.result("watchSessions", subscription="s")
        await ws.result("watchPermissions", subscription="p")
        await ws.result("watchPeers", subscription="o")
        session = (await done(homes.one, "POST", "/api/v2/sessions", {"specialist_id": "apollo"}))["id"]
        await ws.until(lambda frame: frame["method"] == "sessions" and session in str(frame))
        body, headers = {"message": "hi"}, {"Prefer": "respond-async"}
        path = f"/api/v2/sessions/{session}/message"
        assert (await homes.one.ask("POST", path, body, headers=headers)).status == 202
        asked = (await ws.until(lambda frame: frame["method"] == "permission.asked"))["params"]
        assert asked["session_id"] == session
        path = f"/api/v2/sessions/{session}/permissions/{asked['request_id']}"
        await done(homes.one, "POST", path, {"option_id": "allow"})
        await ws.until(lambda frame: frame["method"] == "permission.answered")


async def test_a_turn_that_waits_at_one_node_is_shown_at_the_other(postgres_url: str, tmp_path: Path) -> None:
    waits = asyncio.Event()
    script = [waits, Text("x"), Done()]
    async with pair(postgres_url, tmp_path, script, script) as homes:
        session = (await done(homes.one, "POST", "/api/v2/sessions", {"specialist_id": "apollo"}))["id"]
        for _ in range(2):
            answer = await homes.one.ask(
                "POST",
                f"/api/v2/sessions/{session}/message",
                {"message": "hi"},
                headers={"Prefer": "respond-async"},
            )
            assert answer.status == 202

        async def waiting(number: int) -> bool:
            return [row.stream for row in homes.two.hub.state.live.queued] == [session] * number

        await until(lambda: waiting(1))
        waits.set()
        await until(lambda: waiting(0))


async def test_a_note_is_seen_at_the_other_node(homes: Homes) -> None:
    await done(homes.one, "PUT", "/api/v2/terminals/jill", {})
    changed = homes.two.hub.state.notes_changed.next()
    await done(homes.one, "POST", "/api/v2/inbox/jill/new", {"text": "hi"})
    async with asyncio.timeout(20):
        await changed.wait()


async def test_an_announced_program_can_be_named_at_the_other_node_until_it_ends(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        # the paths of sockets must be short
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rt")))
        hosts = await stack.enter_async_context(hosting(folder))
        homes = await stack.enter_async_context(pair(postgres_url, folder, hosts=hosts))
        await homes.one.announce("waiter", *WAITS)

        async def is_known() -> bool:
            return homes.two.hub.state.nodes.of_peer("waiter") == ONE

        await until(is_known)
        assert homes.one.hub.state.nodes.of_peer("waiter") == ONE
        names = [peer["id"] for peer in (await homes.two.ask("GET", "/api/v2/ai")).json["peers"]]
        assert "waiter" in names
        body = {"name": "waiter", "kind": "stdio", "argv": list(WAITS), "cwd": "/"}
        assert (await homes.two.ask("POST", "/api/v2/programs", body)).json["code"] == "name_taken"
        await done(homes.one, "DELETE", "/api/v2/programs/waiter")

        async def is_gone() -> bool:
            return not homes.two.hub.state.peers.has("waiter")

        await until(is_gone)


async def test_what_a_lost_notification_was_about_is_found(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "SWEEP", 0.2)
    async with pair(postgres_url, tmp_path) as homes:
        token = await issue(homes.one, "robot", "read")
        await until(lambda: opens(homes.two, token))
        store = homes.one.hub.state.store
        monkeypatch.setattr(store._wake_ups, "notify", lambda names: None)  # type: ignore[attr-defined]
        await done(homes.one, "DELETE", "/api/v2/tokens/robot")

        async def is_invalid() -> bool:
            return not await opens(homes.two, token)

        await until(is_invalid)


async def test_rows_are_used_at_once_if_somebody_cannot_wait(homes: Homes) -> None:
    store = homes.one.hub.state.store
    store._wake_ups.notify = lambda names: None  # type: ignore[attr-defined]
    with homes.one.hub.state.mirrors.noting() as places:
        await done(homes.one, "POST", "/api/ai/socket/groups", {"name": "poets", "members": ["apollo"]})
    assert places == {("team", "poets")}
    assert "poets" not in homes.two.hub.state.peers.teams
    await homes.two.hub.state.mirrors.fetch(sorted(places))
    assert homes.two.hub.state.peers.teams["poets"] == ("apollo",)
    await homes.two.hub.state.mirrors.caught_up()


async def test_calls_that_begin_at_the_same_time_at_two_nodes_exceed_no_budget(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_budgets, "SETTLE_SECONDS", 4.0)
    waits = asyncio.Event()
    scripts = [[waits, Text("x"), Usage("tiny", 3, 3), Done()]] * 5
    async with pair(postgres_url, tmp_path, *scripts) as homes:
        await done(homes.one, "PUT", "/api/v2/budgets/global", {"tokens_per_day": 10, "on_limit": "ask"})
        await shown(homes.two, "/api/v2/budgets", lambda found: bool(found["budgets"]))
        sent = [
            home.ask(
                "POST", "/api/v2/ai/apollo/message", {"content": "hi"}, headers={"Prefer": "respond-async"}
            )
            for home in (homes.one, homes.two)
            for _ in range(5)
        ]
        assert {answer.status for answer in await asyncio.gather(*sent)} == {202}

        def called() -> int:
            return len(homes.one.driver.heard) + len(homes.two.driver.heard)

        async def is_called(times: int) -> bool:
            return called() == times

        await until(lambda: is_called(1))
        await asyncio.sleep(0.5)
        assert called() == 1  # its reservation takes all
        waits.set()

        async def all_ask() -> bool:
            return len(await homes.one.hub.state.store.find("permission", state="open")) == 8

        await until(all_ask)
        assert called() == 2  # 6 of 10 tokens left room for one more call
        await shown(
            homes.two, "/api/v2/budgets", lambda found: found["budgets"][0]["limits"][0]["spent"] == 12
        )
        for home in (homes.one, homes.two):
            await shown(
                home, "/api/v2/budgets", lambda found: found["budgets"][0]["limits"][0]["reserved"] == 0
            )


async def test_two_nodes_that_need_a_signing_key_at_the_same_time_make_one(homes: Homes) -> None:
    both = homes.one, homes.two
    tokens = await asyncio.gather(*(issue(home, f"robot{n}", "read") for n, home in enumerate(both)))
    assert len(await homes.one.hub.state.store.find("signing_key")) == 1
    for home in both:
        assert [await opens(home, token) for token in tokens] == [True, True]
    rotated = await asyncio.gather(*(home.ask("POST", "/api/v2/signing-keys/rotate") for home in both))
    assert [answer.status for answer in rotated] == [200, 200]
    keys = [identities.key_of(row) for row in await homes.one.hub.state.store.find("signing_key")]
    assert (len(keys), sum(key.ends is None for key in keys)) == (3, 1)


async def test_tokens_and_logins_of_another_node_are_valid_before_it_has_said_so(homes: Homes) -> None:
    store = homes.one.hub.state.store
    store._wake_ups.notify = lambda names: None  # type: ignore[attr-defined]
    first, second = await issue(homes.one, "robot", "read"), await login(homes.one)
    assert await opens(homes.two, first)
    assert await opens(homes.two, second["access_token"])
    assert (await refresh(homes.two, (await login(homes.one))["refresh_token"])).status == 200
    page = {**await logged_in(homes.one), **console(homes.two), "origin": homes.two.node.console}
    assert (await homes.two.ask_tcp("GET", "/api/v2/ai", page)).status == 200
    strange = "eyJraWQiOiJhXHUwMDAwYiJ9.eyJqdGkiOiJnXzEuYSJ9.x"  # the id of its key has NUL
    assert not await opens(homes.two, strange)
    unknown = {**page, "cookie": page["cookie"][:-4] + "AAAA"}
    assert (await homes.two.ask_tcp("GET", "/api/v2/ai", unknown)).status == 401
    assert not await opens(homes.two, first[:-4] + "AAAA")


async def test_a_token_of_the_hub_that_is_replaced_at_one_node_is_refused_at_the_other(homes: Homes) -> None:
    files = [Path(home.node.home) / "token" for home in (homes.one, homes.two)]
    old = files[0].read_text().strip()
    assert await opens(homes.two, old)
    granted = await login(homes.one)
    assert await opens(homes.two, granted["access_token"])
    async with open_client(homes.two, "ws", bearer(old)) as client:
        new = rotate_token(files[0])
        assert not await opens(homes.one, old)  # and so the change is noticed

        async def is_refused() -> bool:
            return not await opens(homes.two, old)

        async with asyncio.timeout(WITHIN):
            await until(is_refused)
        assert (await client.ended())[0] == Unauthenticated.close
    assert not await opens(homes.two, granted["access_token"])
    assert await opens(homes.one, new)
    assert not await opens(homes.two, new)  # until the file is copied
    files[1].write_text(new)
    assert await opens(homes.two, new)
    assert await opens(homes.one, new)


async def test_a_machine_that_joins_one_node_is_known_at_the_other_until_it_is_removed(homes: Homes) -> None:
    for home in (homes.one, homes.two):
        home.hub.state.machine_links = Machines()
    one, two = homes.one.hub.state, homes.two.hub.state
    offer = Offer("worker", "stdio", "cat", "/")
    build = Principal("build1", frozenset({NODE}))
    await joining.join(one, build, Hello(LINK_VERSION, "m" * 32, offers=(offer,)))

    async def is_known() -> bool:
        return two.peers.has("worker@build1") and two.nodes.of_peer("machine:build1") == ONE

    await until(is_known)
    assert two.nodes.of_peer("worker@build1") == ONE
    assert one.nodes.of_peer("worker@build1") == ONE
    await shown(
        homes.two, "/api/v2/machines", lambda found: [m["name"] for m in found["machines"]] == ["build1"]
    )
    more = replace(offer, name="other")
    await joining.join(one, build, Hello(LINK_VERSION, "m" * 32, offers=(more,)))

    async def is_changed() -> bool:
        return two.peers.has("other@build1") and not two.peers.has("worker@build1")

    await until(is_changed)
    with pytest.raises(MachineTaken):
        await joining.join(two, build, Hello(LINK_VERSION, "x" * 32))
    await joining.remove(one, Principal.person("me", local=True), RemoveMachine("build1"))

    async def is_gone() -> bool:
        return two.machines.find("build1") is None and not two.peers.has("other@build1")

    await until(is_gone)
