"""The console without a mouse: the main jobs with keys only, and where the focus goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Locator, Page, expect
from tests.console.asking import AGENT, AskingDriver, asked
from tests.console.browser import console
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import Served, with_programs

from rhetor.domain.output import Done, Text, ToolResult, ToolUse

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

ANSWERED = [
    ToolUse("c1", "Bash", {"command": "ls"}, "agent"),
    ToolResult("c1", "cache.py"),
    Text("It is there."),
    Done(),
]
ECHOES = "print('ready', flush=True)\nwhile True: print('heard', input(), flush=True)"
MOST_TABS = 80


@asynccontextmanager
async def opened(*requests: str) -> AsyncIterator[tuple[Served, Page]]:
    """A hub with the session `work` and the program `box`, and a page that shows the peers."""
    asking = AskingDriver(*(asked({"input": {"command": command}}) for command in requests))
    async with with_programs(ANSWERED, drivers={"asking": asking}, also=[AGENT]) as home:
        await home.announce("box", *PYTHON, ECHOES, kind="terminal")
        await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "work"})
        async with console(home) as page:
            await heading(page, "Peers")
            yield home, page


async def heading(page: Page, name: str) -> None:
    await expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


async def go(page: Page, key: str, name: str) -> None:
    """Go to a view by its keys."""
    await page.keyboard.press("g")
    await page.keyboard.press(key)
    await heading(page, name)


async def tab_to(page: Page, wanted: Locator, *, back: bool = False) -> None:
    """Move the focus with Tab until it is at an element, which must then be seen to have it."""
    await expect(wanted).to_be_visible()
    for _ in range(MOST_TABS):
        if await wanted.evaluate("one => one === document.activeElement"):
            break
        await page.keyboard.press("Shift+Tab" if back else "Tab")
    await expect(wanted).to_be_focused()
    assert await wanted.evaluate(IS_MARKED)


# whether an element, a shape in it, or what surrounds it shows that it has the focus
IS_MARKED = """(one) => one.matches(":focus-visible") &&
  [one, one.closest("form, .screen"), one.querySelector("rect")].some((each) => each && getComputedStyle(each).outlineStyle !== "none"
    || each?.tagName === "rect" && getComputedStyle(each).strokeWidth === "3px")"""  # noqa: E501


async def choose(page: Page, action: str) -> Locator:
    """Open the dialog of an action of the session."""
    await page.keyboard.press("a")
    button = page.get_by_role("button", name=action, exact=True)
    while not await button.evaluate("one => one === document.activeElement"):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    return dialog


async def test_a_session_is_opened_answered_and_read() -> None:
    async with opened() as (_, page):
        await go(page, "s", "Sessions")
        await expect(page.get_by_role("main")).to_be_focused()
        row = page.get_by_role("link", name="work")
        await expect(row).to_be_visible()
        while not await row.evaluate("one => one === document.activeElement"):
            await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await heading(page, "work")
        await page.keyboard.press("m")
        await expect(page.get_by_role("textbox", name="Message")).to_be_focused()
        await page.keyboard.type("Where is the cache?")
        await page.keyboard.press("Enter")
        conversation = page.get_by_role("region", name="Conversation")
        await expect(conversation).to_contain_text("It is there.")
        await tab_to(page, conversation.get_by_role("button", name="Bash"), back=True)
        await page.keyboard.press("Enter")
        await expect(conversation).to_contain_text("cache.py")
        await page.keyboard.press("/")
        await expect(page.get_by_role("searchbox", name="Find in this session")).to_be_focused()
        await page.keyboard.type("Where")
        await expect(page.get_by_role("status").filter(has_text="1 of 1")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(conversation).to_be_focused()


async def test_a_session_is_kept_put_back_and_forked_and_the_focus_returns() -> None:
    async with opened() as (home, page):
        await page.goto(f"{home.node.console}/sessions/work")
        await heading(page, "work")
        actions = page.get_by_role("button", name="Actions")
        dialog = await choose(page, "Make a checkpoint…")
        await page.keyboard.type("first")
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(actions).to_be_focused()
        dialog = await choose(page, "Restore…")
        await expect(dialog.locator("option", has_text="first")).to_have_count(1)
        await tab_to(page, dialog.get_by_label("Go back to"))
        await page.keyboard.type("first")
        await expect(dialog.get_by_role("button", name="Restore", exact=True)).to_be_enabled()
        await tab_to(page, dialog.get_by_role("button", name="Restore", exact=True))
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(actions).to_be_focused()
        dialog = await choose(page, "Fork…")
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(actions).to_be_focused()
        dialog = await choose(page, "Fork…")
        await tab_to(page, dialog.get_by_role("button", name="Fork"))
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await page.wait_for_url(lambda url: "/sessions/" in url and not url.endswith("/work"))


async def test_requests_are_answered_in_any_view() -> None:
    async with opened("make test", "make dist") as (home, page):
        for _ in range(2):
            made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "agent"})).json
            await home.ask(
                "POST",
                f"/api/v2/sessions/{made['id']}/message",
                {"message": "go"},
                headers={"Prefer": "respond-async"},
            )
        waiting = page.get_by_role("complementary", name="Waiting request")
        await expect(waiting).to_contain_text("make test")
        await page.keyboard.press("w")
        await expect(waiting.get_by_role("region")).to_be_focused()
        await tab_to(page, waiting.get_by_role("button", name="Deny"))
        await page.keyboard.press("Enter")
        await expect(waiting).to_contain_text("make dist")
        await go(page, "r", "Permissions")
        request = page.get_by_role("region", name="agent asks to use Bash")
        await expect(request.get_by_role("button", name="Allow once")).to_be_visible()
        await page.wait_for_timeout(600)  # keys that are typed before are ignored
        await page.keyboard.press("1")
        await expect(request).to_contain_text("You answered here: Allow once")


async def test_a_line_runs_and_a_terminal_is_attached_and_left() -> None:
    async with opened() as (_, page):
        await go(page, "l", "Line")
        await expect(page.get_by_role("combobox", name="Line")).to_be_focused()
        await page.keyboard.type('apollo "plan it" | athena "review it"')
        await page.keyboard.press("Escape")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("The line is done.")).to_be_visible()
        await tab_to(page, page.get_by_role("group", name="Steps").get_by_role("button", name="athena"))
        await go(page, "t", "Terminals")
        await tab_to(page, page.get_by_role("link", name="Open box"))
        await page.keyboard.press("Enter")
        typed = page.get_by_role("textbox", name="Terminal input")
        await expect(typed).to_be_focused()
        screen = page.locator(".xterm-rows")
        await expect(screen).to_contain_text("ready")
        await page.keyboard.type("gs\n")  # the program's, not the console's
        await expect(screen).to_contain_text("heard gs")
        await page.keyboard.press("Control+Shift+X")
        await expect(typed).not_to_be_focused()
        await go(page, "p", "Peers")


async def test_a_message_is_found_and_the_session_opens_at_it() -> None:
    async with opened() as (home, page):
        await home.ask("POST", "/api/v2/sessions/work/message", {"message": "Where is the cache?"})
        await go(page, "f", "Search")
        await expect(page.get_by_role("searchbox", name="Words")).to_be_focused()
        await page.keyboard.type("cache")
        await expect(page.get_by_text("1 message contains all the words.")).to_be_visible()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await heading(page, "work")
        await expect(page.get_by_role("main")).to_be_focused()


async def test_the_keys_are_listed_and_the_focus_returns() -> None:
    async with opened() as (home, page):
        await page.goto(f"{home.node.console}/sessions")
        link = page.get_by_role("link", name="work")
        await tab_to(page, link)
        await page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        await expect(dialog).to_contain_text("Permissions")
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(link).to_be_focused()


async def test_the_content_is_one_key_away() -> None:
    async with opened() as (_, page):
        await page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to content")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()


async def test_a_setting_is_changed_and_the_login_is_ended() -> None:
    async with opened() as (_, page):
        await go(page, "e", "Settings")
        await tab_to(page, page.get_by_role("radio", name="As the system"))
        await page.keyboard.press("ArrowDown")
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        await tab_to(page, page.get_by_role("link", name="Logins"), back=True)
        await page.keyboard.press("Enter")
        await tab_to(page, page.get_by_role("button", name="Log out"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Log in to rhetor")).to_be_visible()
