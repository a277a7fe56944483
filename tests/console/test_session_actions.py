"""The actions of a session, by keyboard and by mouse."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from tests.console.browser import console
from tests.served import Served, served

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


@asynccontextmanager
async def session(folder: Path) -> AsyncIterator[tuple[Served, str, Page]]:
    async with served(folder) as home:
        id = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        async with console(home, f"/sessions/{id}/timeline") as page:
            await page.get_by_role("button", name="Actions").wait_for()
            yield home, f"/api/v2/sessions/{id}", page


async def opened(page: Page, action: str) -> Locator:
    """Open the dialog of an action by keyboard."""
    await page.keyboard.press("a")
    button = page.get_by_role("button", name=action, exact=True)
    while not await button.evaluate("one => one === document.activeElement"):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    return page.get_by_role("dialog")


async def got(home: Served, path: str) -> Any:
    return (await home.ask("GET", path)).json


async def test_a_session_gets_a_name_and_a_name_in_use_is_an_error_in_the_dialog(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, path, page):
        await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "taken"})
        dialog = await opened(page, "Save with a name…")
        await expect(dialog.get_by_label("Name")).to_be_focused()
        await page.keyboard.type("taken")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("alert")).to_contain_text("taken")
        await dialog.get_by_label("Name").fill("work")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Timeline of work")).to_be_visible()
        assert (await got(home, path))["name"] == "work"


async def test_a_session_is_paused_resumed_and_ended(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, path, page):
        await opened(page, "Pause")
        await expect(page.get_by_text("The session is paused.")).to_be_visible()
        assert (await got(home, path))["state"] == "paused"
        await opened(page, "Resume")
        await expect(page.get_by_text("The session starts turns again.")).to_be_visible()
        assert (await got(home, path))["state"] == "active"
        dialog = await opened(page, "End the session…")
        await dialog.get_by_role("button", name="End the session").click()
        await expect(page.get_by_text("The session has ended.")).to_be_visible()
        assert (await got(home, path))["state"] == "stopped"
        await page.keyboard.press("a")
        await expect(page.get_by_role("button", name="Fork…", exact=True)).to_be_visible()
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_have_count(0)


async def test_a_session_is_shared_and_a_share_is_taken_back(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, path, page):
        dialog = await opened(page, "Share…")
        await dialog.get_by_label("Person, as in the token").fill("anna")
        await dialog.get_by_label("Answer permission requests").check()
        await dialog.get_by_role("button", name="Share", exact=True).click()
        await expect(dialog.get_by_role("list", name="Shared with")).to_contain_text("anna read, approve")
        shares = (await got(home, f"{path}/shares"))["shares"]
        assert [(one["subject"], one["scopes"]) for one in shares] == [("anna", ["read", "approve"])]
        await dialog.get_by_role("button", name="Take the share of anna back").click()
        await expect(dialog.get_by_text("The session is not shared with anybody.")).to_be_visible()
        assert (await got(home, f"{path}/shares"))["shares"] == []


async def test_a_checkpoint_is_made_and_appears_in_the_timeline(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, path, page):
        dialog = await opened(page, "Make a checkpoint…")
        await expect(dialog.get_by_label("Name")).to_be_focused()
        await page.keyboard.type("here")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("checkbox", name="here")).to_be_visible()
        assert [one["name"] for one in (await got(home, f"{path}/checkpoints"))["checkpoints"]] == ["here"]
        await home.ask("POST", f"{path}/checkpoint", {"name": "elsewhere"})
        await expect(page.get_by_role("checkbox", name="elsewhere")).to_be_visible()


async def test_the_answers_of_the_peer_are_forwarded_until_that_is_ended(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, _, page):
        dialog = await opened(page, "Forward the answers…")
        await dialog.get_by_label("Forward to").select_option("athena")
        await dialog.get_by_role("button", name="Forward", exact=True).click()
        await expect(page.get_by_text("The answers of apollo are forwarded to athena.")).to_be_visible()
        assert (await got(home, "/api/v2/forwards/apollo"))["to"] == "athena"
        dialog = await opened(page, "Forward the answers…")
        await dialog.get_by_role("button", name="Stop forwarding").click()
        await expect(page.get_by_text("are no longer forwarded")).to_be_visible()
        assert (await home.ask("GET", "/api/v2/forwards/apollo")).status == 404


async def test_a_session_is_forked_from_the_end_of_a_turn_by_keyboard(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, path, page):
        for text in ("first", "second"):
            assert (await home.ask("POST", f"{path}/message", {"message": text})).status == 200
        await page.goto(f"{home.node.console}{path.removeprefix('/api/v2')}")
        ends = page.locator(".row-end")
        await expect(ends).to_have_count(2)
        fork = ends.first.get_by_role("button", name="Fork from here")
        await fork.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Fork the session")
        await expect(dialog.get_by_label("Continue from")).to_have_value(re.compile(r"^\w+:\d+$"))
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(fork).to_be_focused()
        await page.keyboard.press("Enter")
        await dialog.get_by_label("Name").fill("idea")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="idea", level=1)).to_be_visible()
        made = await got(home, "/api/v2/sessions/idea")
        assert [one["content"] for one in made["messages"] if one["role"] == "user"] == ["first"]
