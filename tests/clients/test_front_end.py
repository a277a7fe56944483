"""The page of `examples/` in a browser: answers, tool calls, permission requests, lost connections."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.clients.browser import browsing
from tests.clients.front_end import FrontEnd, page_served
from tests.clients.having import BROWSERS
from tests.clients.relay import Relay, relayed
from tests.e2e.home import Machine
from tests.e2e.restartable import RestartableHub
from tests.needs import needs
from tests.scripted import Script
from tests.served import CONSOLE, TOKEN, Served, served

from rhetor.auth.addresses import Addresses
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text, ToolResult, ToolUse
from rhetor.domain.questions import Choice, Question
from rhetor.errors import ProviderFailed

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
OPTIONS = (PermissionOption("yes", "Allow", "allow_once"), PermissionOption("no", "Deny", "reject_once"))


@asynccontextmanager
async def shown(folder: Path, *scripts: Script) -> AsyncIterator[tuple[FrontEnd, Served, Relay]]:
    """The page in a browser, connected through a relay to a hub whose peers play the scripts."""
    chromium = needs(*BROWSERS)
    (folder / "site").mkdir()
    async with (
        page_served(folder / "site") as origin,
        served(folder, *scripts) as home,
        relayed(home.port) as relay,
        browsing(chromium, folder) as page,
    ):
        home.node.addresses = Addresses(relay.port, CONSOLE, (), [origin])
        front_end = FrontEnd(page, origin)
        await front_end.connect(f"http://127.0.0.1:{relay.port}", TOKEN)
        yield front_end, home, relay


async def test_the_page_shows_an_answer_while_it_grows_with_tool_calls_and_a_permission_request(
    tmp_path: Path,
) -> None:
    gate, answered = asyncio.Event(), asyncio.Event()
    call = ToolUse("c_1", "Bash", {"command": "ls"}, "agent")
    script: Script = [
        Text("\x1b[31mcareful\x1b[0m\n", "stderr"),
        Text("\n\nI look"),
        gate,
        Text(" into it."),
        call,
        Permission("r_1", "Bash", {"command": "ls", "tool_use_id": "c_1"}, OPTIONS),
        answered,
        ToolResult("c_1", "a file"),
        Text("One file."),
        Done(),
    ]
    async with shown(tmp_path, script) as (front_end, home, _):
        session = await front_end.create("apollo")
        await front_end.send("What is here?")
        await front_end.page.until("document.querySelector('.answer')?.textContent === 'I look'")
        gate.set()
        request = await front_end.request()
        assert request["buttons"] == ["Allow", "Deny"]
        assert '"command": "ls"' in request["text"]
        await front_end.press("Allow")
        answered.set()
        await front_end.answered()
        assert (await _answer(home, session))["option_id"] == "yes"
        assert await front_end.transcript() == [
            ("message", "What is here?"),
            ("note", "careful"),
            ("answer", "I look into it."),
            ("tool", json.dumps(["Bash", "done", {"command": "ls"}, "a file"], separators=(",", ":"))),
            ("answer", "One file."),
            ("end", "done"),
        ]
        listed = (await home.ask("GET", "/api/sessions/active")).json["sessions"]
        assert [each["id"] for each in listed] == [session]


async def _answer(home: Served, session: str) -> dict[str, Any]:
    """Return the answer to the session's only permission request."""
    log = (await home.ask("GET", f"/api/v2/sessions/{session}/events")).json["events"]
    (answer,) = [event["data"] for event in log if event["type"] == "permission.answered"]
    return dict(answer)


async def test_the_page_answers_questions(tmp_path: Path) -> None:
    questions = (
        Question("q_1", "Base", "Which database?", (Choice("SQLite", ""), Choice("Other", ""))),
        Question("q_2", "Checks", "Which checks?", (Choice("lint", ""), Choice("types", "")), True),
        Question("q_3", "Name", "Which name?"),
    )
    answered = asyncio.Event()
    request = Permission("r_1", "AskUserQuestion", {}, (), questions=questions)
    script: Script = [request, answered, Text("Good."), Done()]
    async with shown(tmp_path, script) as (front_end, home, _):
        session = await front_end.create("apollo")
        await front_end.send("Set it up")
        assert "Which database?" in (await front_end.request())["text"]
        for label in ("SQLite", "lint", "types"):
            await front_end.page.run(f"document.querySelector('input[value={label}]').click()")
        await front_end.page.run("document.querySelector('input[name=q_3]').value = 'kōan'")
        await front_end.press("Answer")
        answered.set()
        await front_end.answered()
        assert (await _answer(home, session))["answers"] == {
            "q_1": ["SQLite"],
            "q_2": ["lint", "types"],
            "q_3": "kōan",
        }


async def test_the_page_loses_and_repeats_nothing_when_its_connection_is_cut(tmp_path: Path) -> None:
    def turn(n: int) -> Script:
        call: Script = [ToolUse(f"c_{n}", "search", {"n": n}, "agent"), ToolResult(f"c_{n}", n)]
        return [Text(f"look {n} "), Text("✓ " * 500), *call, Text(f"found {n}"), Done()]

    count = 8
    async with shown(tmp_path, *[turn(n) for n in range(count)]) as (front_end, home, relay):
        session = await front_end.create("apollo")
        relay.cuts.extend([700, 3_000, 5_001, 2_000])
        for n in range(count):
            await front_end.send(f"message {n}")
        await front_end.answered(count)
        assert relay.made == 4
        assert home.driver.heard == [("apollo", f"message {n}") for n in range(count)]
        live = await front_end.transcript()
        ordered = [row for row in live if row[0] != "message"]
        assert ordered == [
            row
            for n in range(count)
            for row in (
                ("answer", f"look {n} " + "✓ " * 499 + "✓"),
                ("tool", f'["search","done",{{"n":{n}}},{n}]'),
                ("answer", f"found {n}"),
                ("end", "done"),
            )
        ]
        assert [text for kind, text in live if kind == "message"] == [f"message {n}" for n in range(count)]
        await front_end.create("athena")
        await front_end.choose(session)  # the same again from the log, whose chunks were folded meanwhile
        await front_end.answered(count)
        assert [row for row in await front_end.transcript() if row[0] != "message"] == ordered


async def test_the_page_continues_when_its_hub_is_killed_and_started_again(tmp_path: Path) -> None:
    chromium = needs(*BROWSERS)
    for name in ("site", "browser"):
        (tmp_path / name).mkdir()
    machine = Machine(tmp_path / "home")
    async with (
        page_served(tmp_path / "site") as origin,
        browsing(chromium, tmp_path / "browser") as page,
        asyncio.timeout(120),
    ):
        machine.environment["RHETOR_HUB__ALLOWED_ORIGINS"] = json.dumps([origin])
        hub = await asyncio.to_thread(RestartableHub, machine)
        front_end = FrontEnd(page, origin)
        try:
            await front_end.connect(hub.url, hub.token)
            await front_end.create("apollo")
            await front_end.send("before")
            await front_end.answered()
            await asyncio.to_thread(hub.stop, signal.SIGKILL)
            await page.until("$('state').textContent !== 'connected'")
            await front_end.send("without a hub")
            await asyncio.to_thread(hub.start_again)
            await front_end.answered(2)
            await front_end.send("after")
            await front_end.answered(3)
            rows = await front_end.transcript()
        finally:
            await asyncio.to_thread(hub.end)
    assert [kind for kind, _ in rows] == ["message", "answer", "end"] * 3
    assert [text for kind, text in rows if kind == "message"] == ["before", "without a hub", "after"]


async def test_the_page_shows_why_a_turn_failed_and_continues(tmp_path: Path) -> None:
    failing: Script = [Text("A part"), ProviderFailed("the model is gone")]
    async with shown(tmp_path, failing) as (front_end, _, _):
        await front_end.create("apollo")
        await front_end.send("one")
        await front_end.answered()
        await front_end.send("two")
        await front_end.answered(2)
        assert await front_end.transcript() == [
            ("message", "one"),
            ("answer", "A part"),
            ("error", "the model is gone"),
            ("end", "error"),
            ("message", "two"),
            ("answer", "apollo heard: two"),
            ("end", "done"),
        ]


async def test_the_page_says_why_it_cannot_connect(tmp_path: Path) -> None:
    async with shown(tmp_path) as (front_end, _, _):
        await front_end.page.run("$('token').value = 'wrong'; $('connect').requestSubmit()")
        await front_end.page.until("$('state').textContent.includes('rhetor token')")
