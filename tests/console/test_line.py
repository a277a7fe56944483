"""The view of a line: completion, preview, the run as a graph, and what its steps say and ask."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect
from tests.console.asking import AGENT, AskingDriver, asked
from tests.console.browser import console
from tests.served import served

from rhetor.domain.output import Done, Text

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

HOSTILE = "<img src=x onerror=alert(1)>"


def line_of(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Line")


async def write(page: Page, line: str) -> None:
    await expect(line_of(page)).to_be_focused()
    await page.keyboard.type(line)


async def test_a_line_is_completed_by_keyboard_and_previewed(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/line") as page:
        line = line_of(page)
        await expect(line).to_be_focused()
        await page.keyboard.type("apo")
        options = page.get_by_role("option")
        await expect(options.first).to_contain_text("apollo")
        await page.keyboard.press("ArrowDown")
        await expect(options.first).to_have_attribute("aria-selected", "true")
        await page.keyboard.press("Enter")
        await expect(line).to_have_value("apollo ")
        await page.keyboard.type('"plan" | ath')
        await expect(options.first).to_contain_text("athena")
        await page.keyboard.press("Tab")
        await expect(line).to_have_value('apollo "plan" | athena ')
        planned = page.get_by_role("group", name="What the line would do")
        await expect(planned.get_by_role("img", name="athena: , after s1")).to_be_visible()


async def test_what_is_wrong_is_underlined_and_named_with_what_to_do(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/line") as page:
        await write(page, 'apollo "😀" | nobody "x"')
        problems = page.get_by_role("list").filter(has_text="nobody")
        await expect(problems).to_contain_text("Character 14")
        await expect(page.locator(".line-mirror u")).to_have_text("nobody")
        await page.keyboard.press("Escape")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("no peer is called 'nobody'")
        await expect(line_of(page)).to_have_value('apollo "😀" | nobody "x"')


async def test_a_line_runs_and_is_there_after_the_page_is_loaded_again(tmp_path: Path) -> None:
    go = asyncio.Event()
    scripts = [Text("first "), go, Text(HOSTILE), Done()], [Text("**second**"), Done()]
    async with served(tmp_path, *scripts) as home, console(home, "/line") as page:
        await write(page, 'apollo "one" | athena "two"')
        await page.get_by_role("button", name="Run").click()
        graph = page.get_by_role("group", name="Steps")
        await expect(graph.get_by_role("button", name="apollo: running")).to_be_visible()
        await expect(graph.get_by_role("button", name="athena: waiting")).to_be_visible()
        await expect(page.get_by_text("0 of 2 steps are done.")).to_be_visible()
        await page.reload()
        await expect(line_of(page)).to_have_value('apollo "one" | athena "two"')
        await graph.get_by_role("button", name="apollo: running").press("Enter")
        await expect(page.locator("#answer-s1")).to_contain_text("first")
        go.set()
        await expect(page.get_by_text("The line is done.")).to_be_visible()
        await expect(page.locator("#answer-s1 .said")).to_have_text(f"first {HOSTILE}")
        await expect(page.locator("#answer-s2 strong")).to_have_text("second")
        await expect(graph.get_by_role("button", name="athena: done")).to_be_visible()
        await expect(page.get_by_role("link", name='apollo "one" | athena "two"')).to_be_visible()


async def test_a_step_that_fails_says_why_and_what_was_not_run(tmp_path: Path) -> None:
    async with (
        served(tmp_path, [Text("half"), RuntimeError("it broke")]) as home,
        console(home, "/line") as page,
    ):
        await write(page, 'apollo "one" | athena "two"')
        await page.keyboard.press("Enter")
        graph = page.get_by_role("group", name="Steps")
        await expect(page.get_by_text("The line has failed.")).to_be_visible()
        await expect(graph.get_by_role("button", name="apollo: failed")).to_be_visible()
        await expect(page.locator("#answer-s2")).to_contain_text("Not run, because apollo did not complete")


async def test_a_line_can_be_stopped(tmp_path: Path) -> None:
    async with (
        served(tmp_path, [Text("first "), asyncio.Event(), Done()]) as home,
        console(home, "/line") as page,
    ):
        await write(page, 'apollo "one" | athena "two"')
        await page.get_by_role("button", name="Run").click()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await expect(page.get_by_text("The line was stopped.")).to_be_visible()
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)


async def test_an_unknown_plan_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/line?plan=p_nothing") as page:
        await expect(page.get_by_role("alert")).to_contain_text("p_nothing")


async def test_a_step_that_asks_is_answered_in_place(tmp_path: Path) -> None:
    driver = AskingDriver(asked({"command": "make"}))
    async with (
        served(tmp_path, drivers={"asking": driver}, also=[AGENT]) as home,
        console(home, "/line") as page,
    ):
        await write(page, 'agent "build" | athena "check"')
        await page.keyboard.press("Enter")
        graph = page.get_by_role("group", name="Steps")
        await expect(graph.get_by_role("button", name="agent: asks")).to_be_visible()
        await expect(page.get_by_text("A step asks for permission.")).to_be_visible()
        await page.get_by_role("main").get_by_role("button", name="Allow once").click()
        await expect(page.locator("#answer-s1")).to_contain_text("answered: once")
        await expect(page.get_by_text("The line is done.")).to_be_visible()
