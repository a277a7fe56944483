"""Logging browsers in and out, the logins that are valid, and attacks on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rhetor.auth import tcp_clients
from rhetor.domain.principal import READ
from rhetor.hub.identity.logins import MOST_OF_SUBJECT
from rhetor.store.memory import MemoryStore
from tests.callers import caller, console, cookie_of, log_in, logged_in
from tests.rhetor.transports.open_clients import open_client
from tests.served import CONSOLE, TOKEN, Served, served

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
HTML = {"accept": "text/html,application/xhtml+xml"}
FROM_ELSEWHERE = ("cross-site", "same-site")


async def code_of(home: Served) -> str:
    code: str = (await home.ask("POST", "/api/auth/code")).json["code"]
    return code


async def opens(home: Served, page: dict[str, str]) -> bool:
    return (await home.ask_tcp("GET", "/api/v2/ai", page)).status == 200


async def listed(home: Served, page: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await home.ask_tcp("GET", "/api/v2/logins", page)).json["logins"]
    return found


async def test_a_code_is_also_accepted_as_a_person_types_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        issued = (await home.ask("POST", "/api/auth/code")).json
        assert issued["url"] == f"http://{CONSOLE}:{home.port}/login?code={issued['code'].replace('-', '')}"
        assert issued["expires_in"] == 60
        answer = await log_in(home, issued["code"].lower())
        assert (answer.status, answer.headers["location"]) == (303, "/")


async def test_logins_are_listed_with_what_their_browsers_say_and_when_they_were_used(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page = await logged_in(home)
        answer = await log_in(home, await code_of(home), **{"user-agent": "Firefox\t<1>"})
        other = {**page, "cookie": cookie_of(answer)}
        first, second = await listed(home, page)
        assert (first["current"], second["current"]) == (True, False)
        assert (first["used_at"] is None, second["used_at"], second["connections"]) == (False, None, 0)
        assert second["user_agent"] == "Firefox<1>"
        assert (second["subject"], second["scopes"]) == ("me", ["admin", "approve", "read", "send"])
        assert (second["host"], second["credential"]) == (CONSOLE, "cookie")
        assert second["address"].startswith("127.0.0.1:")
        async with open_client(home, "ws", other):
            assert [each["connections"] for each in await listed(home, page)] == [0, 1]
        secret = other["cookie"].partition("=")[2]
        assert secret not in str(await home.hub.state.store.documents("login"))


async def test_a_caller_sees_and_ends_its_own_logins_and_the_owner_all(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        anna = await caller(home, "anna", {READ})
        mine, hers = await logged_in(home), await logged_in(home, anna)
        (own,) = await listed(home, hers)
        assert own["subject"] == "anna"
        assert [each["subject"] for each in await listed(home, mine)] == ["me", "anna"]
        foreign = (await listed(home, mine))[0]["id"]
        refused = await home.ask_tcp("DELETE", f"/api/v2/logins/{foreign}", hers)
        assert (refused.status, refused.json["code"]) == (404, "not_found")
        assert await opens(home, mine)
        ended = await home.ask_tcp("DELETE", f"/api/v2/logins/{own['id']}", mine)
        assert ended.json == {"id": own["id"], "status": "ended"}
        assert (await opens(home, hers), await opens(home, mine)) == (False, True)


async def test_all_other_logins_of_a_caller_end_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        anna = await logged_in(home, await caller(home, "anna", {READ}))
        page, *others = [await logged_in(home) for _ in range(3)]
        assert (await home.ask_tcp("DELETE", "/api/v2/logins", page)).json == {"ended": 2}
        assert [await opens(home, each) for each in (page, anna, *others)] == [True, True, False, False]
        assert (await home.ask("DELETE", "/api/v2/logins")).json == {"ended": 1}
        assert not await opens(home, page)


async def test_the_connections_of_an_ended_login_close_and_others_stay_open(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page, other = await logged_in(home), await logged_in(home)
        async with open_client(home, "ws", page) as stays, open_client(home, "ws", other) as ends:
            await home.ask_tcp("DELETE", "/api/v2/logins", page)
            assert await ends.ended() == (4500, "unauthenticated")
            assert await stays.call("echo", message="still here") == "still here"


async def test_logging_out_ends_the_login_of_this_browser_and_removes_its_cookie(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page, other = await logged_in(home), await logged_in(home)
        async with open_client(home, "ws", page) as client:
            answer = await home.ask_tcp("POST", "/api/auth/logout", page)
            assert answer.status == 204
            assert answer.headers["clear-site-data"] == '"storage"'
            parts = answer.headers["set-cookie"].split("; ")
            assert parts[0] == 'rhetor=""'
            assert {"Max-Age=0", "HttpOnly", "Path=/", "SameSite=strict"} <= set(parts)
            assert await client.ended() == (4500, "unauthenticated")
        assert [await opens(home, each) for each in (page, other)] == [False, True]
        assert (await home.ask_tcp("POST", "/api/auth/logout", page)).status == 401
        refused = await home.ask_tcp("POST", "/api/auth/logout", BEARER)
        assert (refused.status, refused.json["code"]) == (422, "unprocessable")


async def test_a_page_of_another_site_cannot_log_a_browser_out(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page = await logged_in(home)
        for origin in ("http://evil.example", "null", f"http://{CONSOLE}:1"):
            answer = await home.ask_tcp("POST", "/api/auth/logout", {**page, "origin": origin})
            assert answer.status == 403
        assert await opens(home, page)


async def test_a_login_that_a_page_requested_ends_with_that_of_the_page_but_not_at_its_logout(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        for ending, expected in (("DELETE", False), ("POST", True)):
            page = await logged_in(home)
            child = await logged_in(home, page)
            parent, own = (await listed(home, page))[-2:]
            assert own["expires_at"] == parent["expires_at"]
            path = f"/api/v2/logins/{parent['id']}" if ending == "DELETE" else "/api/auth/logout"
            await home.ask_tcp(ending, path, page)
            assert (ending, await opens(home, page), await opens(home, child)) == (ending, False, expected)


async def test_a_new_login_replaces_that_of_the_same_browser(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page = await logged_in(home)
        headers = {"cookie": page["cookie"], "sec-fetch-site": "none"}
        answer = await log_in(home, await code_of(home), **headers)
        assert answer.status == 303
        again = {**page, "cookie": cookie_of(answer)}
        assert again["cookie"] != page["cookie"]
        assert [await opens(home, each) for each in (page, again)] == [False, True]


async def test_a_login_survives_a_restart_of_the_hub_and_ends_with_its_token(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home:
        anna = await caller(home, "anna", {READ})
        cookies = [(await logged_in(home))["cookie"], (await logged_in(home, anna))["cookie"]]
    async with served(tmp_path, store=store) as home:
        pages = [{**console(home), "cookie": each, "sec-fetch-site": "none"} for each in cookies]
        assert [await opens(home, each) for each in pages] == [True, True]
        (grant,) = home.hub.state.identities.grants
        await home.ask("DELETE", f"/api/v2/tokens/{grant}")
        assert [await opens(home, each) for each in pages] == [True, False]
        (own,) = (await home.ask("GET", "/api/v2/logins")).json["logins"]
        assert (own["subject"], own["current"]) == ("me", False)


async def test_the_oldest_login_of_a_caller_with_too_many_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        anna = await logged_in(home, await caller(home, "anna", {READ}))
        first, second = await logged_in(home), await logged_in(home)
        for _ in range(MOST_OF_SUBJECT - 1):
            await log_in(home, await code_of(home))
        assert [await opens(home, each) for each in (anna, first, second)] == [True, False, True]


@pytest.mark.parametrize("site", FROM_ELSEWHERE)
async def test_a_page_of_another_site_cannot_log_a_browser_in_without_a_click(
    tmp_path: Path, site: str
) -> None:
    async with served(tmp_path) as home:
        anna = await caller(home, "anna", {READ})
        code = (await home.ask_tcp("POST", "/api/auth/code", anna)).json["code"]
        asked = await log_in(home, code, **{"sec-fetch-site": site})
        assert (asked.status, asked.headers.get("set-cookie")) == (200, None)
        assert "<strong>anna</strong>" in asked.text
        assert f'name="code" value="{code}"' in asked.text
        assert (await log_in(home, code, **{"sec-fetch-site": "same-origin"})).status == 303


async def test_loading_a_link_in_advance_does_not_use_its_code(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        code = await code_of(home)
        for name in ("sec-purpose", "purpose"):
            assert (await log_in(home, code, **{name: "prefetch"})).status == 200
        assert (await log_in(home, code, **{"sec-fetch-site": "none"})).status == 303


async def test_a_login_always_leads_to_the_console_and_gets_a_cookie_of_the_hubs_choice(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        code = await code_of(home)
        chosen = {"cookie": "rhetor=attacker", "sec-fetch-site": "none"}
        path = f"/login?code={code}&to=//evil.example&next=https://evil.example&return_to=/x"
        answer = await home.ask_tcp("GET", path, {**console(home), **chosen})
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert "attacker" not in answer.headers["set-cookie"]
        assert not await opens(home, {**console(home), **chosen})


async def test_a_cookie_is_valid_only_at_the_host_name_at_which_it_was_set(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        page = {**await logged_in(home), "sec-fetch-site": "none"}
        assert await opens(home, page)
        del page["origin"]
        for host in ("127.0.0.1", "localhost"):
            other = {**page, "host": f"{host}:{home.port}"}
            assert (await home.ask_tcp("GET", "/api/v2/ai", other)).status == 401
            assert (await home.ask_tcp("GET", f"/login?code={await code_of(home)}", other)).status == 421


async def test_another_user_of_this_machine_cannot_use_a_code_that_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as home:
        code = await code_of(home)
        monkeypatch.setattr(tcp_clients, "socket_of", lambda client, server: (54_321, 1))
        monkeypatch.setattr("rhetor.auth.tcp_clients.os.getuid", lambda: 1000)
        refused = await log_in(home, code)
        assert (refused.status, refused.json["code"]) == (403, "forbidden")
        monkeypatch.undo()
        assert (await log_in(home, code)).status == 303  # the attempt has not used it
