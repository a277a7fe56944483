"""What a browser shows that is not logged in."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from tests.callers import console, log_in, logged_in
from tests.served import Answer, served

pytestmark = pytest.mark.anyio
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def require_page(answer: Answer, status: int) -> str:
    """Check that a response is a page that can run and load nothing, and return its text."""
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    (policy,) = (v for k, v in answer.headers.items() if k.lower() == "content-security-policy")
    style = re.search("<style>(.*)</style>", answer.text)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    assert not re.search(r"<script|javascript:|\son\w+=|http-equiv|src=", answer.text)
    return answer.text


async def test_a_browser_that_is_not_logged_in_gets_a_page_and_other_clients_the_problem(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        for path in ("/", "/sessions", "/no/such/path", "/api/v2/ai"):
            answer = await home.ask_tcp("GET", path, {**console(home), **HTML})
            text = require_page(answer, 401)
            assert "<code>aish console</code>" in text and "<code>rhetor console</code>" in text
            assert 'role="alert"' not in text and '<form action="/login">' in text
            assert (answer.headers["vary"], answer.headers["www-authenticate"]) == ("Accept", "Bearer")
            plain = await home.ask_tcp("GET", path, {**console(home), "accept": "*/*"})
            assert (plain.status, plain.json["code"]) == (401, "unauthenticated")
        posted = await home.ask_tcp("POST", "/api/v2/sessions", {**console(home), **HTML}, json={})
        assert posted.json["code"] == "unauthenticated"
        vendor = await home.ask_tcp("GET", "/v1/models", {**console(home), **HTML})
        assert vendor.json["error"]["message"]
        head = await home.ask_tcp("HEAD", "/", {**console(home), **HTML})
        assert (head.status, head.headers["content-type"]) == (401, "text/html; charset=utf-8")


async def test_the_page_never_shows_the_name_of_the_console(tmp_path: Path) -> None:
    """Whoever can connect to the port could serve that name on another port, and get the cookies."""
    async with served(tmp_path) as home:
        for path in ("/", "/login", "/login?code=x"):
            for host in ("127.0.0.1", "localhost", "evil.example"):
                answer = await home.ask_tcp("GET", path, {**HTML, "host": f"{host}:{home.port}"})
                text = require_page(answer, answer.status)
                assert "c0ffee" not in text + str(answer.headers)
                assert "<form" not in text  # a code is of no use at these names


async def test_a_wrong_code_is_explained_on_the_page(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        code = (await home.ask("POST", "/api/auth/code")).json["code"]
        assert (await log_in(home, code)).status == 303
        for given in (code, "0000-0000-0000-0000", "%3Cscript%3E"):
            text = require_page(await log_in(home, given, **HTML), 401)
            assert (
                '<p role="alert">The code is wrong, was used or has expired; request a new one.</p>' in text
            )
            assert '<form action="/login">' in text
        home.node.attempts.per_minute = 3
        text = require_page(await log_in(home, code, **HTML), 429)
        assert "Too many invalid credentials" in text


async def test_the_login_page_has_the_form_if_no_code_is_given(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        text = require_page(await home.ask_tcp("GET", "/login", {**console(home), **HTML}), 200)
        assert '<label for="code">One-time code</label><input id="code" name="code"' in text
        assert (await home.ask_tcp("GET", "/login", console(home))).status == 422


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_link_from_another_site_leads_to_a_page_with_a_link_to_itself(
    tmp_path: Path, site: str
) -> None:
    async with served(tmp_path) as home:
        headers = {**console(home), **HTML, "sec-fetch-site": site}
        assert '<a href="">Open the console</a>' in require_page(await home.ask_tcp("GET", "/", headers), 401)
        page = await logged_in(home)
        del page["origin"]
        text = require_page(await home.ask_tcp("GET", "//evil.example/", {**page, **headers}), 403)
        assert '<a href="">' in text and "evil" not in text


async def test_a_wrong_host_name_is_explained_on_a_page(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask_tcp("GET", "/", {**HTML, "host": f"<b>evil:{home.port}"})
        text = require_page(answer, 421)
        assert "The hub does not have this host name" in text and "evil" not in text
