"""What a browser shows after a login."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clients.browser import browsing
from tests.clients.having import BROWSERS
from tests.needs import needs
from tests.served import CONSOLE, served

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_after_a_login_the_browser_shows_the_console(tmp_path: Path) -> None:
    chromium = needs(*BROWSERS)
    async with served(tmp_path) as home, browsing(chromium, tmp_path) as page:
        login = (await home.ask("POST", "/api/auth/code")).json["url"]
        await page.open(login)
        assert await page.run("location.href") == f"http://{CONSOLE}:{home.port}/"
        assert await page.until("document.querySelector('h1')?.textContent") == "Peers"


async def test_a_browser_without_a_login_does_not_see_the_page(tmp_path: Path) -> None:
    chromium = needs(*BROWSERS)
    async with served(tmp_path) as home, browsing(chromium, tmp_path) as page:
        await page.open(f"http://{CONSOLE}:{home.port}/healthz")
        assert await page.run("fetch('/').then((answer) => answer.status)") == 401
