"""The view of all peers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_after_a_login_the_navigation_and_one_main_are_there(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home) as page:
        await expect(page.get_by_role("heading", name="Peers", level=1)).to_be_visible()
        await expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        await expect(page.get_by_role("main")).to_have_count(1)
        assert await page.get_by_role("heading", level=1).count() == 1
