"""What a page, another machine or a client without a token can do at each API before it is admitted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.hostile.attacks.entrances import APIS, BEARER, ENTRANCES, UPGRADE, Entrance, Line, exchange, knock
from tests.hostile.raw import of_problem
from tests.scale import FULL
from tests.served import CONSOLE, TOKEN, served

from rhetor.auth.addresses import Addresses
from rhetor.auth.policy import Policy
from rhetor.routes import TABLE

pytestmark = pytest.mark.anyio

HOSTS = (
    "evil",
    "evil.example:{port}",
    "127.0.0.1.evil:{port}",
    "localhost.evil:{port}",
    "evil.localhost:{port}",
    "0x7f.1:{port}",
    "2130706433:{port}",
    "127.1:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "0.0.0.0:{port}",
    "127.0.0.1:1",
    "127.0.0.1",
    "localhost.:{port}",
    "user@127.0.0.1:{port}",
    "127.0.0.1:{port}@evil",
    "127.0.0.1:{port}/evil",
    "127.0.0.1:{port}?",
    "127.0.0.1:{port},evil",
    "127.0.0.1:{port} evil",
    "127.0.0.1:0{port}0",
    "127.0.0.1:{port}\\evil",
    "",
)
ORIGINS = (
    "null",
    "",
    "*",
    "http://evil",
    "http://localhost.evil:{port}",
    "http://localhost.evil",
    "http://evil.localhost:{port}",
    "http://127.0.0.1:1",
    "http://127.0.0.1",
    "https://127.0.0.1:{port}",
    "ws://127.0.0.1:{port}",
    "file://127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port} http://evil",
    "http://127.0.0.1:{port}, http://evil",
    "http://user@127.0.0.1:{port}",
    "http://127.0.0.1:{port}@evil",
    "http://127.0.0.1:{port}#evil",
    "HTTP://evil",
    "http://[::ffff:127.0.0.1]:{port}",
    "http://2130706433:{port}",
    "chrome-extension://abcdefgh",
    "127.0.0.1:{port}",
)
TOKENS = (
    "Bearer",
    "Bearer ",
    "Bearer " + "0" * 64,
    f"Bearer {TOKEN}0",
    f"Bearer {TOKEN[1:]}",
    f"Bearer {TOKEN.upper()}",
    f"Bearer {TOKEN},{TOKEN}",
    f"Bearer Bearer {TOKEN}",
    f"Token {TOKEN}",
    f"Digest {TOKEN}",
    TOKEN,
    f"Basic {TOKEN}",
    "Basic dTpwYXNzd29yZA==",
    "Basic ====",
    "Bearer \xff\xfe",
)
POLICY = "default-src 'none'; frame-ancestors 'none'"
VARIANTS = slice(0 if FULL else 2, 3)
LOCKED = [entrance for entrance in ENTRANCES if not entrance.is_open]


@pytest.mark.parametrize(
    "name",  # the first request for MCP loads its library
    [pytest.param(name, marks=pytest.mark.long) if "mcp" in name else name for name in APIS],
)
async def test_a_client_with_the_token_is_admitted(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as home:
        assert (await knock(home, APIS[name], BEARER)).status == APIS[name].answer


async def test_an_unknown_host_is_421_on_every_api_whatever_else_the_request_has(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        own = ("Origin", f"http://127.0.0.1:{home.port}")
        for entrance in ENTRANCES:
            for host in HOSTS:
                given = host.replace("{port}", str(home.port))
                variants: list[list[Line]] = [[], [BEARER], [BEARER, own]]
                for lines in variants[VARIANTS]:
                    reply = await knock(home, entrance, *lines, host=given)
                    found = (entrance.name, host, *of_problem(reply))
                    assert found == (entrance.name, host, 421, "misdirected")
        assert home.driver.heard == []


async def test_an_unknown_origin_is_403_on_every_api_even_with_the_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for entrance in ENTRANCES:
            for origin in ORIGINS:
                given = ("Origin", origin.replace("{port}", str(home.port)))
                site = ("Sec-Fetch-Site", "same-origin")
                for lines in [[given], [given, BEARER], [given, site, BEARER]][VARIANTS]:
                    reply = await knock(home, entrance, *lines)
                    found = (entrance.name, origin, *of_problem(reply))
                    assert found == (entrance.name, origin, 403, "forbidden")
        assert home.driver.heard == []


async def test_the_unix_socket_rejects_every_origin_and_other_hosts_on_every_api(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for entrance in ENTRANCES:
            for origin in ("null", "http://localhost", f"http://127.0.0.1:{home.port}", ""):
                reply = await knock(home, entrance, ("Origin", origin), local=True)
                found = (entrance.name, origin, *of_problem(reply))
                assert found == (entrance.name, origin, 403, "forbidden")
            for host in (f"127.0.0.1:{home.port}", "evil", f"localhost:{home.port}", "localhost.", ""):
                reply = await knock(home, entrance, BEARER, host=host, local=True)
                assert (entrance.name, host, *of_problem(reply)) == (entrance.name, host, 421, "misdirected")
        assert home.driver.heard == []


async def test_host_and_origin_are_checked_before_the_body_is_read(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        sending = APIS["rest, sending"]
        for host, origin, expected in (
            ("evil", None, 421),
            (None, "null", 403),
            (f"127.0.0.1:{home.port}", "http://evil", 403),
        ):
            lines = [BEARER, *((("Origin", origin),) if origin else ())]
            head = sending.request(host or f"127.0.0.1:{home.port}", lines).partition(b"\r\n\r\n")[0]
            unsent = head.replace(b"Content-Length: 23", b"Content-Length: 1000") + b"\r\n\r\n"
            assert b"1000" in unsent
            assert (await exchange(home, unsent)).status == expected


@pytest.mark.parametrize("header", ["Host", "Origin", "Authorization"])
async def test_a_header_that_admission_depends_on_must_not_occur_twice(tmp_path: Path, header: str) -> None:
    async with served(tmp_path) as home:
        own = {"Host": f"127.0.0.1:{home.port}", "Origin": home.node.url, "Authorization": BEARER[1]}
        for entrance in ENTRANCES:
            for second in (own[header], "evil"):
                once = () if header == "Host" else ((header, own[header]),)
                reply = await knock(home, entrance, *once, (header, second))
                assert (entrance.name, reply.status) == (entrance.name, 400)


async def test_a_preflight_of_another_origin_carries_no_allow_header_on_any_api(tmp_path: Path) -> None:
    front = "https://front.example"
    async with served(tmp_path) as home:
        home.node.addresses = Addresses(home.port, CONSOLE, (), (front,))
        for entrance in ENTRANCES:
            if entrance.is_websocket:
                continue
            asked = Entrance(entrance.name, "OPTIONS", entrance.path, 204)
            asks = ("Access-Control-Request-Method", "POST")
            for origin in (*ORIGINS, "https://front.example.evil", "http://front.example", f"{front}:444"):
                given = ("Origin", origin.replace("{port}", str(home.port)))
                reply = await knock(home, asked, given, asks)
                assert (entrance.name, origin, reply.status) == (entrance.name, origin, 403)
                assert not [name for name in reply.headers if name.startswith("access-control")]
            allowed = await knock(home, asked, ("Origin", front), asks)
            assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (204, front)
            assert "access-control-allow-credentials" not in allowed.headers


@pytest.mark.parametrize("entrance", LOCKED, ids=lambda entrance: entrance.name)
async def test_without_a_valid_token_every_api_is_401(tmp_path: Path, entrance: Entrance) -> None:
    async with served(tmp_path) as home:
        home.node.attempts.per_minute = 1_000
        reply = await knock(home, entrance)
        assert of_problem(reply) == (401, "unauthenticated")
        assert reply.headers["www-authenticate"] == "Bearer"
        for token in TOKENS:
            found = of_problem(await knock(home, entrance, ("Authorization", token)))
            assert (token, *found) == (token, 401, "unauthenticated")
        for elsewhere in ("Cookie", "X-Api-Key", "X-Auth-Token", "Proxy-Authorization"):
            pair = f"rhetor={TOKEN}" if elsewhere == "Cookie" else f"Bearer {TOKEN}"
            for host in (None, f"{CONSOLE}:{home.port}"):
                reply = await knock(home, entrance, (elsewhere, pair), host=host)
                assert (elsewhere, reply.status) == (elsewhere, 401)
        assert home.driver.heard == []


async def test_a_token_in_the_url_gives_no_access(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for entrance in LOCKED:
            for name in ("token", "access_token", "auth", "authorization", "key"):
                asked = Entrance(
                    entrance.name, entrance.method, f"{entrance.path}?{name}={TOKEN}", 0, entrance.lines
                )
                assert (entrance.name, name, (await knock(home, asked)).status) == (entrance.name, name, 401)


@pytest.mark.long
async def test_every_response_has_the_security_headers(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        replies = [await knock(home, entrance, BEARER) for entrance in ENTRANCES]
        replies += [await knock(home, entrance) for entrance in ENTRANCES]
        replies += [await knock(home, entrance, host="evil") for entrance in ENTRANCES]
        for data in (
            b"\x16\x03\x01\r\n\r\n",
            b"GET http://evil/ HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        ):
            replies.append(await exchange(home, data))
        unversioned = APIS["ws"].request(f"127.0.0.1:{home.port}", [BEARER]).replace(b": 13", b": 12")
        replies.append(await exchange(home, unversioned))
        assert {reply.status for reply in replies} == {101, 200, 400, 401, 404, 421}
        for reply in replies:
            assert reply.headers["x-content-type-options"] == "nosniff", reply
            assert reply.headers["x-frame-options"] == "DENY"
            assert reply.headers["referrer-policy"] == "no-referrer"
            assert reply.headers["cross-origin-resource-policy"] == "same-origin"
            if reply.status != 101:
                assert reply.headers["content-security-policy"] == POLICY


# what needs no token, and the answer to a request without one; the tokens of the last two are in their bodies
EXEMPT = {
    ("GET", "/healthz"): 200,
    ("GET", "/.well-known/jwks.json"): 200,
    ("GET", "/login"): 422,
    ("*", "/socket.io/"): 400,
    ("POST", "/api/auth/refresh"): 401,
    ("POST", "/api/auth/revoke"): 401,
    ("GET", "/assets/{name}"): 404,
    ("GET", "/manifest.webmanifest"): 200,
    ("GET", "/service-worker.js"): 200,
    ("GET", "/ca.crt"): 404,
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.mark.long
async def test_without_a_token_every_route_is_401_with_every_method(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        public = {(row.method, row.path) for row in TABLE if row.policy is Policy.PUBLIC}
        assert public == set(EXEMPT)
        for path in {row.path for row in TABLE}:
            asked = re.sub(r"\{\w+\}", "x", path)
            for method in METHODS:
                place = ("*" if path == "/socket.io/" else "GET" if method == "HEAD" else method, path)
                reply = await knock(home, Entrance(path, method, asked, 0))
                if place in EXEMPT:
                    assert (method, path, reply.status) == (method, path, EXEMPT[place])
                elif path in {exempt for _, exempt in EXEMPT}:
                    assert (method, path, reply.status) == (method, path, 405)
                else:
                    assert (method, path, reply.status) == (method, path, 401)
            upgrade = Entrance(path, "GET", asked, 0, UPGRADE)
            if path not in {exempt for _, exempt in EXEMPT}:
                status, code = of_problem(await knock(home, upgrade))
                assert (path, status) == (path, 401)
                assert code in ("unauthenticated", "invalid_api_key", "authentication_error")
            else:
                assert (await knock(home, upgrade)).status not in (101, 200)
