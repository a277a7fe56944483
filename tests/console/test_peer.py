"""The view of one peer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.served import served, with_programs

from rhetor.domain.output import Done, Text, ToolUse

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


async def test_a_peer_shows_what_it_can_does_and_has_done(tmp_path: Path) -> None:
    goes_on = asyncio.Event()
    script = [ToolUse("c1", "Bash", {"command": "npm test"}, "agent"), goes_on, Text("done"), Done()]
    async with served(tmp_path, script) as home, console(home, "/peers/apollo") as page:
        main = page.get_by_role("main")
        await expect(page.get_by_role("heading", name="Apollo", level=1)).to_contain_text("idle")
        await expect(main.get_by_role("meter", name="code-analysis")).to_have_attribute("value", "0.95")
        await expect(main).to_contain_text("code-analysis (primary)")
        await expect(main).to_contain_text("No session with this peer yet.")
        await page.get_by_label("Name of a new session").fill("parser")
        await page.get_by_role("button", name="New session").click()
        await page.wait_for_url("**/sessions/s_*")
        session = page.url.rpartition("/")[2]
        await page.goto(f"{home.node.console}/peers/apollo")
        await expect(main.get_by_role("link", name="parser")).to_be_visible()
        path = f"/api/v2/sessions/{session}/message"
        answer = asyncio.create_task(home.ask("POST", path, {"message": "go"}))
        await expect(main).to_contain_text("parser: calls Bash: npm test")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("busy")
        goes_on.set()
        assert (await answer).status == 200
        await expect(page.get_by_role("heading", level=1)).to_contain_text("idle")
        await expect(main).to_contain_text("Turns that succeed100%")


async def test_a_terminal_shows_its_screen_and_how_to_attach_to_it() -> None:
    async with with_programs() as home:
        await home.announce("shell", "bash", "--norc", kind="terminal", description="a plain shell")
        async with console(home, "/peers/shell") as page:
            await home.say("shell", "echo $((6*7))")
            await expect(page.get_by_role("region", name="Screen")).to_contain_text("42")
            link = page.get_by_role("link", name="Open its terminal")
            assert await link.get_attribute("href") == "/terminals/shell"
            await expect(page.get_by_role("main")).to_contain_text("terminal")


async def test_a_session_that_cannot_be_made_says_why_and_keeps_its_name(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/peers/apollo") as page:
        await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "one"})
        await page.get_by_label("Name of a new session").fill("one\x7f")
        await page.get_by_role("button", name="New session").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await expect(page.get_by_label("Name of a new session")).to_have_value("one\x7f")
        await expect(page.get_by_role("button", name="New session")).to_be_enabled()


async def test_a_peer_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/peers/no%20one%3Cb%3E") as page:
        await expect(page.get_by_role("heading", name="no one<b>", level=1)).to_be_visible()
        await expect(page.get_by_role("alert")).to_contain_text("no peer is called")
        await page.get_by_role("link", name="Show all peers").click()
        await expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()
