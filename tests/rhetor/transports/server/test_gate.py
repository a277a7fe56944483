"""Which callers may use which route, through real sockets."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rhetor.auth.policy import Policy
from rhetor.domain.principal import ALL, READ, SEND, Principal
from rhetor.errors import InvalidSettings
from rhetor.routes import TABLE
from rhetor.transports.server.flow import BODY_BYTES, LARGER_BODIES
from rhetor.transports.server.router import AppRoute, Route, SocketRoute
from rhetor.transports.server.server import tcp_listener
from tests.callers import caller, logged_in
from tests.served import CONSOLE, TOKEN, Served, served

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
BY_BODY = {"/api/auth/refresh", "/api/auth/revoke"}  # the credential is in the body
CONSOLE_FILES = {"/assets/{name}", "/manifest.webmanifest", "/service-worker.js"}
PUBLIC = {"/healthz", "/login", "/ca.crt", "/.well-known/jwks.json", "/socket.io/", *BY_BODY, *CONSOLE_FILES}


def test_every_route_declares_who_may_use_it() -> None:
    assert all(isinstance(row.policy, Policy) for row in TABLE)
    assert {row.path for row in TABLE if row.policy is Policy.PUBLIC} == PUBLIC


def test_the_server_reads_as_much_of_a_body_as_its_route_accepts() -> None:
    routes = [row for row in TABLE if isinstance(row, Route) and row.body_bytes > BODY_BYTES]
    found = {row.path: row.body_bytes for row in routes}
    assert found == {path: size for path, size in LARGER_BODIES.items() if path.startswith("/v1/")}


def test_the_parameters_of_a_handler_match_its_route() -> None:
    for row in TABLE:
        if isinstance(row, AppRoute):
            continue
        first = "call" if isinstance(row, Route) else "socket"
        expected = {first, *re.findall(r"{(\w+)}", row.path)}
        types = inspect.get_annotations(row.handler, eval_str=True)
        if isinstance(row, Route):
            body = None if row.takes_json else row.body  # it only describes the content
            expected |= {name for name, kind in (("body", body), ("query", row.query)) if kind is not None}
            expected |= {"content"} if row.takes_bytes or row.takes_json else set()
            assert (row.path, types.get("body"), types.get("query")) == (row.path, body, row.query)
        assert (row.path, types.keys() - {"return"}) == (row.path, expected)


def test_no_two_routes_have_the_same_method_and_path() -> None:
    places = [(row.method, row.path) for row in TABLE]
    assert len(set(places)) == len(places)


async def test_head_returns_the_headers_of_get_even_for_endless_streams(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        for path in ("/healthz", "/metrics", "/api/v2/ai", f"/api/v2/sessions/{made}/events"):
            whole = await home.ask("GET", path)
            head = await home.ask("HEAD", path)
            assert (head.status, head.text) == (200, "")
            assert head.headers["content-type"] == whole.headers["content-type"]
        stream = {"accept": "text/event-stream"}
        head = await home.ask("HEAD", f"/api/v2/sessions/{made}/events", headers=stream)
        assert (head.status, head.headers["content-type"][:17]) == (200, "text/event-stream")
        assert (await home.ask("HEAD", "/api/v2/ai/nobody")).status == 404
        assert (await home.ask_tcp("HEAD", "/api/v2/ai")).status == 401
        assert (await home.ask("HEAD", "/api/v2/bulk")).status == 405
        async with asyncio.timeout(25):
            while home.node.connections.by_api():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def _upgrade(home: Served, path: str, **headers: str) -> int:
    """Return the status of a WebSocket upgrade request over TCP."""
    asked = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    return (await home.ask_tcp("GET", path, headers=asked)).status


def test_a_route_without_a_policy_raises() -> None:
    async def open_to_all() -> None: ...

    with pytest.raises(TypeError, match="policy"):
        Route("GET", "/open", handler=open_to_all)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="policy"):
        SocketRoute("/open", handler=open_to_all, api="ws")  # type: ignore[call-arg]


async def test_every_route_but_the_public_ones_is_401_without_a_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for route in TABLE:
            path = re.sub(r"\{\w+\}", "x", route.path)
            if isinstance(route, SocketRoute):
                assert (path, await _upgrade(home, path)) == (path, 401)
                continue
            answer = await home.ask_tcp("GET" if route.method == "*" else route.method, path)
            # without a code, and without the query of a session, whose client sends the token later
            open_ones = {"/healthz": 200, "/.well-known/jwks.json": 200, "/login": 422, "/socket.io/": 400}
            open_ones |= {
                "/ca.crt": 404,
                "/assets/{name}": 404,
                "/manifest.webmanifest": 200,
                "/service-worker.js": 200,
            }
            expected = open_ones.get(route.path, 401)
            assert (route.path, answer.status) == (route.path, expected)
        assert (await home.ask_tcp("GET", "/no/such/path")).status == 401


@pytest.mark.parametrize("token", ["", "f" * 63, "F" * 64, "\u00e4"])
async def test_a_wrong_token_is_401(tmp_path: Path, token: str) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask_tcp("GET", "/api/v2/ai", {"authorization": f"Bearer {token}"})
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")


async def test_repeated_wrong_tokens_are_429_and_the_right_one_still_works(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        home.node.attempts.per_minute = 2
        guess = {"authorization": f"Bearer {'0' * 64}"}
        told = [await home.ask_tcp("GET", "/api/v2/ai", headers=guess) for _ in range(4)]
        assert [answer.status for answer in told] == [401, 401, 429, 429]
        assert told[2].json["code"] == "too_many_attempts"
        assert 0 < int(told[2].headers["retry-after"]) <= 60
        assert await _upgrade(home, "/ws", **guess) == 429
        console = {"host": f"{CONSOLE}:{home.port}"}
        code = await home.ask_tcp("GET", f"/login?code={'0' * 43}", headers=console)
        assert code.status == 429
        assert (await home.ask_tcp("GET", "/api/v2/ai", headers=BEARER)).status == 200
        assert (await home.ask_tcp("GET", "/api/v2/ai")).status == 401  # no credentials, so not a guess
        assert home.node.tally.errors["rest", "too_many_attempts"] == 3


async def test_the_token_gives_access_over_tcp(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert (await home.ask_tcp("GET", "/api/v2/ai", BEARER)).status == 200
        for path, method in (("/api/v2/shutdown", "POST"), ("/api/v2/environment", "PUT")):
            answer = await home.ask_tcp(method, path, BEARER, json={"variables": {}})
            assert (path, answer.status) == (path, 403)


async def test_the_hub_knows_who_calls_from_where_with_which_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Principal] = []
    monkeypatch.setattr("rhetor.transports.server.router.require", lambda _, who: found.append(who))
    async with served(tmp_path) as home:
        await home.ask("GET", "/api/v2/ai")
        await home.ask_tcp("GET", "/api/v2/ai", BEARER)
        await home.ask_tcp("GET", "/api/v2/ai", {**await logged_in(home), "sec-fetch-site": "none"})
    local, by_token, *_, by_cookie = found
    assert local == Principal("me", ALL, True, f"unix pid {os.getpid()}", "socket")
    for who, credential in ((by_token, "token"), (by_cookie, "cookie")):
        assert who == Principal("me", ALL, False, who.address, credential)
        assert re.fullmatch(r"127\.0\.0\.1:\d+", who.address)


@pytest.mark.parametrize(
    "host",
    [
        "evil",
        "evil.localhost:{port}",
        "localhost:1",
        "127.0.0.1",
        "localhost.:{port}",
        "a@localhost:{port}",
        "",
    ],
)
async def test_an_unknown_host_is_421_before_any_other_check(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as home:
        headers = {**BEARER, "host": host.replace("{port}", str(home.port))}
        assert (await home.ask_tcp("GET", "/api/v2/ai", headers)).status == 421
        assert (await home.ask_tcp("GET", "/healthz", headers)).status == 421


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil",
        "http://localhost.evil:{port}",
        "http://localhost:1",
        "https://localhost:{port}",
        "http://localhost:{port}/",
        "http://a.localhost:{port}",
    ],
)
async def test_an_unknown_origin_is_403_even_with_the_token(tmp_path: Path, origin: str) -> None:
    async with served(tmp_path) as home:
        headers = {**BEARER, "origin": origin.replace("{port}", str(home.port))}
        answer = await home.ask_tcp("GET", "/api/v2/ai", headers)
        assert (answer.status, answer.json["code"]) == (403, "forbidden")


async def test_a_preflight_request_is_not_allowed(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        headers = {"origin": f"http://{CONSOLE}:{home.port}", "access-control-request-method": "POST"}
        answer = await home.ask_tcp("OPTIONS", "/api/v2/ai/apollo/message", headers)
        assert answer.status == 401
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_login_code_works_once_and_sets_an_http_only_cookie(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        link = (await home.ask("POST", "/api/auth/code")).json["url"]
        path = link.split(str(home.port))[1]
        own = {"host": f"{CONSOLE}:{home.port}"}
        assert (await home.ask_tcp("GET", path)).status == 421
        first = await home.ask_tcp("GET", path, own)
        assert (first.status, first.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(first.headers["set-cookie"].split("; "))
        assert (await home.ask_tcp("GET", path, own)).status == 401
        cookie = {**own, "cookie": first.headers["set-cookie"].split(";")[0]}
        await _check_cookie(home, cookie)


async def test_a_browser_has_the_rights_of_the_caller_that_requested_its_login(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home, "anna", {READ})
        code = (await home.ask_tcp("POST", "/api/auth/code", guest)).json["code"]
        own = {"host": f"{CONSOLE}:{home.port}"}
        answer = await home.ask_tcp("GET", f"/login?code={code}", own)
        cookie = {**own, "cookie": answer.headers["set-cookie"].split(";")[0]}
        page = {**cookie, "origin": f"http://{CONSOLE}:{home.port}"}
        mine = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        assert (await home.ask_tcp("GET", "/api/v2/sessions", page)).json == {"sessions": []}
        assert (await home.ask_tcp("GET", f"/api/v2/sessions/{mine}", page)).status == 404
        refused = await home.ask_tcp("POST", "/api/v2/sessions", page, json={"specialist_id": "apollo"})
        assert (refused.status, refused.json["scope"]) == (403, SEND)
        again = (await home.ask_tcp("POST", "/api/auth/code", page)).json["code"]
        second = await home.ask_tcp("GET", f"/login?code={again}", own)
        cookies = [page, {**page, "cookie": second.headers["set-cookie"].split(";")[0]}]
        for each in cookies:
            assert (await home.ask_tcp("GET", "/api/v2/ai", each)).status == 200
        token = guest["authorization"].removeprefix("Bearer ")
        assert (await home.ask_tcp("POST", "/api/auth/revoke", json={"token": token})).status == 204
        for each in cookies:
            assert (await home.ask_tcp("GET", "/api/v2/ai", each)).status == 401


async def _check_cookie(home: Served, cookie: dict[str, str]) -> None:
    ours = f"http://{CONSOLE}:{home.port}"
    cases = [
        ("GET", {"sec-fetch-site": "same-origin"}, 200),
        ("GET", {"sec-fetch-site": "none"}, 200),
        ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}, 200),
        ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "script"}, 403),
        ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "style"}, 403),
        ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-dest": "worker"}, 403),
        ("GET", {"origin": ours, "sec-fetch-dest": "iframe"}, 403),
        ("GET", {"sec-fetch-site": "cross-site"}, 403),
        ("GET", {}, 403),
        ("POST", {"sec-fetch-site": "same-origin"}, 403),
        ("POST", {"origin": ours}, 422),
        ("POST", {"origin": "http://evil.localhost"}, 403),
        ("POST", {"origin": f"http://127.0.0.1:{home.port}"}, 403),
        ("POST", {"origin": f"https://{CONSOLE}:{home.port}"}, 403),
        ("GET", {"sec-fetch-site": "none", "host": f"127.0.0.1:{home.port}"}, 401),
    ]
    for method, headers, expected in cases:
        path = "/api/v2/ai" if method == "GET" else "/api/v2/ai/apollo/message"
        answer = await home.ask_tcp(method, path, {**cookie, **headers})
        assert (method, headers, answer.status) == (method, headers, expected)


async def test_the_unix_socket_accepts_only_host_localhost_and_no_origin(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert (await home.ask("GET", "/api/v2/ai")).status == 200
        for headers, expected in (
            ({"host": "evil"}, 421),
            ({"host": "127.0.0.1"}, 421),
            ({"origin": "http://localhost"}, 403),
            ({"origin": "null"}, 403),
        ):
            assert (await home.ask("GET", "/api/v2/ai", headers=headers)).status == expected


async def test_a_repeated_host_header_is_rejected(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        reader, writer = await asyncio.open_unix_connection(str(home.socket))
        writer.write(b"GET /api/v2/ai HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_a_body_over_the_limit_is_413_with_or_without_a_content_length(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES // 65536 + 2):
            yield b" " * 65536

    async with served(tmp_path) as home:
        for body in (io.BytesIO(b" " * (BODY_BYTES + 1)), endless()):
            headers = {"content-type": "application/json"}
            answer = await home.ask("POST", "/api/v2/ai/apollo/message", data=body, headers=headers)
            assert (answer.status, answer.json["code"]) == (413, "too_large")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_another_user_is_rejected_on_the_unix_socket(tmp_path: Path) -> None:
    ask = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "print(s.recv(100))\n"
    )
    async with served(tmp_path) as home:
        assert (home.socket.stat().st_mode & 0o777) == 0o600
        home.socket.chmod(0o666)
        for folder in (home.socket.parent, *home.socket.parent.parents):
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o711)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ask,
            str(home.socket),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert b"200 OK" not in out
        assert out == b"b''\n" or b"ConnectionResetError" in err or b"BrokenPipeError" in err


def test_the_hub_binds_only_to_loopback_addresses_without_tls() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.1", ""):
        with pytest.raises(InvalidSettings, match=r"hub\.host: .* set hub\.tls_cert and hub\.tls_key"):
            tcp_listener(host, 0, or_any=True)
    for host in ("0.0.0.0", "::"):
        with tcp_listener(host, 0, or_any=True, tls=True) as listener:
            assert listener.getsockname()[0] == host


def test_a_port_in_use_is_an_error_or_another_one_is_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InvalidSettings, match=rf"{port}: Address already in use"):
            tcp_listener("127.0.0.1", port, or_any=False)
        with tcp_listener("127.0.0.1", port, or_any=True) as listener:
            assert listener.getsockname()[1] != port


def test_the_last_port_is_taken_again_if_another_one_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        last = other.getsockname()[1]
    for port, or_any in ((0, False), (0, True), (_free_port(), True)):
        with tcp_listener("127.0.0.1", port, or_any=or_any, last=last) as listener:
            assert listener.getsockname()[1] == last
    port = _free_port()
    with tcp_listener("127.0.0.1", port, or_any=False, last=last) as listener:
        assert listener.getsockname()[1] == port


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
