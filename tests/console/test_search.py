"""Search over all messages, and the last messages when nothing is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.served import Served, served

from rhetor.domain.output import Done, Text

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

HOSTILE = "<img src=x onerror=alert(1)> 😀 needle in <b>hay</b>"


async def say(home: Served, peer: str, content: str) -> dict[str, str]:
    answer = await home.ask("POST", f"/api/v2/ai/{peer}/message", {"content": content})
    assert answer.status == 200, answer.text
    found: dict[str, str] = answer.json
    return found


async def test_words_are_found_marked_and_lead_to_their_turn(tmp_path: Path) -> None:
    async with served(tmp_path, [Text(HOSTILE), Done()], [Text("nothing"), Done()]) as home:
        found = await say(home, "apollo", "where is it?")
        await say(home, "athena", "a needle, too")
        async with console(home, "/search") as page:
            field = page.get_by_role("searchbox", name="Words")
            await expect(field).to_be_focused()
            hits = page.get_by_role("main").get_by_role("listitem")
            await expect(hits).to_have_count(2)  # the last messages
            await expect(page.get_by_role("status").last).to_have_text("The last messages")
            await field.fill("needle")
            await expect(page.get_by_text("2 messages contain all the words.")).to_be_visible()
            await expect(page).to_have_url(f"{home.node.console}/search?q=needle")
            hit = hits.filter(has_text="onerror")
            await expect(hit.locator("mark")).to_have_text("needle")
            await expect(hit.locator(".excerpt")).to_have_text(HOSTILE)
            await page.get_by_label("Peer").select_option("athena")
            await expect(page.get_by_text("1 message contains all the words.")).to_be_visible()
            await expect(hits).to_contain_text("to athena")
            await page.get_by_label("Peer").select_option("apollo")
            await expect(hits).to_contain_text("onerror")
            await field.press("ArrowDown")
            await page.keyboard.press("Enter")
            await expect(page).to_have_url(
                f"{home.node.console}/sessions/{found['session_id']}?turn={found['turn_id']}"
            )
            await page.go_back()
            await expect(page.get_by_role("searchbox", name="Words")).to_have_value("needle")
            await expect(page.get_by_label("Peer")).to_have_value("apollo")


async def test_all_pages_of_the_history_can_be_shown(tmp_path: Path) -> None:
    async with served(tmp_path, *([Text(f"answer {n}"), Done()] for n in range(35))) as home:
        for number in range(35):
            await say(home, "apollo", f"message {number}")
        async with console(home, "/search") as page:
            hits = page.get_by_role("main").get_by_role("listitem")
            await expect(hits).to_have_count(30)
            await page.get_by_role("button", name="Show more").click()
            await expect(hits).to_have_count(35)
            await expect(page.get_by_role("button", name="Show more")).to_have_count(0)
            await expect(hits.last).to_contain_text("message 0")
            await page.get_by_role("searchbox", name="Words").fill("message")
            await page.get_by_role("button", name="Show more").click()
            await expect(hits).to_have_count(35)
            await page.get_by_label("Order").select_option("session")
            await expect(page.get_by_role("heading", level=2).first).to_be_visible()


async def test_what_cannot_be_searched_says_why(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/search?q=x&session=nowhere") as page:
        await expect(page.get_by_role("alert")).to_contain_text("nowhere")
        await page.get_by_role("textbox", name="Session").fill("")
        await page.get_by_role("textbox", name="Session").press("Enter")
        await expect(page.get_by_text("No messages contain all the words.")).to_be_visible()
