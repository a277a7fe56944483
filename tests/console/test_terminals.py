"""The list of programs: what runs, with the last lines of its screen, and what can be started."""

from __future__ import annotations

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import with_programs

from rhetor.settings import ToolSettings

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

SAYS = "print('<b>not bold</b>\\n\\nlast words', flush=True); input()"


async def test_programs_are_listed_with_their_last_lines_and_can_be_started_and_stopped() -> None:
    tools = {
        "cat": ToolSettings(driver="terminal", executable="cat"),
        "absent": ToolSettings(driver="terminal", executable="no-such-program", install="apt install absent"),
    }
    async with with_programs(tools=tools) as home:
        await home.announce("says", *PYTHON, SAYS, kind="terminal")
        await home.announce("pipe", "cat")
        async with console(home, "/terminals") as page:
            running = page.get_by_role("region", name="Running in a terminal")
            await expect(running.get_by_role("img", name="Last lines of says")).to_have_text(
                "<b>not bold</b>\n\nlast words"
            )
            await expect(running.get_by_role("listitem")).to_contain_text("idle")
            without = page.get_by_role("region", name="Running without a terminal")
            await expect(without.get_by_role("link", name="Pipe")).to_be_visible()
            stopped = page.get_by_role("region", name="Not running")
            await expect(stopped).to_contain_text("it is not installed")
            await expect(stopped).to_contain_text("apt install absent")
            await page.get_by_role("button", name="Start cat").click()
            await expect(running.get_by_role("link", name="Open cat")).to_be_visible()
            await page.get_by_role("button", name="Stop cat").click()
            await page.get_by_role("dialog").get_by_role("button", name="Stop the program").click()
            await expect(stopped.get_by_role("button", name="Start cat")).to_be_visible()
            assert "cat" not in home.hub.state.instances
            await page.get_by_role("link", name="Watch says").click()
            await expect(page).to_have_url(f"{home.node.console}/terminals/says?mode=r")
            await expect(page.locator(".xterm-rows")).to_contain_text("last words")
