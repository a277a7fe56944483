"""The service worker, with which the installed console opens while the hub is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from tests.console.browser import chromium
from tests.served import Served, served

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def logged_in(home: Served, page: Page) -> None:
    """Log in, and wait until the worker controls the page."""
    await page.goto((await home.ask("POST", "/api/auth/code")).json["url"])
    await page.evaluate(
        "navigator.serviceWorker.controller !== null || new Promise((done) =>"
        " navigator.serviceWorker.addEventListener('controllerchange', () => done(true)))"
    )


async def test_the_console_opens_without_the_hub_and_keeps_none_of_its_answers(tmp_path: Path) -> None:
    async with served(tmp_path) as home, chromium() as browser:
        page = await browser.new_page()
        await logged_in(home, page)
        await page.reload()  # this time through the worker
        await expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()
        await page.context.set_offline(True)
        await page.reload()
        await expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        kept = await page.evaluate(
            "caches.keys().then((names) => caches.open(names[0])).then((cache) => cache.keys())"
            ".then((all) => all.map((request) => new URL(request.url).pathname))"
        )
        assert "/" in kept
        assert [path for path in kept if path != "/" and not path.startswith("/assets/")] == []


async def test_a_link_of_another_site_opens_nothing_through_the_worker(tmp_path: Path) -> None:
    async with served(tmp_path) as home, chromium() as browser:
        page = await browser.new_page()
        await logged_in(home, page)
        await page.goto(f"http://localhost:{home.port}/healthz")
        await page.evaluate("(url) => { location.href = url }", f"{home.node.console}/health")
        await expect(page.get_by_role("heading", name="Log in to rhetor")).to_be_visible()
        await page.get_by_role("link", name="Open the console").click()
        await expect(page.get_by_role("heading", name="Health", level=1)).to_be_visible()
