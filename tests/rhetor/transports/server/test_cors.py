"""Which pages may read the hub's responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhetor.auth.addresses import Addresses
from tests.callers import logged_in
from tests.served import CONSOLE, TOKEN, Served, served

pytestmark = pytest.mark.anyio
PAGE = "https://front.example"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


def allow(home: Served, *origins: str) -> None:
    home.node.addresses = Addresses(home.port, CONSOLE, (), origins)


async def test_a_page_of_an_allowed_origin_may_read_responses_and_errors(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        allow(home, f"{PAGE}:443")
        for headers, status in ((BEARER, 200), ({}, 401)):
            answer = await home.ask_tcp("GET", "/api/v2/ai", {**headers, "origin": PAGE})
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_may_read_every_header_of_the_hub(tmp_path: Path) -> None:
    internal = {"x-content-type-options", "x-frame-options"}  # for the browser itself
    chat = {"model": "apollo", "messages": [{"role": "user", "content": "hi"}]}
    async with served(tmp_path) as home:
        allow(home, PAGE)
        sent = {**BEARER, "origin": PAGE}
        answers = [
            await home.ask_tcp("POST", "/api/v2/ai/@code-analysis/message", sent, json={"content": "hi"}),
            await home.ask_tcp("POST", "/v1/chat/completions", sent, json=chat),
            await home.ask_tcp("POST", "/v1/chat/completions", sent, json={}),
        ]
        for answer in answers:
            exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
            names = {name.lower() for name in answer.headers if name.lower().startswith("x-")} - internal
            assert names
            assert names <= set(exposed)
        assert "x-should-retry" in answers[-1].headers
        assert "x-unasked-after" in exposed


async def test_a_page_may_use_the_clients_of_the_vendors(tmp_path: Path) -> None:
    headers = "authorization, x-api-key, anthropic-version, x-stainless-helper, x-stainless-poll-helper"
    async with served(tmp_path) as home:
        allow(home, PAGE)
        asks = {"access-control-request-method": "POST", "access-control-request-headers": headers}
        answer = await home.ask_tcp("OPTIONS", "/v1/messages", {"origin": PAGE, **asks})
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert set(headers.split(", ")) <= set(allowed)


async def test_a_preflight_needs_no_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        allow(home, PAGE)
        answer = await home.ask_tcp("OPTIONS", "/api/v2/ai/apollo/message", {"origin": PAGE, **ASKS})
        assert (answer.status, answer.text) == (204, "")
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", ["https://other.example", "http://front.example", "null", f"{PAGE}:8443"])
async def test_no_other_page_may(tmp_path: Path, origin: str) -> None:
    async with served(tmp_path) as home:
        allow(home, PAGE)
        for method, more in (("GET", BEARER), ("OPTIONS", ASKS)):
            answer = await home.ask_tcp(method, "/api/v2/ai", {**more, "origin": origin})
            assert answer.status == 403
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_preflight_to_another_host_name_is_rejected(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        allow(home, PAGE)
        headers = {"origin": PAGE, "host": "evil.example", **ASKS}
        answer = await home.ask_tcp("OPTIONS", "/api/v2/ai", headers)
        assert answer.status == 421
        assert "access-control-allow-origin" not in answer.headers


async def test_a_cookie_is_not_accepted_from_a_page_of_an_allowed_origin(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        own = await logged_in(home)
        near = f"http://{CONSOLE}:1"  # of the same site, so the browser sends the cookie
        allow(home, near)
        assert (await home.ask_tcp("GET", "/api/v2/ai", own)).status == 200
        for method, path in (("GET", "/api/v2/ai"), ("POST", "/api/auth/code"), ("GET", "/ws")):
            answer = await home.ask_tcp(method, path, {**own, "origin": near})
            assert (path, answer.status) == (path, 403)
        assert (await home.ask_tcp("GET", "/api/v2/ai", {**BEARER, "origin": near})).status == 200
