"""The view of a session: a conversation that is live."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.console.browser import console
from tests.needs import needs
from tests.served import Served, served, with_programs

from rhetor.domain.event import PAYLOADS, PlanEntry
from rhetor.domain.output import Done, Planned, Text, ToolResult, ToolUse, Usage

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

EDIT = {"file_path": "/srv/cache.py", "old_string": "return name\n", "new_string": "return digest\n"}


async def new_session(home: Served, **more: Any) -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", **more})
    found: str = answer.json["id"]
    return found


async def send(home: Served, session: str, text: str, **more: Any) -> Any:
    """Send a message; return when it is accepted."""
    path, headers = f"/api/v2/sessions/{session}/message", {"Prefer": "respond-async"}
    answer = await home.ask("POST", path, {"message": text, **more}, headers=headers)
    assert answer.status == 202, answer.text
    return answer.json


def rows(page: Page, kind: str) -> Any:
    return page.get_by_role("region", name="Conversation").locator(f".row-{kind}")


async def test_a_turn_streams_into_the_conversation(tmp_path: Path) -> None:
    more, rest = asyncio.Event(), asyncio.Event()
    script = [
        Text("Which key?", "reasoning"),
        Text("First **bold** "),
        more,
        Text("words"),
        rest,
        Text(".\n\n```python\nx = 1\n```\n"),
        Usage("stub", 1200, 30, None, "0.02"),
        Done(),
    ]
    async with served(tmp_path, script) as home:
        session = await new_session(home, name="keys")
        async with console(home, f"/sessions/{session}") as page:
            await expect(page.get_by_role("heading", name="keys", level=1)).to_be_visible()
            await send(home, session, "Change the key")
            await expect(rows(page, "message")).to_contain_text("Change the key")
            await expect(rows(page, "answer")).to_have_text("First bold")
            await expect(rows(page, "answer").locator("strong")).to_have_text("bold")
            await expect(page.get_by_role("group", name="What the session does now")).to_contain_text(
                "apollo is writing"
            )
            more.set()
            await expect(rows(page, "answer")).to_contain_text("First bold words")
            rest.set()
            await expect(rows(page, "answer").locator("pre code")).to_have_text("x = 1")
            await expect(rows(page, "end")).to_contain_text("1,200 tokens in, 30 out · $0.02")
            await page.get_by_role("button", name="Reasoning").click()
            await expect(rows(page, "reasoning").locator(".markdown")).to_have_text("Which key?")


async def test_a_tool_call_is_folded_and_opens_with_its_input_result_and_diff(tmp_path: Path) -> None:
    script = [
        Planned((PlanEntry("Read", "completed"), PlanEntry("Change", "in_progress"))),
        ToolUse("c1", "Bash", {"command": "ls /srv"}, "agent"),
        ToolResult("c1", "\n".join(f"file-{number}" for number in range(500))),
        ToolUse("c2", "Edit", EDIT, "agent"),
        ToolResult("c2", "updated"),
        ToolUse("c3", "Bash", {"command": "false"}, "agent"),
        ToolResult("c3", "exit 1", is_error=True),
        Text("Done."),
        Done(),
    ]
    async with served(tmp_path, script) as home:
        session = await new_session(home)
        await send(home, session, "go")
        async with console(home, f"/sessions/{session}") as page:
            calls = rows(page, "tool")
            await expect(calls).to_have_count(3)
            await expect(page.get_by_role("region", name="Plan of the agent")).to_contain_text("1 of 2 done")
            await expect(calls.nth(0)).not_to_contain_text("file-3")
            await calls.nth(0).get_by_role("button", name="Bash").click()
            await expect(calls.nth(0)).to_contain_text("file-3")
            await expect(calls.nth(0)).not_to_contain_text("file-499")
            await calls.nth(0).get_by_role("button", name="Show all").click()
            await expect(calls.nth(0)).to_contain_text("file-499")
            await calls.nth(1).get_by_role("button", name="Edit").click()
            await expect(calls.nth(1).locator(".diff-removed")).to_have_text("-return name")
            await expect(calls.nth(1).locator(".diff-added")).to_have_text("+return digest")
            await expect(calls.nth(2).get_by_role("img", name="failed")).to_be_visible()


@pytest.mark.long
async def test_a_failed_turn_shows_its_error_and_the_part_of_its_answer(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("Half of it"), RuntimeError("no more")]) as home:
        session = await new_session(home)
        async with console(home, f"/sessions/{session}") as page:
            await send(home, session, "go")
            failure = page.get_by_role("group", name="The turn failed")
            await expect(failure).to_contain_text("no more")
            await expect(failure).to_contain_text("The answer above is incomplete.")
            await expect(rows(page, "answer")).to_have_text("Half of it")


@pytest.mark.long
async def test_waiting_messages_are_below_the_running_turn(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with served(tmp_path, [Text("one"), gate, Text(" and more"), Done()]) as home:
        session = await new_session(home)
        async with console(home, f"/sessions/{session}") as page:
            await send(home, session, "first")
            await expect(rows(page, "answer")).to_have_text("one")
            await send(home, session, "second")
            await expect(page.get_by_text("1 message waits")).to_be_visible()
            gate.set()
            await expect(rows(page, "answer")).to_have_text(["one and more", "apollo heard: second"])
            texts = await page.locator(".row-message .message-text, .row-answer").all_inner_texts()
            assert [text.strip() for text in texts] == [
                "first",
                "one and more",
                "second",
                "apollo heard: second",
            ]


@pytest.mark.long
async def test_scrolling_up_loads_earlier_turns_and_keeps_what_is_read(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await new_session(home)
        for number in range(150):
            answer = await home.ask(
                "POST", f"/api/v2/sessions/{session}/message", {"message": f"number {number}"}
            )
            assert answer.status == 200
        async with console(home, f"/sessions/{session}") as page:
            await expect(rows(page, "answer").last).to_have_text("apollo heard: number 149")
            assert await page.locator(".list-row").count() < 100
            moved = await page.evaluate(SCROLL_UP)
            assert moved["jumps"] == []
            await expect(page.get_by_text("number 0", exact=True)).to_be_visible()
            assert await page.locator(".list-row").count() < 100


# Scroll up in steps until the first event is there. A row that is visible before and after a step must have
# moved by exactly the step.
SCROLL_UP = """async () => {
  const list = document.querySelector(".list");
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const top = (row) => [row.dataset.seq, row.getBoundingClientRect().top];
  const tops = () => new Map([...document.querySelectorAll(".list-row")].map(top));
  const jumps = [];
  for (let step = 0; step < 400; step += 1) {
    if (list.scrollTop === 0 && document.querySelector('.list-row[data-seq="1"]')) break;
    const before = tops();
    const moved = Math.min(300, list.scrollTop);
    list.scrollTop -= moved;
    await frame();
    await frame();
    const after = tops();
    const common = [...before].find(([seq, top]) => after.has(seq) && top > 50 && top < 600);
    const by = common ? after.get(common[0]) - common[1] : null;
    if (by === null || Math.abs(by - moved) > 2) jumps.push([step, common, by, moved]);
  }
  return { jumps };
}"""


@pytest.mark.long
async def test_an_unknown_session_is_said_to_be_missing(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/sessions/none") as page:
        await expect(page.get_by_role("alert")).to_contain_text("none")


@pytest.mark.long
async def test_text_of_a_message_never_becomes_html(tmp_path: Path) -> None:
    bad = "<img src=x onerror=\"document.title='run'\"> [x](javascript:document.title='run') ![p](http://127.0.0.1:1/p.png)"
    async with served(
        tmp_path, [Text(bad), ToolUse("c", bad, {"command": bad}, "agent"), ToolResult("c", bad), Done()]
    ) as home:
        session = await new_session(home, name="<b>name</b>")
        async with console(home, f"/sessions/{session}") as page:
            await send(home, session, bad)
            await rows(page, "tool").get_by_role("button").first.click()
            await expect(rows(page, "end")).to_be_visible()
            assert (
                await page.locator(
                    ".session img[src], .session [onerror], .session a[href^=javascript]"
                ).count()
                == 0
            )
            assert await page.title() != "run"
            await expect(rows(page, "answer").get_by_role("link", name="p")).to_have_attribute(
                "rel", "noopener noreferrer"
            )


def test_every_type_of_event_has_a_place_in_the_conversation() -> None:
    module = Path(__file__).parents[2] / "src/rhetor/console/model/fold.js"
    code = f"import('{module}').then(({{ FOLDS }}) => console.log(JSON.stringify(Object.keys(FOLDS))))"
    done = run([needs("node"), "-e", code], capture_output=True, text=True, timeout=60, check=True)
    # of plans, of the hub's own stream and of the audit; they are shown as they are
    shown_raw = {
        name
        for name in PAYLOADS
        if name.startswith(("plan.", "step.", "notification.", "audit.", "command."))
    }
    assert set(json.loads(done.stdout)) == set(PAYLOADS) - shown_raw


@pytest.mark.long
async def test_a_search_finds_loaded_text_and_loads_what_is_before(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await new_session(home)
        for number in range(120):
            text = f"the needle {number}" if number in (3, 117) else f"number {number}"
            await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": text})
        async with console(home, f"/sessions/{session}") as page:
            await expect(rows(page, "answer").last).to_have_text("apollo heard: number 119")
            await page.keyboard.press("/")
            field = page.get_by_role("searchbox", name="Find in this session")
            await expect(field).to_be_focused()
            await field.fill("needle")
            await expect(page.get_by_text("4 of 4")).to_be_visible()  # two that are loaded, two that are not
            await expect(page.get_by_text("the needle 117", exact=True)).to_be_in_viewport()
            for _ in range(3):
                await field.press("Enter")
            await expect(page.get_by_text("the needle 3", exact=True)).to_be_in_viewport()
            await field.press("Escape")
            await expect(field).to_have_count(0)


async def test_after_lost_connections_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    gates = [asyncio.Event() for _ in range(6)]
    pieces = [one for number, gate in enumerate(gates) for one in (gate, Text(f"piece {number}, "))]
    async with served(tmp_path, [*pieces, Done()]) as home:
        session = await new_session(home)
        async with console(home, faultless=False) as page:
            await page.add_init_script(KEEP_SOCKETS)
            await page.goto(f"{home.node.console}/sessions/{session}")
            await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
            await send(home, session, "go")
            for number, gate in enumerate(gates):
                await page.evaluate("() => window.sockets.at(-1).close()")
                gate.set()
                await expect(rows(page, "answer")).to_contain_text(f"piece {number}")
            whole = "".join(f"piece {number}, " for number in range(6)).strip()
            await expect(rows(page, "end")).to_have_count(1)
            await expect(rows(page, "answer")).to_have_text([whole])
            await expect(rows(page, "message")).to_have_count(1)


KEEP_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    window.sockets.push(this);
  }
};
"""


@pytest.mark.long
async def test_a_session_with_a_program_shows_what_it_prints() -> None:
    async with with_programs() as home:
        await home.announce("shell", "bash", "--norc", kind="terminal")
        answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "shell"})
        session = answer.json["id"]
        async with console(home, f"/sessions/{session}") as page:
            await send(home, session, "echo one; echo two", execute=True)
            await expect(rows(page, "answer")).to_contain_text("one")
            await expect(rows(page, "answer")).to_contain_text("two")
            await expect(rows(page, "message")).to_contain_text("runs as input")
