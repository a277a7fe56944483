"""Pages that stay open while the hub is killed and started again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from tests.console.browser import chromium
from tests.e2e.home import Machine

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

TELLS = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""


@asynccontextmanager
async def opened(machine: Machine) -> AsyncIterator[Page]:
    """Yield a page that has logged in at the machine's hub."""
    link = (await run(machine, "console", "--print")).strip()
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": 1200, "height": 800})
        try:
            page = await context.new_page()
            await page.goto(link)
            await expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()
            yield page
        finally:
            await context.close()


async def run(machine: Machine, *arguments: str) -> str:
    done = await asyncio.to_thread(machine.run, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@asynccontextmanager
async def machine_in(folder: Path) -> AsyncIterator[Machine]:
    machine = Machine(folder / "home")
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "BROWSER": "", "DISPLAY": ""}
    machine.environment["RHETOR_HUB__PORT"] = "0"  # which no other test takes while no hub runs
    try:
        yield machine
    finally:
        await asyncio.to_thread(machine.leave)


async def test_a_terminal_is_attached_again_and_what_was_typed_meanwhile_arrives(tmp_path: Path) -> None:
    async with machine_in(tmp_path) as machine:
        await run(machine, "ci-terminal", "-n", "box", "--detach", "--", sys.executable, "-c", TELLS)
        async with opened(machine) as page:
            await page.goto(page.url.rstrip("/") + "/terminals/box")
            rows = page.locator(".xterm-rows")
            await expect(rows).to_contain_text("ready")
            await page.keyboard.type("before\n")
            await expect(rows).to_contain_text("heard before")
            await asyncio.to_thread(machine.kill_hub)
            await expect(page.locator(".terminal-banner")).to_contain_text(
                "The connection to the terminal is lost"
            )
            await page.keyboard.type("meanwhile\n")
            await run(machine, "list")  # starts the next hub
            await expect(rows).to_contain_text("heard meanwhile")
            await expect(page.locator(".terminal-banner")).to_be_empty()
            await page.keyboard.type("after\n")
            await expect(rows).to_contain_text("heard after")
            shown = await rows.inner_text()
            assert [shown.count(f"heard {word}") for word in ("before", "meanwhile", "after")] == [1, 1, 1]


async def test_a_line_is_shown_once_and_the_next_one_runs(tmp_path: Path) -> None:
    async with machine_in(tmp_path) as machine, opened(machine) as page:
        await page.goto(page.url.rstrip("/") + "/line")
        line = page.get_by_role("combobox", name="Line")
        await line.fill('apollo "first" | athena "second"')
        await line.press("Enter")
        await expect(page.get_by_text("The line is done.")).to_be_visible()
        steps = page.get_by_role("group", name="Steps").get_by_role("button")
        said = await page.locator("#answer-s2 .said").inner_text()
        await asyncio.to_thread(machine.kill_hub)
        await expect(page.get_by_text("The connection to the hub is lost.")).to_be_visible()
        await run(machine, "list")
        await expect(page.get_by_text("The connection to the hub is lost.")).to_have_count(0)
        await expect(steps).to_have_count(2)
        assert await page.locator("#answer-s2 .said").inner_text() == said
        await line.fill('athena "third"')
        await line.press("Enter")
        await expect(steps).to_have_count(1)
        await expect(page.get_by_text("The line is done.")).to_be_visible()
