"""The list of sessions in the console."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.console.browser import console
from tests.served import Served, served

from rhetor.domain.event import TurnCompleted
from rhetor.domain.output import Done, Text

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


async def begin(home: Served, peer: str, message: str | None = None, **more: Any) -> str:
    id = str((await home.ask("POST", "/api/v2/sessions", {"specialist_id": peer, **more})).json["id"])
    if message:
        path = f"/api/v2/sessions/{id}/message"
        await home.ask("POST", path, {"message": message}, headers={"prefer": "respond-async"})
    return id


def titles(page: Page) -> Any:
    return page.locator(".session-title")


async def test_sessions_are_listed_live_with_what_they_do(tmp_path: Path) -> None:
    held = asyncio.Event()
    async with (
        served(tmp_path, [Text("one"), held, Done()]) as home,
        console(home, "/sessions") as page,
    ):
        await expect(page.get_by_text("No session is open.")).to_be_visible()
        id = await begin(home, "apollo", "explain the log")
        row = page.get_by_role("main").get_by_role("listitem")
        await expect(row).to_contain_text("explain the log")
        await expect(row.get_by_text("running")).to_be_visible()
        await expect(row.get_by_text("apollo")).to_be_visible()
        held.set()
        await expect(row.get_by_text("idle")).to_be_visible()
        await home.ask("POST", f"/api/v2/sessions/{id}/stop")
        await expect(row).to_have_count(0)
        await page.get_by_label("State").select_option("Ended")
        await expect(row.get_by_text("stopped")).to_be_visible()


async def test_the_list_is_filtered_and_walked_with_keys(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/sessions") as page:
        await begin(home, "apollo", "the first thing")
        await begin(home, "athena", "another thing")
        last = await begin(home, "apollo", name="work")
        await expect(titles(page)).to_have_count(3)
        await page.get_by_text("athena heard: another thing").wait_for()
        await page.keyboard.press("/")
        await page.keyboard.type("thing")
        await expect(page.get_by_text("2 of 3 sessions")).to_be_visible()
        await page.get_by_label("Peer", exact=True).select_option("athena")
        await expect(titles(page)).to_have_text(["athena heard: another thing"])
        await expect(page).to_have_url(re.compile(r"\?peer=athena&text=thing$"))
        await page.reload()
        await expect(titles(page)).to_have_text(["athena heard: another thing"])
        await page.goto(f"{home.node.console}/sessions")
        await expect(titles(page)).to_have_text(
            ["work", "athena heard: another thing", "apollo heard: the first thing"]
        )
        for key in "jjkk":
            await page.keyboard.press(key)
        await expect(titles(page).first).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{home.node.console}/sessions/{last}")


async def test_a_new_session_gets_its_first_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/sessions") as page:
        await page.get_by_text("No session is open.").wait_for()
        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog", name="New session")
        await dialog.get_by_label("Peer").select_option("athena")
        await dialog.get_by_label("Message").fill("design it")
        await dialog.get_by_label("Name").fill("design")
        await dialog.get_by_role("button", name="Start and send").click()
        await page.wait_for_url(re.compile(r"/sessions/s_"))
        id = page.url.rsplit("/", 1)[1]
        await home.seen(id, lambda one: isinstance(one, TurnCompleted))
        assert home.driver.heard == [("athena", "design it")]
        assert (await home.ask("GET", "/api/v2/sessions/design")).json["id"] == id


async def test_a_name_in_use_is_an_error_in_the_dialog_and_nothing_is_lost(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/sessions?new") as page:
        await begin(home, "apollo", name="work")
        dialog = page.get_by_role("dialog", name="New session")
        await dialog.get_by_label("Message").fill("design it")
        await dialog.get_by_label("Name").fill("work")
        await dialog.get_by_role("button", name="Start and send").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("work")
        await expect(dialog.get_by_label("Message")).to_have_value("design it")
        assert home.driver.heard == []


async def test_a_shared_session_names_its_owner(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        token = (
            await home.ask("POST", "/api/auth/token", {"scopes": ["read", "send"], "subject": "anna"})
        ).json
        headers = {"authorization": f"Bearer {token['access_token']}"}
        made = await home.ask_tcp(
            "POST", "/api/v2/sessions", headers, json={"specialist_id": "apollo", "name": "hers"}
        )
        id = made.json["id"]
        share = {"subject": "me", "scopes": ["read"]}
        assert (
            await home.ask_tcp("POST", f"/api/v2/sessions/{id}/shares", headers, json=share)
        ).status == 200
        async with console(home, "/sessions") as page:
            await expect(page.get_by_role("listitem").filter(has_text="hers")).to_contain_text(
                "shared by anna"
            )
