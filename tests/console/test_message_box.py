"""The box in which a message to a session is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import FilePayload, Locator, Page, Route, expect
from tests.console.browser import console
from tests.pictures import PNG
from tests.served import Served, served

from rhetor.domain.event import MessageAccepted, TurnCompleted, TurnInterrupted, TurnStarted
from rhetor.domain.output import Done, Text
from rhetor.hub.core.limits import Limits

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]


@asynccontextmanager
async def session(
    folder: Path, *scripts: Any, faultless: bool = True, **options: Any
) -> AsyncIterator[tuple[Served, str, Page]]:
    """A hub with a session with apollo, and the page that shows it. `faultless`: see `console`."""
    async with served(folder, *scripts, **options) as home:
        id = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        async with console(home, f"/sessions/{id}", faultless=faultless) as page:
            await box(page).wait_for()
            yield home, id, page


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message", exact=True)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


async def accepted(home: Served, id: str) -> list[str]:
    return [one.content for one in await home.log(id) if isinstance(one, MessageAccepted)]


async def test_enter_sends_and_shift_enter_begins_a_new_line(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, id, page):
        await box(page).focus()
        await page.keyboard.type("one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("two")
        await box(page).dispatch_event("keydown", {"key": "Enter", "isComposing": True})
        assert home.driver.heard == []
        await page.keyboard.press("Enter")
        await home.seen(id, lambda one: isinstance(one, TurnCompleted))
        assert home.driver.heard == [("apollo", "one\ntwo")]
        await expect(box(page)).to_have_value("")
        await expect(box(page)).to_be_focused()
        await page.get_by_role("checkbox", name="Enter sends").uncheck()
        await box(page).fill("three")
        await box(page).press("Enter")
        await expect(box(page)).to_have_value("three\n")
        await box(page).press("Control+Enter")
        await expect(box(page)).to_have_value("")


async def test_while_a_turn_runs_a_message_waits_or_interrupts_it(tmp_path: Path) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    scripts = [[Text("1"), first, Done()], [Text("2"), second, Done()]]
    async with session(tmp_path, *scripts) as (home, id, page):
        await box(page).fill("first")
        await button(page, "Send").click()
        await button(page, "Interrupt").wait_for()
        await box(page).fill("second")
        await button(page, "Queue").click()
        await expect(page.get_by_text("1 message waits for the end of the turn.")).to_be_visible()
        await box(page).fill("never")
        await box(page).press("Enter")
        await button(page, "Cancel the last one").click()
        await expect(page.get_by_text("1 message waits for the end of the turn.")).to_be_visible()
        first.set()
        await home.seen(id, lambda one: isinstance(one, TurnCompleted))
        await expect(page.get_by_text("waits for the end of the turn")).to_have_count(0)
        await box(page).fill("third")
        await box(page).press("Control+Enter")
        await home.seen(id, lambda one: isinstance(one, TurnInterrupted))
        await expect(button(page, "Send")).to_be_visible()
        assert [content for _, content in home.driver.heard] == ["first", "second", "third"]


async def test_the_running_turn_is_interrupted_with_a_key(tmp_path: Path) -> None:
    async with session(tmp_path, [Text("1"), asyncio.Event(), Done()]) as (home, id, page):
        await box(page).fill("first")
        await box(page).press("Enter")
        await button(page, "Interrupt").wait_for()
        await box(page).press("Control+.")
        await home.seen(id, lambda one: isinstance(one, TurnInterrupted))
        await expect(button(page, "Send")).to_be_visible()


async def test_a_draft_is_kept_for_each_session(tmp_path: Path) -> None:
    async with session(tmp_path) as (home, id, page):
        other = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "athena"})).json["id"]
        await box(page).fill("not ready yet")
        await page.goto(f"{home.node.console}/sessions/{other}")
        await expect(box(page)).to_have_value("")
        await page.goto(f"{home.node.console}/sessions/{id}")
        await expect(box(page)).to_have_value("not ready yet")
        await page.reload()
        await expect(box(page)).to_have_value("not ready yet")
        assert await accepted(home, id) == []


async def test_a_rejected_message_stays_in_the_box_with_the_reason(tmp_path: Path) -> None:
    async with session(tmp_path, limits=Limits(message_bytes=100)) as (home, id, page):
        await box(page).fill("x" * 101)
        await button(page, "Send").click()
        await expect(page.get_by_role("alert")).to_contain_text("The message was not sent")
        await expect(box(page)).to_have_value("x" * 101)
        await box(page).fill("short")
        await button(page, "Send").click()
        await home.seen(id, lambda one: isinstance(one, TurnCompleted))
        await expect(page.get_by_role("alert")).to_have_count(0)
        assert await accepted(home, id) == ["short"]


async def test_a_message_whose_answer_was_lost_is_sent_again_and_accepted_once(tmp_path: Path) -> None:
    lost = 0

    async def lose(route: Route) -> None:
        nonlocal lost
        lost += 1
        if lost == 1:  # the hub gets it, and the page does not get the answer
            request = route.request
            headers = {name: request.headers[name] for name in ("idempotency-key", "prefer")}
            answer = await home.ask(
                "POST", urlsplit(request.url).path, request.post_data_json, headers=headers
            )
            assert answer.status == 202, answer.text
        if lost < 3:
            await route.abort()
        else:
            await route.continue_()

    async with session(tmp_path, faultless=False) as (home, id, page):
        await page.route("**/message", lose)
        await box(page).fill("once")
        await box(page).press("Enter")
        await expect(page.get_by_text("Not sent yet, will be sent by itself:")).to_be_visible()
        await box(page).fill("after it")
        await box(page).press("Enter")
        await home.seen(id, lambda one: isinstance(one, MessageAccepted) and one.content == "after it")
        await expect(page.get_by_text("Not sent yet")).to_have_count(0)
        assert await accepted(home, id) == ["once", "after it"]


async def test_a_message_that_was_not_sent_yet_is_sent_after_the_page_is_loaded_again(tmp_path: Path) -> None:
    async with session(tmp_path, faultless=False) as (home, id, page):
        await page.route("**/message", lambda route: route.abort())
        await box(page).fill("later")
        await box(page).press("Enter")
        await expect(page.get_by_text("Not sent yet")).to_be_visible()
        await page.unroute("**/message")
        await page.reload()
        await home.seen(id, lambda one: isinstance(one, TurnStarted))
        assert await accepted(home, id) == ["later"]


async def test_files_are_attached_by_button_paste_and_drop_and_what_the_peer_rejects_can_be_removed(
    tmp_path: Path,
) -> None:
    async with session(tmp_path) as (home, id, page):
        await page.get_by_label("Files to attach").set_input_files(
            FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"line one")
        )
        await box(page).evaluate(GIVE, ["paste", "pasted.png", [*PNG]])
        await box(page).evaluate(GIVE, ["drop", "dropped.txt", [*b"dropped text"]])
        files = page.get_by_role("list", name="Attached files")
        for name in ("notes.txt", "pasted.png", "dropped.txt"):
            await expect(files.get_by_text(name)).to_be_visible()
        await button(page, "Remove dropped.txt").click()
        await expect(files.get_by_role("progressbar")).to_have_count(0)
        await box(page).evaluate(GIVE, ["drop", "large.png", 17 << 20])
        await expect(page.get_by_role("alert")).to_contain_text(
            "large.png has 17.0 MiB; a file can have 16.0 MiB."
        )
        await box(page).fill("look")
        await button(page, "Send").click()
        await expect(page.get_by_role("alert")).to_contain_text("The message was not sent: apollo")
        await expect(box(page)).to_have_value("look")
        await button(page, "Remove pasted.png").click()
        await button(page, "Send").click()
        payloads = await home.seen(id, lambda one: isinstance(one, MessageAccepted))
        message = payloads[-1]
        assert isinstance(message, MessageAccepted)
        assert "[File notes.txt]" in message.content and "line one" in message.content
        assert "dropped text" not in message.content
        await expect(files).to_have_count(0)


# gives a file to the page as a paste or a drop does
GIVE = """(box, [kind, name, bytes]) => {
  const data = new DataTransfer();
  const type = name.endsWith(".png") ? "image/png" : "text/plain";
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const options = { bubbles: true, cancelable: true };
  if (kind === "paste") box.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
  else box.dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: data }));
}"""
