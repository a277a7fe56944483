"""Tokens that the hub issues: what they open, how they are renewed, and how they end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.auth.access_tokens import elapsed_seconds
from rhetor.auth.tokens import rotate_token
from rhetor.domain.identity import ISSUED_SECONDS, OVERLAP_SECONDS
from rhetor.hub.identity import grants
from rhetor.hub.identity.signing_keys import LOCK
from rhetor.sealing.ring import Ring
from rhetor.store.sqlite.store import SqliteStore
from tests.issued import OWNER, bearer, issue, login, opens, refresh
from tests.rhetor.transports.open_clients import APIS, open_client, refusal, terminal
from tests.rhetor.transports.socketio.engine_client import OnWebSocket
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.scale import scaled
from tests.served import CONSOLE, Served, served, with_programs

pytestmark = pytest.mark.anyio
REVOKED = (4500, "unauthenticated")


async def test_an_issued_token_opens_every_api_until_it_is_revoked() -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(with_programs())
        home.node.attempts.per_minute = 100  # the token is tried on each API
        await stack.enter_async_context(terminal(home))
        token = await issue(home, "laptop", "read", "send", "approve", "admin", subject="me")
        clients = [await stack.enter_async_context(open_client(home, api, bearer(token))) for api in APIS]
        talker = await stack.enter_async_context(connecting(home))
        assert "sid" in await talker.connect({"token": token})
        revoked = await home.ask("DELETE", "/api/v2/tokens/laptop")
        assert (revoked.status, revoked.json) == (200, {"name": "laptop", "status": "revoked"})
        ends = await asyncio.gather(*(client.ended() for client in clients))
        assert ends == [("error", "unauthenticated"), *[REVOKED] * 4]
        assert isinstance(talker.engine, OnWebSocket)
        assert await talker.engine.closed() == REVOKED
        for api in APIS:
            assert (await refusal(home, api, bearer(token))).status == 401
        assert (await home.ask("DELETE", "/api/v2/tokens/laptop")).status == 404


@pytest.mark.long
async def test_an_expired_token_ends_its_connections_on_every_api() -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(with_programs())
        await stack.enter_async_context(terminal(home))
        token = await issue(home, "laptop", "read", "send", "approve", "admin", subject="me")
        clients = [await stack.enter_async_context(open_client(home, api, bearer(token))) for api in APIS]
        talker = await stack.enter_async_context(connecting(home))
        assert "sid" in await talker.connect({"token": token})
        home.node.access_tokens._elapsed = lambda: elapsed_seconds() + ISSUED_SECONDS + 60
        closed = (4001, "login_expired")
        ends = await asyncio.gather(*(client.ended() for client in clients))
        assert ends == [("error", "login_expired"), *[closed] * 4]
        assert isinstance(talker.engine, OnWebSocket)
        assert await talker.engine.closed() == closed


@pytest.mark.long
async def test_tokens_survive_the_hub_and_revoked_ones_do_not(tmp_path: Path) -> None:
    async with _stored(tmp_path) as home:
        kept, revoked = await issue(home, "kept", "read"), await issue(home, "revoked", "read")
        tokens = await login(home)
        assert (await home.ask("DELETE", "/api/v2/tokens/revoked")).status == 200
    async with _stored(tmp_path) as home:
        assert [await opens(home, token) for token in (kept, revoked)] == [True, False]
        assert await opens(home, tokens["access_token"])
        assert (await refresh(home, tokens["refresh_token"])).status == 200


@asynccontextmanager
async def _stored(folder: Path) -> AsyncIterator[Served]:
    """A hub over a database in the folder."""
    store = await SqliteStore.open(folder / "hub.db", clock=lambda: 0, ring=Ring(folder))
    try:
        async with served(folder, store=store) as home:
            yield home
    finally:
        await store.aclose()


async def test_the_claims_of_a_token_are_complete(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        header, claims, _ = (await issue(home, "ci", "send", "read", ttl=60, subject="build")).split(".")
        (key,) = (await home.ask_tcp("GET", "/.well-known/jwks.json")).json["keys"]
        assert _json(header) == {"alg": "Ed25519", "typ": "at+jwt", "kid": key["kid"]}
        found = _json(claims)
        assert (found["aud"], found["sub"], found["scope"]) == ("rhetor", "build", "read send")
        assert (found["exp"] - found["iat"], found["iss"].partition(":")[0]) == (60, "rhetor")
        assert sorted(found) == ["aud", "exp", "iat", "iss", "jti", "scope", "sub"]


def _json(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_the_public_keys_have_no_secret_and_need_no_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert (await home.ask_tcp("GET", "/.well-known/jwks.json")).json == {"keys": []}
        await issue(home, "ci", "read")
        await home.ask("POST", "/api/v2/signing-keys/rotate")
        keys = (await home.ask_tcp("GET", "/.well-known/jwks.json")).json["keys"]
        assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x"]] * 2
        assert {(key["kty"], key["crv"], key["alg"]) for key in keys} == {("OKP", "Ed25519", "Ed25519")}


async def test_tokens_are_listed_without_their_secrets(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        token = await issue(home, "ci", "read", "send")
        await login(home, scopes=["read"])
        answer = await home.ask("GET", "/api/v2/tokens")
        named, unnamed = answer.json["tokens"]
        assert (named["name"], named["subject"], named["scopes"]) == ("ci", "ci", ["read", "send"])
        assert (unnamed["subject"], unnamed["scopes"], unnamed["renewable"]) == ("me", ["read"], True)
        assert token not in answer.text


INVALID: list[tuple[dict[str, object], int, str]] = [
    ({"scopes": ["root"]}, 422, "unknown scope 'root'; the scopes are read, send, approve, admin"),
    ({"scopes": ["agent"]}, 422, "unknown scope"),
    ({"scopes": []}, 422, "name at least one"),
    ({"scopes": ["read"], "ttl": 0}, 422, "ttl"),
    ({"scopes": ["read"], "ttl": 10**10}, 422, "ttl"),
    ({"scopes": ["read"], "name": "a b"}, 422, "name"),
    ({"scopes": ["read"], "subject": "agent:apollo"}, 422, "subject"),
    ({"scopes": ["read"], "name": "used"}, 409, "a token called 'used' already exists"),
]


async def test_an_invalid_token_is_not_issued(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await issue(home, "used", "read")
        for body, status, detail in INVALID:
            answer = await home.ask("POST", "/api/v2/tokens", {"name": "ci", **body})
            assert (answer.status, detail in answer.json["detail"]) == (status, True), answer.text
        assert len(home.hub.state.identities.grants) == 1


async def test_a_caller_passes_on_at_most_its_own_scopes(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        reader = bearer(await issue(home, "reader", "read", "send"))
        less = await login(home, reader, scopes=["read"])
        assert (less["scope"], less["expires_in"], less["token_type"]) == ("read", 600, "Bearer")
        for body in ({"scopes": ["admin"]}, {"ttl": 601}, {"subject": "me"}):
            answer = await home.ask_tcp("POST", "/api/auth/token", reader, json=body)
            assert (answer.status, answer.json["code"], answer.json["scope"]) == (403, "forbidden", "admin")
        more = await login(home, OWNER, scopes=["read"], ttl=3600, subject="other")
        assert more["expires_in"] == 3600
        for path in ("/api/v2/tokens", "/api/v2/signing-keys/rotate"):  # only on the Unix socket
            assert (await home.ask_tcp("POST", path, OWNER, json={})).status == 403


async def test_a_caller_cannot_use_up_the_tokens_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "MOST_OF_CALLER", 3)
    async with served(tmp_path) as home:
        reader = bearer(await issue(home, "reader", "read"))
        await login(home, reader)
        await login(home, reader)
        answer = await home.ask_tcp("POST", "/api/auth/token", reader, json={})
        assert (answer.status, answer.json["code"], answer.json["limit"]) == (429, "too_many_tokens", 3)
        await login(home)
        await issue(home, "other", "read")


async def test_tokens_that_were_requested_with_a_token_end_with_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        first = await issue(home, "first", "read", ttl=3600)
        second = await login(home, bearer(first))
        third = await login(home, bearer(second["access_token"]))
        grants = home.hub.state.identities.grants.values()
        assert len({grant.expires for grant in grants}) == 1
        await home.ask("DELETE", "/api/v2/tokens/first")
        for tokens in (second, third):
            assert not await opens(home, tokens["access_token"])
            assert (await refresh(home, tokens["refresh_token"])).status == 401


async def test_a_token_that_is_valid_only_because_clocks_differ_gets_no_others(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        first = await issue(home, "first", "read")
        assert await opens(home, first)
        (grant,) = (grants := home.hub.state.identities.grants).values()
        grants[grant.id] = replace(grant, expires=home.hub.state.ids.now() - 1)
        assert await opens(home, first)
        answer = await home.ask_tcp("POST", "/api/auth/token", bearer(first), json={})
        assert (answer.status, answer.json["code"], dict(grants)) == (401, "unauthenticated", {})


async def test_a_login_is_not_renewed_after_the_token_that_it_was_requested_with(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        tokens = await login(home, bearer(await issue(home, "first", "read")))
        await home.ask("POST", "/api/v2/signing-keys/rotate")  # now it ends earlier than it said
        known = home.hub.state.identities.grants
        first = next(grant for grant in known.values() if grant.name == "first")
        known[first.id] = replace(first, expires=home.hub.state.ids.now() - 1)
        assert (await refresh(home, tokens["refresh_token"])).status == 401


SENT_LATE = (
    ("/api/auth/token", b"{}"),
    ("/api/auth/code", b""),
    ("/api/v2/sessions", b'{"specialist_id": "athena"}'),
)


@pytest.mark.parametrize("kind", ["named", "hub"])
async def test_a_request_whose_token_ends_before_its_body_arrives_has_no_effect(
    kind: str, tmp_path: Path
) -> None:
    async with _stored(tmp_path) as home:
        token = bearer(await issue(home, "named", "read", "send")) if kind == "named" else OWNER
        is_over, traffic = asyncio.Event(), home.node.tally.traffic["rest"]
        before = traffic.received

        async def late(body: bytes) -> AsyncIterator[bytes]:
            yield b" "  # when this has arrived, the request has been admitted
            await is_over.wait()
            yield body

        async def ask(path: str, body: bytes) -> int:
            headers = {**token, "content-type": "application/json"}
            return (await home.ask_tcp("POST", path, headers, data=late(body))).status

        sent = [asyncio.create_task(ask(*each)) for each in SENT_LATE]
        while traffic.received < before + len(sent):  # noqa: ASYNC110 (the server sends no event)
            await asyncio.sleep(0.001)
        if kind == "named":
            await home.ask("DELETE", "/api/v2/tokens/named")
        else:
            rotate_token(tmp_path / "token")
        is_over.set()
        assert await asyncio.gather(*sent) == [401, 401, 401]
        assert [grant for grant in home.hub.state.identities.grants.values() if not grant.name] == []
        assert not len(home.node.logins.codes)
        assert (await home.ask("GET", "/api/v2/sessions")).json["sessions"] == []


async def test_a_token_is_not_issued_if_the_hubs_token_is_replaced_meanwhile(tmp_path: Path) -> None:
    async with _stored(tmp_path) as home:
        state = home.hub.state
        async with state.exclusively(LOCK):
            asked = asyncio.create_task(home.ask_tcp("POST", "/api/auth/token", OWNER, json={}))
            while await state.store.head("audit") is None:  # noqa: ASYNC110 (the audit sends no event)
                await asyncio.sleep(0.001)
            rotate_token(tmp_path / "token")
        answer = await asked
        assert (answer.status, answer.json["code"], state.identities.grants) == (401, "unauthenticated", {})


@pytest.mark.long
async def test_tokens_that_were_requested_with_the_hubs_token_end_when_it_is_replaced(tmp_path: Path) -> None:
    async with _stored(tmp_path) as home:
        named = await issue(home, "named", "read")
        leaked, again = await login(home), await login(home, ttl=86_400, subject="other")
        local = (await home.ask("POST", "/api/auth/token", {"scopes": ["read"]})).json
        assert await opens(home, again["access_token"])
        rotate_token(tmp_path / "token")
        for tokens in (leaked, again):
            assert not await opens(home, tokens["access_token"])
            assert (await refresh(home, tokens["refresh_token"])).status == 401
        assert [await opens(home, token) for token in (named, local["access_token"])] == [True, True]
        await issue(home, "next", "read")  # removes what has ended
    async with _stored(tmp_path) as home:
        assert not await opens(home, again["access_token"])
        assert (await refresh(home, local["refresh_token"])).status == 200
        names = [each["name"] for each in (await home.ask("GET", "/api/v2/tokens")).json["tokens"]]
        assert (len(names), {"named", "next"} - {*names}) == (3, set())


async def test_a_login_in_a_browser_passes_on_no_more_than_its_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        reader = await issue(home, "reader", "read")
        code = (await home.ask_tcp("POST", "/api/auth/code", bearer(reader))).json["code"]
        host = {"host": f"{CONSOLE}:{home.port}"}
        answer = await home.ask_tcp("GET", f"/login?code={code}", host)
        cookie = answer.headers["set-cookie"].split(";")[0]
        page = {**host, "cookie": cookie, "origin": home.node.console}
        tokens = await login(home, page)
        assert tokens["scope"] == "read"
        first, second = home.hub.state.identities.grants.values()
        assert (second.subject, second.parent, second.expires) == ("reader", first.id, first.expires)
        await home.ask("DELETE", "/api/v2/tokens/reader")
        assert not await opens(home, tokens["access_token"])
        assert (await home.ask_tcp("GET", "/api/v2/ai", page)).status == 401


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_login(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        first = await login(home, scopes=["read"])
        answer = await refresh(home, first["refresh_token"])
        second = answer.json
        assert (answer.status, answer.headers["cache-control"], second["scope"]) == (200, "no-store", "read")
        assert await opens(home, second["access_token"])
        reused = await refresh(home, first["refresh_token"])
        assert (reused.status, reused.json["code"], reused.json["error"]) == (401, *["invalid_grant"] * 2)
        assert (await refresh(home, second["refresh_token"])).status == 401
        assert [await opens(home, each["access_token"]) for each in (first, second)] == [False, False]


async def test_of_concurrent_refreshes_one_wins_and_its_tokens_are_valid(tmp_path: Path) -> None:
    async with _stored(tmp_path) as home:
        tokens = await login(home)
        answers = await asyncio.gather(*(refresh(home, tokens["refresh_token"]) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]
        (won,) = (answer.json for answer in answers if answer.status == 200)
        assert await opens(home, won["access_token"])
        assert (await refresh(home, won["refresh_token"])).status == 200


async def test_refresh_tokens_and_keys_are_not_stored_in_plain(tmp_path: Path) -> None:
    async with _stored(tmp_path) as home:
        tokens = await login(home)
        files = [file for file in tmp_path.iterdir() if file.name.startswith("hub.db")]  # noqa: ASYNC240
        stored = b"".join(file.read_bytes() for file in files)
        assert tokens["refresh_token"].encode() not in stored
        assert tokens["access_token"].encode() not in stored
        (key,) = home.hub.state.identities.keys.values()
        assert all(
            each not in stored
            for each in (key.secret, base64.b64encode(key.secret), key.secret.hex().encode())
        )


async def test_whoever_has_a_token_may_revoke_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for which in ("access_token", "refresh_token"):
            tokens = await login(home)
            answer = await home.ask_tcp("POST", "/api/auth/revoke", json={"token": tokens[which]})
            assert (answer.status, answer.text) == (204, "")
            assert not await opens(home, tokens["access_token"])
            assert (await refresh(home, tokens["refresh_token"])).status == 401
        assert (await home.ask_tcp("POST", "/api/auth/revoke", json={"token": "unknown"})).status == 401
        revoke = {"token": "unknown"}
        assert (await home.ask_tcp("POST", "/api/auth/revoke", OWNER, json=revoke)).status == 204
        own = {"token": OWNER["authorization"].partition(" ")[2]}
        answer = await home.ask_tcp("POST", "/api/auth/revoke", OWNER, json=own)
        assert (answer.status, "rhetor token --rotate" in answer.text) == (422, True)


async def test_routes_without_a_token_reject_an_empty_request(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for path in ("/api/auth/token", "/api/auth/refresh", "/api/auth/revoke"):
            assert (await home.ask_tcp("POST", path)).status == 401


async def test_invalid_refresh_tokens_are_limited_and_valid_ones_are_not(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        tokens = await login(home)
        statuses = [(await refresh(home, "rr_invalid")).status for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        assert (await refresh(home, tokens["refresh_token"])).status == 200


@pytest.mark.long
async def test_a_replaced_key_verifies_during_the_overlap_only(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(served(tmp_path))
        old = await issue(home, "old", "read", "send")
        tokens = await login(home)
        socket = await stack.enter_async_context(open_client(home, "ws", bearer(old)))
        rotated = (await home.ask("POST", "/api/v2/signing-keys/rotate")).json
        assert rotated["ended"] == ["old"]
        assert await opens(home, old)
        new = await issue(home, "new", "read", "send")
        (listed, _, _) = (await home.ask("GET", "/api/v2/tokens")).json["tokens"]
        assert (listed["name"], listed["expires_at"]) == ("old", rotated["old_ends_at"])
        later = home.node.access_tokens._elapsed = lambda: elapsed_seconds() + OVERLAP_SECONDS
        assert later() > 0
        assert await socket.ended() == REVOKED
        assert [await opens(home, token) for token in (old, new)] == [False, True]
        assert not await opens(home, tokens["access_token"])
        renewed = (await refresh(home, tokens["refresh_token"])).json
        assert await opens(home, renewed["access_token"])
        keys = (await home.ask_tcp("GET", "/.well-known/jwks.json")).json["keys"]
        assert [key["kid"] for key in keys] == [rotated["kid"]]


@pytest.mark.long
async def test_no_valid_token_is_rejected_while_keys_are_replaced(tmp_path: Path) -> None:
    clients, rotations = scaled(50, 10), scaled(20, 5)
    async with _stored(tmp_path) as home:
        named = [await issue(home, f"c{number}", "read") for number in range(clients)]
        is_over = asyncio.Event()

        async def ask(token: str) -> int:
            asked = 0
            while not is_over.is_set():
                assert await opens(home, token)
                asked += 1
            return asked

        async def renew() -> int:
            tokens, renewed = await login(home, scopes=["read"]), 0
            while not is_over.is_set():
                assert await opens(home, tokens["access_token"])
                answer = await refresh(home, tokens["refresh_token"])
                assert answer.status == 200, answer.text
                tokens, renewed = answer.json, renewed + 1
            return renewed

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(ask(token)) for token in named]
            running += [tasks.create_task(renew()) for _ in range(clients)]
            for _ in range(rotations):
                await asyncio.sleep(0.1)
                assert (await home.ask("POST", "/api/v2/signing-keys/rotate")).status == 200
            await asyncio.sleep(0.1)
            is_over.set()
        assert min(task.result() for task in running) > 0
        assert len(home.hub.state.identities.keys) == rotations + 1
