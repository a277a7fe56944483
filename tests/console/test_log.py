"""The view of a session's log: its events as they are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.console.test_session import new_session, send
from tests.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


async def test_the_log_shows_events_live_filters_opens_and_saves_them(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await new_session(home, name="keys")
        await send(home, session, "one")
        async with console(home, f"/sessions/{session}/log") as page:
            events = page.get_by_role("region", name="Events")
            await expect(page.get_by_role("heading", name="Log of keys", level=1)).to_be_visible()
            await expect(events.locator(".event-type").last).to_have_text("turn.completed")
            before = await events.locator(".event").count()
            await send(home, session, "two")
            await expect(events.get_by_text("apollo heard: two").last).to_be_visible()
            await expect(events.locator(".event-type").last).to_have_text("turn.completed")
            await expect(events.locator(".event")).to_have_count(before + 4)

            await page.get_by_label("Number of an event").fill("1")
            await page.get_by_role("button", name="Go to it").click()
            await expect(events.locator("pre")).to_contain_text('"seq": 1,')

            async with page.expect_download() as download:
                await page.get_by_role("button", name="Download as JSONL").click()
            saved = await asyncio.to_thread((await (await download.value).path()).read_text)
            numbers = [json.loads(line)["seq"] for line in saved.splitlines()]
            assert numbers == list(range(1, before + 5))

            await page.get_by_label("Show").select_option("Output")
            types = events.locator(".event-type")
            await expect(types).to_have_text(["output.delta", "output.delta"])
            await send(home, session, "three")
            await expect(types).to_have_text(["output.delta"] * 3)
