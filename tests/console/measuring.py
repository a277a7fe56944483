"""Measures the view of a session: frames while it is scrolled, memory of live sessions, and how soon an event
is on the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from playwright.async_api import CDPSession, Page, expect
from tests.served import Served

from rhetor.domain.event import OutputDelta, Position
from rhetor.domain.output import Done, Output, Text, ToolResult, ToolUse
from rhetor.store.base import follow
from rhetor.store.memory import MemoryStore

PER_TURN = 1000  # events of a turn, roughly
_CALL = 3  # events of a text, a tool call and its result

FRAMES = """() => {
  window.frames_ = [];
  const frame = (at) => (window.frames_.push(at), window.frames_on && requestAnimationFrame(frame));
  window.frames_on = true;
  requestAnimationFrame(frame);
}"""
SHOWN = """() => {
  window.shown_ = {};
  const look = () => {
    const now = Date.now();
    for (const [, number] of document.querySelector(".list").textContent.matchAll(/@(\\d+)@/g)) window.shown_[number] ??= now;
  };
  let isInFrame = false; // what is added now is drawn at the end of this task, else with the next frame
  const frame = () => {
    isInFrame = true;
    setTimeout(() => (isInFrame = false));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const added = () => (isInFrame ? setTimeout(look) : requestAnimationFrame(() => setTimeout(look)));
  new MutationObserver(added).observe(document.querySelector(".list"), { subtree: true, childList: true, characterData: true });
}"""  # noqa: E501


def now_store() -> MemoryStore:
    """Return a store whose events have the time of now."""
    return MemoryStore(clock=lambda: time.time_ns() // 1_000_000)


def turn(events: int) -> list[Output | Exception | asyncio.Event | asyncio.Barrier]:
    """Return the script of a turn with about this many events."""
    script: list[Output | Exception | asyncio.Event | asyncio.Barrier] = []
    for number in range(events // _CALL):
        script.append(Text(f"I look at the file number {number}, **because** `it` may be the one.\n\n" * 2))
        script.append(ToolUse(f"c{number}", "Bash", {"command": f"grep -n needle file-{number}.py"}, "agent"))
        script.append(ToolResult(f"c{number}", f"{number}: the needle\n" * 8))
    return [*script, Done()]


async def new_session(home: Served) -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
    found: str = answer.json["id"]
    return found


async def send(home: Served, session: str, text: str, *, waits: bool = True) -> None:
    headers = {} if waits else {"Prefer": "respond-async"}
    path = f"/api/v2/sessions/{session}/message"
    answer = await home.ask("POST", path, {"message": text}, headers=headers)
    assert answer.status in (200, 202), answer.text


async def filled(home: Served, events: int) -> str:
    """Return a session with about this many events."""
    session = await new_session(home)
    for number in range(max(1, events // PER_TURN)):
        home.driver.scripts.append(turn(min(events, PER_TURN)))
        await send(home, session, f"message {number}")
    return session


class Scrolled(NamedTuple):
    """How a page was drawn while it was scrolled. `slow`: the 95th percentile of the time of a frame; `work`:
    the CPU time of the page's own thread for a frame, which other processes do not change. Both are in
    milliseconds."""

    frames_per_second: float
    slow: float
    work: float


async def scrolled(page: Page, session_url: str, seconds: float) -> Scrolled:
    """Scroll up and down by the wheel, and then to the start, while earlier events are loaded."""
    await page.goto(session_url)
    await expect(page.locator(".row-end").last).to_be_visible()
    await page.locator(".list").hover()
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = await _metric(cdp, "TaskDuration")
    await page.evaluate(FRAMES)
    over = time.monotonic() + seconds
    direction = -1
    while time.monotonic() < over:
        await page.mouse.wheel(0, direction * 400)
        await asyncio.sleep(0.03)
        if time.monotonic() > over - seconds / 3:
            direction = 1
    await page.keyboard.press("Home")
    await asyncio.sleep(0.5)
    times = await page.evaluate("() => { window.frames_on = false; return window.frames_; }")
    took = sorted(later - earlier for earlier, later in pairwise(times))
    work = 1000 * (await _metric(cdp, "TaskDuration") - before) / len(took)
    return Scrolled(1000 * len(took) / sum(took), took[int(len(took) * 0.95)], work)


async def heap_bytes(page: Page) -> int:
    """Return how much the objects of the page's scripts take, after a garbage collection."""
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("HeapProfiler.collectGarbage")
    await cdp.send("Performance.enable")
    return int(await _metric(cdp, "JSHeapUsedSize"))


async def _metric(cdp: CDPSession, name: str) -> float:
    found: dict[str, Any] = await cdp.send("Performance.getMetrics")
    return next(float(one["value"]) for one in found["metrics"] if one["name"] == name)


async def with_live_sessions(home: Served, page: Page, count: int, seconds: float) -> int:
    """Open sessions in one page, one after another, all of which stay live and receive text. Return the bytes
    of its heap after this time."""
    sessions = [await new_session(home) for _ in range(count)]
    for session in sessions:
        await page.evaluate("path => history.pushState(null, '', path)", f"/sessions/{session}")
        await page.evaluate("() => dispatchEvent(new PopStateEvent('popstate'))")
        await expect(page.get_by_role("heading", name=session)).to_be_visible()
        await expect(page.locator(".list-window")).to_be_attached()
    over = time.monotonic() + seconds
    number = 0
    while time.monotonic() < over:
        for session in sessions:
            number += 1
            home.driver.scripts.append(turn(60))
            await send(home, session, f"message {number}", waits=False)
        await asyncio.sleep(2)
    await expect(page.locator(".row-end").last).to_be_visible()
    return await heap_bytes(page)


async def seconds_until_shown(home: Served, page: Page, console: str, pieces: int) -> Sequence[float]:
    """Return, for each piece of an answer, the time from its commit until it is on the screen."""
    gates = [asyncio.Event() for _ in range(pieces)]
    script: list[Output | Exception | asyncio.Event | asyncio.Barrier] = []
    for number, gate in enumerate(gates):
        script += [gate, Text(f"A piece with the number @{number}@ of **the** answer.\n\n")]
    home.driver.scripts.append([*script, Done()])
    session = await new_session(home)
    await page.goto(f"{console}/sessions/{session}")
    await expect(page.locator(".list-window")).to_be_attached()
    await page.evaluate(SHOWN)
    await send(home, session, "go", waits=False)
    await expect(page.locator(".row-message")).to_be_visible()
    for gate in gates:
        gate.set()
        await asyncio.sleep(0.06)
    await expect(page.locator(".row-end")).to_be_visible()
    shown: dict[str, float] = await page.evaluate("() => window.shown_")
    committed = await _committed(home, session)
    return [(shown[str(number)] - committed[number]) / 1000 for number in range(pieces)]


async def _committed(home: Served, session: str) -> dict[int, int]:
    """Return when each piece was committed, in Unix milliseconds."""
    head = await home.hub.state.store.head(session)
    assert head is not None
    found: dict[int, int] = {}
    async for records in follow(home.hub.state.store, session, Position(head.epoch, 0)):
        for record in records:
            event = record.event
            if isinstance(event.payload, OutputDelta):
                for piece in event.payload.text.split("@")[1::2]:
                    found[int(piece)] = event.at
        if records and records[-1].seq >= head.head:
            return found
    raise AssertionError("following does not end")
