"""The view of all peers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.served import served

from rhetor.domain.output import Done, Text, ToolUse

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_after_a_login_the_navigation_and_one_main_are_there(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home) as page:
        await expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()
        await expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        await expect(page.get_by_role("main")).to_have_count(1)
        assert await page.get_by_role("heading", level=1).count() == 1


async def test_a_peer_shows_its_status_and_what_it_does_while_it_changes(tmp_path: Path) -> None:
    goes_on = asyncio.Event()
    script = [ToolUse("c1", "Bash", {"command": "npm test"}, "agent"), goes_on, Text("done"), Done()]
    async with served(tmp_path, script) as home, console(home) as page:
        apollo = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Apollo"))
        await expect(apollo).to_contain_text("idle")
        await expect(page.get_by_text("4 peers: 4 are free")).to_be_visible()
        answer = asyncio.create_task(home.ask("POST", "/api/v2/ai/apollo/message", {"content": "go"}))
        doing = apollo.get_by_role("link", name="Calls Bash: npm test")
        await expect(doing).to_be_visible()
        await expect(apollo).to_contain_text("busy")
        await expect(page.get_by_text("4 peers: 1 is busy, 3 are free")).to_be_visible()
        goes_on.set()
        session = (await answer).json["session_id"]
        await expect(apollo).to_contain_text("idle")
        await expect(doing).to_have_count(0)
        assert session


async def test_a_step_of_a_line_leads_to_the_line(tmp_path: Path) -> None:
    goes_on = asyncio.Event()
    script = [Text("a cache"), goes_on, Done()]
    async with served(tmp_path, script) as home, console(home) as page:
        headers = {"Prefer": "respond-async"}
        plan = await home.ask("POST", "/api/v2/plans", {"line": "athena hi"}, headers=headers)
        assert plan.status == 202, plan.text
        link = page.get_by_role("link", name="Answers")
        await expect(link).to_have_attribute("href", f"/line?plan={plan.json['plan_id']}")
        goes_on.set()


async def test_the_keys_of_the_page_are_shown_and_work(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home) as page:
        await page.get_by_role("heading", name="Peers").wait_for()
        await page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keys")
        await expect(keys).to_contain_text("Show the keys")
        await page.keyboard.press("Escape")
        await expect(keys).to_have_count(0)
