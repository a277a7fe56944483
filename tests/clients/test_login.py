"""What a browser shows after a login."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clients.browser import browsing
from tests.clients.having import BROWSERS
from tests.needs import needs
from tests.served import CONSOLE, served

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
NAME = "<b>a & b</b>"


async def test_after_a_login_the_page_lists_the_peers_and_the_open_sessions(tmp_path: Path) -> None:
    chromium = needs(*BROWSERS)
    async with served(tmp_path) as home, browsing(chromium, tmp_path) as page:
        body = {"specialist_id": "apollo", "name": NAME}
        session = (await home.ask("POST", "/api/v2/sessions", body)).json["id"]
        login = (await home.ask("POST", "/api/auth/code")).json["url"]
        await page.open(login)
        assert await page.run("location.href") == f"http://{CONSOLE}:{home.port}/"
        assert str(await page.run("document.querySelector('h1').textContent")).startswith("rhetor")
        rows = await page.run(
            "[...document.querySelectorAll('tr')].map((row) => [...row.cells].map((c) => c.textContent))"
        )
        assert ["id", "kind", "status", "description"] in rows
        assert "specialist" in next(row for row in rows if row[0] == "apollo")
        shown = next(row for row in rows if row[0] == session)
        assert [*shown[1:3], shown[4]] == ["apollo", NAME, "active"]


async def test_a_browser_without_a_login_does_not_see_the_page(tmp_path: Path) -> None:
    chromium = needs(*BROWSERS)
    async with served(tmp_path) as home, browsing(chromium, tmp_path) as page:
        await page.open(f"http://{CONSOLE}:{home.port}/healthz")
        assert await page.run("fetch('/').then((answer) => answer.status)") == 401
