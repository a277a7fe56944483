"""Real coding agents in the web console: what a user sees and does there, while a shell shows the same."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AbstractAsyncContextManager

import pytest
from playwright.async_api import Locator, Page, expect
from tests.aish.pseudo_terminal import Terminal
from tests.console.browser import linked
from tests.interop.agents import Agent
from tests.interop.home import House
from tests.provider.script import Script

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

COMMAND = "touch made && echo it is there"


def console(house: House, path: str) -> AbstractAsyncContextManager[Page]:
    return linked(house.say("console", "--print").out.strip(), path)


@pytest.fixture
def asking_agent(agent: Agent) -> Agent:
    """An agent that requests permission."""
    if not agent.asks_first:
        pytest.skip("cn 1.5 can request permission only at its own terminal, otherwise it denies")
    return agent


def rows(page: Page, kind: str) -> Locator:
    return page.get_by_role("region", name="Conversation").locator(f".row-{kind}")


def request_of(page: Page, agent: Agent) -> Locator:
    return page.get_by_role("region", name=f"{agent.name} asks to use")


async def show(page: Page, view: str) -> None:
    """Go to a view by its link."""
    await page.get_by_role("navigation", name="Main").get_by_role("link", name=view).click()
    await expect(page.get_by_role("heading", name=view, level=1)).to_be_visible()


async def expect_status(page: Page, agent: Agent, status: str) -> None:
    """Expect this status on the card of the agent in the view of the peers."""
    link = page.get_by_role("link", name=agent.name, exact=True)
    card = page.get_by_role("listitem").filter(has=link)
    await expect(card.locator(".status")).to_have_text(status)


async def begin(page: Page, agent: Agent, message: str) -> None:
    """Start a session with the agent and send the message, in the view of the sessions."""
    await page.get_by_role("button", name="New session").click()
    dialog = page.get_by_role("dialog", name="New session")
    await dialog.get_by_label("Peer").select_option(agent.name)
    await dialog.get_by_label("Message").fill(message)
    await dialog.get_by_role("button", name="Start and send").click()
    await expect(rows(page, "message")).to_contain_text(message)


async def shows_request(terminal: Terminal) -> None:
    """Wait until the shell shows the keys of a request."""
    await asyncio.to_thread(terminal.wait_for_screen, lambda shown: any("[n] deny" in row for row in shown))
    await asyncio.to_thread(terminal.read_for, 0.4)  # what is typed before is dropped


async def ends(terminal: Terminal) -> list[str]:
    """Wait for the end of the shell, which must succeed; return all rows that it has shown."""
    code = await asyncio.to_thread(terminal.wait_for_end)
    assert code == 0, terminal.all_rows
    return terminal.all_rows


async def test_a_message_from_the_page_is_answered_there_while_the_model_writes(
    agent: Agent, house: House
) -> None:
    chunks = ("One **bold** ", "word ", "more")
    house.provider.script(Script(chunks=chunks, hold={1: "first", 2: "second"}))
    async with console(house, "/sessions") as page:
        await begin(page, agent, "count")
        await asyncio.to_thread(house.provider.reached, "first")
        if agent.streams:
            await expect(rows(page, "answer")).to_have_text("One bold")
            bar = page.get_by_role("group", name="What the session does now")
            await expect(bar).to_contain_text(f"{agent.name} is writing")
        session = page.url
        await show(page, "Peers")
        await expect_status(page, agent, "busy")
        await page.goto(session)
        await asyncio.to_thread(house.provider.release, "first")
        await asyncio.to_thread(house.provider.release, "second")
        await expect(rows(page, "answer")).to_have_text("One bold word more")
        await expect(rows(page, "answer").locator("strong")).to_have_text("bold")
        await expect(rows(page, "end")).to_be_visible()
        await show(page, "Peers")
        await expect_status(page, agent, "idle")


async def test_a_request_that_the_page_grants_is_over_in_the_shell(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    house.provider.script(Script(tool_calls=(agent.command(COMMAND, "1"),)), Script(chunks=("That was it.",)))
    async with console(house, "/permissions") as page:
        with house.at_terminal(agent.name, "make it") as terminal:
            await shows_request(terminal)
            request = request_of(page, agent)
            await expect(request).to_contain_text("touch made")
            await show(page, "Peers")
            await expect_status(page, agent, "blocked")
            assert not (house.work / "made").exists()
            await request.locator("button.allow_once").click()  # at the bottom of the page
            shown = await ends(terminal)
            await expect(request).to_have_count(0)
            await expect_status(page, agent, "idle")
        assert any(re.search("was answered elsewhere: allow once", row) for row in shown), shown
        assert shown[-1] == "That was it."
        assert (house.work / "made").exists()
        [session] = json.loads(house.say("sessions", "list", "--json").out)
        await page.goto(page.url.rstrip("/") + f"/sessions/{session['id']}")
        await expect(rows(page, "answer")).to_have_text("That was it.")
        call = rows(page, "tool").last
        await expect(call).not_to_contain_text("Result")
        await call.get_by_role("button", expanded=False).click()
        await expect(call).to_contain_text(COMMAND)
        await expect(call.get_by_label("Result")).to_contain_text("it is there")


async def test_a_request_that_the_shell_denies_is_over_in_the_page(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    house.provider.script(Script(tool_calls=(agent.command(COMMAND, "1"),)), Script(chunks=("I leave it.",)))
    async with console(house, "/permissions") as page:
        with house.at_terminal(agent.name, "make it") as terminal:
            await shows_request(terminal)
            request = request_of(page, agent)
            await expect(request.locator("button.allow_once")).to_be_visible()
            terminal.type("n")
            await expect(request).to_contain_text("Answered elsewhere")
            await expect(request.get_by_role("button")).to_have_count(0)
            shown = await ends(terminal)
        assert f"✗ {agent.name}: deny" in shown
        assert not (house.work / "made").exists()


async def test_a_request_of_a_turn_of_the_page_is_answered_in_its_session(
    asking_agent: Agent, house: House
) -> None:
    agent = asking_agent
    house.provider.script(Script(tool_calls=(agent.command(COMMAND, "1"),)), Script(chunks=("That was it.",)))
    async with console(house, "/sessions") as page:
        await begin(page, agent, "make it")
        request = request_of(page, agent)
        await expect(request).to_contain_text("touch made")
        waiting = json.loads((await asyncio.to_thread(house.say, "approve", "--json")).out)
        assert [one["peer"] for one in waiting] == [agent.name]
        await request.locator("button.allow_once").click()
        await expect(rows(page, "answer")).to_have_text("That was it.")
        await expect(rows(page, "permission")).to_contain_text("by ")
        await expect(rows(page, "tool").last.get_by_role("img", name="done")).to_be_visible()
    assert house.open_requests() == []


async def test_an_interrupted_turn_ends_and_the_next_message_is_answered(agent: Agent, house: House) -> None:
    house.provider.script(Script(chunks=("Working ", "on"), hold={1: "held"}), Script(chunks=("Next.",)))
    async with console(house, "/sessions") as page:
        await begin(page, agent, "work")
        await asyncio.to_thread(house.provider.reached, "held")
        if agent.streams:
            await expect(rows(page, "answer")).to_have_text("Working")
        await page.get_by_role("button", name="Interrupt").click()
        await expect(rows(page, "end")).to_contain_text("Interrupted")
        message = page.get_by_role("textbox", name="Message", exact=True)
        await message.fill("next")
        await message.press("Enter")
        await expect(rows(page, "answer").last).to_have_text("Next.")
        await expect(rows(page, "end")).to_have_count(2)
        await asyncio.to_thread(house.provider.release, "held")
