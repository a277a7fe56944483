"""How a person gets into the console and out of it, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect
from tests.certificates import Issued
from tests.clients.browser import FLAGS
from tests.clients.having import BROWSERS
from tests.console.browser import chromium
from tests.needs import needs
from tests.qr_reading import read, with_border
from tests.served import CONSOLE, Served, served

from rhetor.auth.addresses import Addresses
from rhetor.auth.logins import COOKIE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def link(home: Served, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await home.ask("POST", "/api/auth/code", body)).json
    return found


async def expect_console(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()


async def test_a_person_types_a_code_on_the_page_that_says_how_to_log_in(tmp_path: Path) -> None:
    async with served(tmp_path) as home, chromium() as browser:
        page = await browser.new_page()
        answer = await page.goto(f"{home.node.console}/sessions")
        assert answer and answer.status == 401
        await expect(page.get_by_role("main")).to_contain_text("run aish console")
        field = page.get_by_label("One-time code")
        await field.fill("0000-0000-0000-0000")
        await field.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text(
            "The code is wrong, was used or has expired; request a new one."
        )
        await field.fill((await link(home))["code"].lower())
        await page.get_by_role("button", name="Log in").click()
        await expect_console(page)
        assert page.url == f"{home.node.console}/"


async def test_a_link_of_another_site_logs_in_only_after_a_click(tmp_path: Path) -> None:
    async with served(tmp_path) as home, chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"http://localhost:{home.port}/healthz")
        await page.evaluate("(url) => { location.href = url }", (await link(home))["url"])
        await expect(page.get_by_role("heading", name="Log in to rhetor?")).to_be_visible()
        assert await page.context.cookies() == []
        await page.get_by_role("button", name="Log in").click()
        await expect_console(page)


async def test_a_link_to_the_console_on_another_site_leads_there_with_one_more_click(tmp_path: Path) -> None:
    async with served(tmp_path) as home, chromium() as browser:
        context = await browser.new_context(service_workers="block")
        page = await context.new_page()
        await page.goto((await link(home))["url"])
        await expect_console(page)
        await page.goto(f"http://localhost:{home.port}/healthz")
        await page.evaluate("(url) => { location.href = url }", f"{home.node.console}/health")
        await page.get_by_role("link", name="Open the console").click()
        await expect(page.get_by_role("heading", name="Health", level=1)).to_be_visible()


async def test_a_phone_logs_in_over_tls_with_the_qr_code_and_only_at_that_name(tmp_path: Path) -> None:
    issued = Issued.into(tmp_path / "tls", "box.local", "tv.local")
    flags = [*FLAGS, "--host-resolver-rules=MAP *.local 127.0.0.1"]
    async with (
        served(tmp_path, certificate=issued.served) as home,
        async_playwright() as playwright,
    ):
        home.node.certificate, names = issued.served, ("box.local", "tv.local")
        home.node.addresses = Addresses(home.port, CONSOLE, tls=True, names=names, for_network=True)
        found = await link(home, **{"for": "network", "host": "box.local"})
        url = read(with_border(found["qr"]))
        assert url
        browser = await playwright.chromium.launch(executable_path=needs(*BROWSERS), args=flags)
        try:
            context = await browser.new_context(
                viewport={"width": 360, "height": 740},
                has_touch=True,
                is_mobile=True,
                ignore_https_errors=True,
            )
            page = await context.new_page()
            await page.goto(url)
            await expect_console(page)
            (cookie,) = await context.cookies()
            assert (cookie["name"], cookie["domain"]) == ("__Host-rhetor", "box.local")
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
            logins = await page.evaluate("fetch('/api/v2/logins').then((answer) => answer.json())")
            assert [each["host"] for each in logins["logins"]] == ["box.local"]
            other = await page.goto(f"https://tv.local:{home.port}/")
            assert other and other.status == 401
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360
        finally:
            await browser.close()


@pytest.mark.parametrize("end", ["ended", "expired"])
async def test_a_page_whose_login_ends_says_so_and_takes_a_code(tmp_path: Path, end: str) -> None:
    async with served(tmp_path) as home, chromium() as browser:
        page = await browser.new_page()
        await page.goto((await link(home))["url"])
        await expect_console(page)
        if end == "ended":
            assert (await home.ask("DELETE", "/api/v2/logins")).json == {"ended": 1}
        else:
            now = home.node.logins.clock
            home.node.logins.clock = lambda: now() + COOKIE_SECONDS
        await expect(page.get_by_role("heading", name="You are logged out")).to_be_visible(timeout=20_000)
        await page.get_by_label("Code").fill((await link(home))["code"])
        await page.get_by_role("button", name="Log in").click()
        await expect_console(page)
