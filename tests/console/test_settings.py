"""The settings in the console, of a real hub and its configuration file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.console.axe import violations
from tests.console.browser import Faults, chromium, console
from tests.e2e.home import Machine
from tests.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

CONFIG = """hub:
  port: 0
# a comment that stays
limits:
  hops: 8
"""


@asynccontextmanager
async def settings(folder: Path, section: str) -> AsyncIterator[tuple[Machine, Page]]:
    """Yield a machine with a running hub, and a page that shows a section of its settings."""
    machine = Machine(folder / "home")
    machine.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (machine.folder / "config.yaml").write_text(CONFIG)
    faults = Faults()
    try:
        shown = await asyncio.to_thread(machine.run, "console", "--print")
        url = shown.stdout.splitlines()[0]
        async with chromium() as browser:
            page = await browser.new_page()
            faults.watch(page)
            await page.goto(url)
            await page.goto(f"{url.partition('/login')[0]}/settings?section={section}")
            yield machine, page
            await page.close()
    finally:
        await asyncio.to_thread(machine.leave)
    assert faults.found == []


async def test_a_setting_is_checked_changed_and_changed_back(tmp_path: Path) -> None:
    async with settings(tmp_path, "configuration") as (machine, page):
        file = machine.folder / "config.yaml"
        await page.get_by_label("Find").fill("limits.hops")
        field = page.get_by_label("limits.hops")
        await expect(field).to_have_value("8")
        await expect(page.locator(".setting").filter(has=field)).to_contain_text("Set in line 5 of the file")
        await field.fill("0")
        await expect(page.get_by_role("alert")).to_have_text("Enter at least 1.")
        await expect(page.get_by_role("button", name="Save")).to_be_disabled()
        await field.fill("5")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status")).to_contain_text(["", "limits.hops was changed."])
        assert file.read_text() == CONFIG.replace("hops: 8", "hops: 5")
        await page.get_by_role("button", name="Undo").click()
        await expect(page.get_by_label("limits.hops")).to_have_value("8")
        assert file.read_text() == CONFIG
        assert await violations(page) == []


async def test_what_only_the_hub_can_check_is_shown_at_the_setting_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async with settings(tmp_path, "configuration") as (machine, page):
        await page.get_by_label("Find").fill("models.default")
        field = page.get_by_label("models.default")
        await field.fill("nobody/nothing")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("nobody")
        await expect(field).to_have_value("nobody/nothing")
        assert (machine.folder / "config.yaml").read_text() == CONFIG
        await page.get_by_label("Find").fill("hub.port")
        await page.get_by_label("hub.port").fill("8301")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Takes effect when the hub starts again: hub.port")).to_be_visible()


async def test_a_key_is_stored_and_removed_and_never_shown(tmp_path: Path) -> None:
    async with settings(tmp_path, "keys") as (_, page):
        card = page.get_by_role("listitem").filter(has_text="anthropic")
        await card.get_by_label("New key of anthropic").fill("sk-ant-a-secret-key-0123456789")
        await card.get_by_role("button", name="Store").click()
        await expect(card).to_contain_text("Stored in the")
        assert "a-secret-key" not in await page.content()
        await expect(card.get_by_label("New key of anthropic")).to_have_value("")
        await card.get_by_role("button", name="Remove the key of anthropic").click()
        await expect(card).to_contain_text("Not stored.")


async def test_a_specialist_is_added_changed_and_removed(tmp_path: Path) -> None:
    async with settings(tmp_path, "specialists") as (_, page):
        await page.get_by_role("button", name="Add a specialist").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill("iris")
        await dialog.get_by_label("Prompt").fill("Carry messages.")
        await dialog.get_by_label("Capabilities").fill("messages 2")
        await expect(dialog.get_by_role("alert")).to_contain_text("a score from 0 to 1")
        await dialog.get_by_label("Capabilities").fill("messages 0.9")
        await dialog.get_by_role("button", name="Save").click()
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Change iris").click()
        await expect(dialog.get_by_label("Capabilities")).to_have_value("messages 0.9")
        await dialog.get_by_label("Description").fill("carries messages")
        await dialog.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("listitem").filter(has_text="iris")).to_contain_text("carries messages")
        await page.get_by_role("button", name="Change iris").click()
        await dialog.get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("link", name="iris")).to_have_count(0)


async def test_the_sections_are_accessible_and_fit_a_phone(tmp_path: Path) -> None:
    faults: list[str] = []
    async with settings(tmp_path, "browser") as (_, page):
        sections = page.get_by_role("navigation", name="Settings").get_by_role("link")
        for name in await sections.all_text_contents():
            await sections.get_by_text(name, exact=True).click()
            await expect(page.get_by_role("heading", name=name, level=2)).to_be_visible()
            await expect(page.locator("main .loading")).to_have_count(0)
            for width in (1600, 360):
                await page.set_viewport_size({"width": width, "height": 740})
                faults += [f"{name} at {width} px: {one}" for one in await violations(page)]
                if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    faults.append(f"{name} is too wide at {width} px")
    assert not faults, "\n".join(faults)


async def test_the_colors_of_this_browser_are_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/settings", colors="light") as page:
        background = "() => getComputedStyle(document.documentElement).backgroundColor"
        light = await page.evaluate(background)
        await page.get_by_label("Dark").check()
        dark = await page.evaluate(background)
        assert dark != light
        await page.reload()
        await expect(page.get_by_label("Dark")).to_be_checked()
        assert await page.evaluate(background) == dark
        await page.get_by_label("As the system").check()
        assert await page.evaluate(background) == light


async def test_another_browser_is_logged_out_and_this_one_too(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/settings?section=logins", faultless=False) as page:
        async with console(home, faultless=False) as other:
            await expect(other.get_by_role("heading", name="Peers")).to_be_visible()
            await page.reload()
            await page.get_by_role("button", name="End all other logins").click()
            await expect(other.get_by_text("You are logged out")).to_be_visible(timeout=20_000)
        await expect(page.get_by_role("listitem").filter(has_text="This browser")).to_be_visible()
        await page.evaluate("sessionStorage.setItem('draft:s', 'typed'), localStorage.setItem('lines', '')")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("One-time code")).to_be_visible()
        assert await page.evaluate("sessionStorage.length + localStorage.length") == 0


async def test_without_admin_the_page_says_what_is_missing(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home) as page:
        scopes = ["read", "send", "approve"]
        answer: Any = await page.evaluate("() => fetch('/api/v2/whoami').then((one) => one.json())")
        limited = json.dumps({**answer, "scopes": scopes})
        await page.route("**/api/v2/whoami", lambda route: route.fulfill(status=200, body=limited))
        await page.goto(f"{home.node.console}/settings?section=keys")
        await expect(page.get_by_text("only to callers with the scope admin")).to_be_visible()
