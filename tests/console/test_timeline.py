"""The timeline of a session, and what can be done with the session from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect
from tests.console.browser import console
from tests.rhetor.hub.sessions.test_restores import WORK, with_project
from tests.served import Served

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


@asynccontextmanager
async def timeline(folder: Path) -> AsyncIterator[tuple[Served, Path, Page]]:
    """A session with two messages and three checkpoints, of which the last one is a branch of its own."""
    async with with_project(folder) as (home, files):
        (files / "page.html").write_text("one")
        await post(home, "checkpoint", name="first")
        await post(home, "message", message="add a search box")
        (files / "page.html").write_text("search")
        (files / "search.js").write_text("find()")
        await post(home, "checkpoint", name="search")
        await post(home, "restore", at="first")
        await post(home, "checkpoint", name="again")
        async with console(home, "/sessions/work/timeline") as page:
            await expect(page.get_by_role("heading", name="Timeline of work")).to_be_visible()
            yield home, files, page


async def post(home: Served, action: str, **body: str) -> None:
    answer = await home.ask("POST", f"{WORK}/{action}", body)
    assert answer.status == 200, answer.text


def node(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True)).last


async def test_the_checkpoints_are_a_tree_whose_branches_are_lists_in_it(tmp_path: Path) -> None:
    async with timeline(tmp_path) as (_, _, page):
        chain = page.get_by_role("list", name="Checkpoints")
        branch = chain.get_by_role("listitem").get_by_role("list", name="Branch 1")
        await expect(branch.get_by_text("search", exact=True)).to_be_visible()
        await expect(branch.get_by_text("2 files")).to_be_visible()
        current = page.locator("[aria-current=step]")
        await expect(current.get_by_text("The session continues from here")).to_be_visible()
        await expect(current.get_by_text("again", exact=True)).to_be_visible()


async def test_two_checkpoints_are_compared(tmp_path: Path) -> None:
    async with timeline(tmp_path) as (_, _, page):
        compare = page.get_by_role("button", name="Compare")
        await expect(compare).to_be_disabled()
        await page.get_by_role("checkbox", name="first").check()
        await page.get_by_role("checkbox", name="search").check()
        await compare.click()
        dialog = page.get_by_role("dialog", name="Compare two checkpoints")
        await expect(dialog.get_by_text("changed, 3 B → 6 B")).to_be_visible()
        await expect(dialog.get_by_text("added, 6 B")).to_be_visible()
        await expect(dialog.get_by_text("add a search box", exact=True)).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(compare).to_be_focused()


async def test_a_restore_shows_what_would_change_before_it_changes_it(tmp_path: Path) -> None:
    async with timeline(tmp_path) as (_, files, page):
        await page.get_by_role("button", name="Restore search").click()
        dialog = page.get_by_role("dialog", name="Restore the session")
        await expect(dialog.get_by_text("Messages that it will have again (2)")).to_be_visible()
        await expect(dialog.get_by_text("Files that will change (2)")).to_be_visible()
        assert (files / "page.html").read_text() == "one"
        await dialog.get_by_role("button", name="Restore").click()
        await expect(page.get_by_text("The session continues from there.")).to_be_visible()
        assert (files / "page.html").read_text() == "search"
        current = page.locator("[aria-current=step]")
        await expect(current.get_by_role("checkbox", name="search")).to_be_visible()


async def test_a_fork_into_a_folder_is_made_and_opened_and_an_error_says_what_to_do(tmp_path: Path) -> None:
    async with timeline(tmp_path) as (home, files, page):
        await page.get_by_role("button", name="Fork from search").click()
        dialog = page.get_by_role("dialog", name="Fork the session")
        await dialog.get_by_label("Name").fill("idea")
        await dialog.get_by_label("A copy of the files in another folder").check()
        await dialog.get_by_label("Path of a new or empty folder").fill("/somewhere/else")
        await dialog.get_by_role("button", name="Fork").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("projects.roots")
        place = files.with_name("idea")
        await dialog.get_by_label("Path of a new or empty folder").fill(str(place))
        await dialog.get_by_role("button", name="Fork").click()
        await expect(page.get_by_text(f"Forked as idea, with 2 files in {place}.")).to_be_visible()
        assert (place / "search.js").read_text() == "find()"
        made = (await home.ask("GET", "/api/v2/sessions/idea")).json
        await expect(page).to_have_url(f"{home.node.console}/sessions/{made['id']}")
        assert [said["content"] for said in made["messages"]][:1] == ["add a search box"]
