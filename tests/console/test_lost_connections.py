"""Pages whose connection is cut, or whose hub is killed: nothing is lost and nothing is shown twice."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect
from tests.clients.relay import relayed
from tests.console.browser import Faults, chromium, console
from tests.e2e.home import Machine
from tests.e2e.restartable import RestartableHub
from tests.served import CONSOLE, served

from rhetor.auth.addresses import Addresses
from rhetor.domain.output import Done, Text, ToolResult, ToolUse

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
PARTS = 40
TALL = 5000  # pixels, so that all of a conversation is in the page
# answers each line with numbered parts, one every 50 ms
PROGRAM = f"""
import sys, time
for number, line in enumerate(sys.stdin):
    for part in range({PARTS}):
        print(f"{{number}}-{{part}}", flush=True)
        time.sleep(0.05)
"""


def conversation(page: Page) -> Locator:
    return page.get_by_role("region", name="Conversation")


async def say(page: Page, text: str) -> None:
    await page.get_by_role("textbox", name="Message").fill(text)
    await page.keyboard.press("Enter")


def answers_in_log(hub: RestartableHub, session: str) -> tuple[int, str]:
    """Return how many turns have ended with a whole or partial answer, and the text of these answers, with
    what the program printed in between: the rest of an answer that a killed hub did not wait for."""
    events = hub.request("GET", f"/api/v2/sessions/{session}/events?limit=1000")["events"]
    answers = [event for event in events if event["type"] in ("output.partial", "turn.completed")]
    shown = [event for event in events if event in answers or event["data"].get("channel") == "unsolicited"]
    return len(answers), "".join(event["data"]["text"] for event in shown)


async def test_a_page_whose_connection_is_cut_shows_everything_once(
    tmp_path: Path,
) -> None:
    count = 6

    def script(n: int) -> list[Text | ToolUse | ToolResult | Done]:
        call = ToolUse(f"c{n}", "Bash", {"command": f"run {n}"}, "agent")
        return [
            Text(f"begin{n} " + "word " * 200),
            call,
            ToolResult(f"c{n}", "ok"),
            Text(f"finish{n}"),
            Done(),
        ]

    async with served(tmp_path, *map(script, range(count))) as home, relayed(home.port) as relay:
        home.node.addresses = Addresses(relay.port, CONSOLE)
        home.node.console = f"http://{CONSOLE}:{relay.port}"
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json
        async with console(home, f"/sessions/{made['id']}", height=TALL, faultless=False) as page:
            await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
            relay.cuts.extend([900, 1_500, 3_000, 700])
            for n in range(count):
                await say(page, f"message{n}")
                await expect(conversation(page)).to_contain_text(f"finish{n}", timeout=20_000)
            assert home.driver.heard == [("apollo", f"message{n}") for n in range(count)]
            text = await conversation(page).inner_text()
            for n in range(count):
                for word in (f"message{n}", f"begin{n}", f"run {n}", f"finish{n}"):
                    assert (word, text.count(word)) == (word, 1)


async def test_an_open_page_goes_on_when_its_hub_is_killed_and_started_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home")
    tools = {"counter": {"executable": sys.executable, "args": ["-c", PROGRAM], "cwd": "/"}}
    machine.environment["RHETOR_TOOLS"] = json.dumps(tools)
    async with chromium() as browser, asyncio.timeout(120):
        hub = await asyncio.to_thread(RestartableHub, machine)
        context = await browser.new_context(viewport={"width": 1200, "height": TALL})
        try:
            page, faults = await context.new_page(), Faults()
            made = await asyncio.to_thread(hub.post, "sessions", {"specialist_id": "counter"})
            login = await asyncio.to_thread(hub.request, "POST", "/api/auth/code", {})
            await page.goto(login["url"])
            await page.goto(f"{login['url'].partition('/login')[0]}/sessions/{made['id']}")
            faults.watch(page)
            await say(page, "first")
            await expect(conversation(page)).to_contain_text("0-5")
            await asyncio.to_thread(hub.stop, signal.SIGKILL)
            await expect(page.get_by_text("The connection to the hub is lost")).to_be_visible()
            await say(page, "second, without a hub")
            await asyncio.to_thread(hub.start_again)
            await expect(page.get_by_text("The connection to the hub is lost")).to_have_count(0)
            await expect(conversation(page)).to_contain_text(f"1-{PARTS - 1}", timeout=30_000)
            lines = (await conversation(page).inner_text()).split()
            count, text = 0, ""
            while count < 2:  # the log has the second one soon
                count, text = await asyncio.to_thread(answers_in_log, hub, made["id"])
            shown = [line for line in lines if re.fullmatch(r"\d+-\d+", line)]
            assert shown == text.split()
            assert shown[-PARTS:] == [f"1-{part}" for part in range(PARTS)]
            assert [line for line in lines if line in ("first", "second,")] == ["first", "second,"]
        finally:
            await context.close()
            await asyncio.to_thread(hub.end)
            machine.leave()
