"""The view of the hub's health."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.served import served

from rhetor.settings import ToolSettings

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


async def test_what_does_not_work_comes_first_and_says_what_to_do(tmp_path: Path) -> None:
    async with served(tmp_path, tools={"claude": ToolSettings(executable="no-such-claude")}) as home:
        finding = {
            "setting": "models.default",
            "model": "x/y",
            "detail": "x has no model 'y'",
            "hint": "use x/z",
            "unknown": True,
        }
        providers: Any = home.node.providers
        providers.findings = [finding]
        async with console(home, "/health") as page:
            checks = page.get_by_role("list", name="Checks")
            await expect(checks.get_by_role("listitem").first).to_contain_text(
                "models.default: x has no model"
            )
            await expect(checks.get_by_role("listitem").first).to_contain_text("use x/z")
            await expect(page.get_by_text("1 problem", exact=True)).to_be_visible()
            await expect(checks).to_contain_text("Version 0")
            absent = checks.get_by_role("listitem").filter(has_text="claude")
            await expect(absent).to_contain_text("Not installed")
            providers.findings = []
            await expect(page.get_by_text("Everything works.")).to_be_visible(timeout=15_000)
            await expect(checks).not_to_contain_text("models.default")


async def test_a_hub_that_is_away_is_reported_and_comes_back_by_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/health", faultless=False) as page:
        await expect(page.get_by_text("Everything works.")).to_be_visible()
        await page.context.set_offline(True)
        await expect(page.get_by_role("alert")).to_contain_text("The hub does not answer", timeout=15_000)
        await page.context.set_offline(False)
        await expect(page.get_by_text("Everything works.")).to_be_visible(timeout=15_000)


async def test_the_figures_of_the_hub_and_its_last_backup_are_shown(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        backup = {"action": "backup", "target": "/mnt/monday.backup"}
        assert (await home.ask("POST", "/api/v2/audit", backup)).status < 300
        async with console(home, "/health") as page:
            checks = page.get_by_role("list", name="Checks")
            await expect(checks.get_by_role("listitem").filter(has_text="backup")).to_contain_text(
                "/mnt/monday.backup"
            )
            await expect(checks.get_by_role("listitem").filter(has_text="store")).to_contain_text("free")
            facts = page.locator("dl.facts > div")
            for name, figure in (
                ("Running for", r"\d (s|min|h)"),
                ("Memory", r"\d MiB"),
                ("Store", r"\d [KM]?i?B, .* free"),
                ("Events since the start", r"[1-9].* per second now"),
                ("Time of a commit", r"\d ms on average"),
                ("Open connections", r"ws [1-9]"),
            ):
                found = facts.filter(has=page.get_by_text(name, exact=True)).locator("dd")
                await expect(found).to_have_text(re.compile(figure))
