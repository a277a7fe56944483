"""Texts of peers, programs and other clients, in every view: nothing of them runs, loads or breaks the page,
and the page's policy has nothing to report."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Page, Request, expect
from tests.console.asking import AGENT, AskingDriver
from tests.console.browser import chromium, console
from tests.console.payloads import SEQUENCES, SHAPES, TEXTS
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.rhetor.hub.sessions.test_uploads import Takes
from tests.served import Served, served, with_programs

from rhetor.domain.event import PermissionOption, PlanEntry
from rhetor.domain.output import Done, Output, Permission, Planned, Text, ToolResult, ToolUse
from rhetor.domain.questions import Choice, Question

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

PER_SESSION = 26
# where a text can be in an address, which another site may choose
ADDRESSES = (
    "/peers/{0}",
    "/sessions/{0}",
    "/terminals/{0}",
    "/line?plan={0}",
    "/search?q={0}&peer={0}&session={0}",
)
LINES = (
    TEXTS[3],
    f'apollo "{TEXTS[1]}" | {TEXTS[3]}',
    "@__proto__ x | team:constructor y",
    "apollo '" + "x" * 5000,
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="hit(60)"><script>hit(60)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + SVG  # no picture, but it begins like one
# what a page shows may not be larger than its place, and what is above it must stay where a person can click
OBSERVE = """
  window.hits = []; window.violations = [];
  window.hit = (number) => window.hits.push(number);
  addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
# opens everything that can be opened without a request, from the top of the view to its end
OPEN_ALL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const main = document.querySelector("main");
  const open = async () => {
    for (let round = 0; round < 4; round += 1) {
      const all = ".fold[aria-expanded=false], details:not([open]) > summary, button.more";
      const closed = main.querySelectorAll(all);
      if (!closed.length) return;
      for (const one of closed) one.click();
      await frame();
    }
  };
  const list = main.querySelector(".list");
  if (!list) return open();
  list.scrollTop = 0;
  await frame();
  for (let last = -1; list.scrollTop !== last; ) {
    last = list.scrollTop;
    await open();
    list.scrollTop = last + list.clientHeight;
    await frame();
  }
}"""
# what must never be in the page, and the landmarks as a person reaches them
STATE = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const nav = document.querySelector("nav[aria-label=Main]");
  const own = (one) => one.closest("#app");
  return {
    hits: window.hits,
    violations: window.violations,
    host: location.host,
    mains: all("main").length,
    navigations: all("nav[aria-label=Main]").length,
    ids: all("[id=app], [id=main]").map((one) => one.tagName).sort().join(),
    foreign: all("main iframe, main object, main embed, main form[action]:not([action='/login']), main base, main style, main link, main meta, main [style*=fixed], main portal, main marquee, main script")
      .filter((one) => !one.closest(".xterm")).map((one) => one.outerHTML.slice(0, 100)),
    handlers: all("*").flatMap((one) => [...one.attributes].filter(({ name }) => name.startsWith("on")).map(({ name }) => name)),
    links: all("a[href], area[href]").filter(({ href }) => !/^(https?:|mailto:|blob:)/.test(href)).map(({ outerHTML }) => outerHTML.slice(0, 100)),
    images: all("img").filter(({ src }) => !/^(blob:|data:image\\/(png|jpeg|gif|webp);)/.test(src)).map(({ outerHTML }) => outerHTML.slice(0, 100)),
    covered: [...nav.querySelectorAll("a")].filter((link) => {
      const { left, top, width, height } = link.getBoundingClientRect();
      return !link.contains(document.elementFromPoint(left + width / 2, top + height / 2));
    }).map((link) => link.textContent),
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    polluted: Object.keys(Object.prototype),
  };
}"""  # noqa: E501
UNHARMED = {
    "hits": [],
    "violations": [],
    "mains": 1,
    "navigations": 1,
    "ids": "DIV,MAIN",
    "foreign": [],
    "handlers": [],
    "links": [],
    "images": [],
    "covered": [],
    "wide": False,
    "polluted": [],
}


class Watched:
    """A page that notes what the texts could do in it, and which requests leave the hub."""

    def __init__(self, home: Served, page: Page) -> None:
        self.home, self.page = home, page
        self.foreign: list[str] = []

    async def begin(self) -> Watched:
        own = f"{self.home.node.console}/"

        def seen(request: Request) -> None:
            if not request.url.startswith((own, f"blob:{own}", "data:image/")):
                self.foreign.append(request.url[:200])

        self.page.context.on("request", seen)
        self.page.context.on("page", lambda page: self.foreign.append(f"a window: {page.url}"))
        await self.page.add_init_script(OBSERVE)
        return self

    async def visit(self, path: str) -> None:
        """Show a view, open all that is in it, and check that nothing has happened."""
        await self.page.goto(self.home.node.console + path)
        await expect(self.page.locator("main h1").first).to_be_visible()
        await expect(self.page.locator("main .loading")).to_have_count(0)
        await self.page.evaluate(OPEN_ALL)
        await self.require_unharmed(path)

    async def require_unharmed(self, path: str) -> None:
        found = await self.page.evaluate(STATE)
        host = found.pop("host")
        assert (path, found, self.foreign) == (path, UNHARMED, [])
        assert self.home.node.console.endswith(host)


@asynccontextmanager
async def watched(home: Served) -> AsyncIterator[Watched]:
    async with chromium() as browser, console(home, browser=browser) as page:
        yield await Watched(home, page).begin()


def answer(texts: Sequence[str]) -> list[Output]:
    """Return the outputs of a turn that has these texts in all its places."""
    outputs: list[Output] = []
    for number, text in enumerate(texts):
        outputs += [
            Text(text + "\n\n", "reasoning"),
            Text(text + "\n\n"),
            ToolUse(f"c{number}", text[:60] or "x", {text[:100]: text, "file_path": text}, "hub"),
            ToolResult(f"c{number}", {"stdout": text, text[:100]: [text]}, is_error=number % 2 == 0),
        ]
    edit = {"file_path": texts[0], "old_string": texts[1], "new_string": texts[2]}
    outputs += [ToolUse("edit", "Edit", edit, "agent"), ToolResult("edit", texts[3])]
    for number, shape in enumerate(SHAPES):
        outputs += [ToolUse(f"s{number}", "Edit", shape, "agent"), ToolResult(f"s{number}", shape)]
    return [*outputs, Planned(tuple(PlanEntry(text) for text in texts)), Done()]


async def fill(home: Served, texts: Sequence[str], number: int) -> str:
    """Put texts into a session, and return its id."""
    home.driver.scripts.append(answer(texts))
    plain = [text for text in texts if text.isprintable() and len(text) < 200]
    body = {"specialist_id": "apollo", "name": f"{plain[0][:150]} {number}", "metadata": {"source": texts[0]}}
    made = await post(home, "/api/v2/sessions", body)
    message = {"message": "\n\n".join(texts), "from": plain[1], "parts": attached(plain)}
    await post(home, f"/api/v2/sessions/{made['id']}/message", message)
    await post(home, f"/api/v2/sessions/{made['id']}/checkpoint", {"name": plain[2][:200]})
    return str(made["id"])


def attached(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the parts of a message: files with these names, which a browser could run."""
    contents = {"image/png": PNG, "application/pdf": b"%PDF-1.4\n" + SVG}
    return [
        {
            "type": "image" if type == "image/png" else "file",
            "media_type": type,
            "data": base64.b64encode(content).decode(),
            "name": name[:200],
        }
        for (type, content), name in zip(contents.items(), names, strict=False)
    ]


async def post(home: Served, path: str, body: Any) -> Any:
    reply = await home.ask("POST", path, body)
    assert reply.status < 300, reply.text
    return reply.json


async def test_in_sessions_their_logs_and_the_search(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.hub.state.inputs = Takes(apollo={"image", "pdf"})
        groups = [TEXTS[start : start + PER_SESSION] for start in range(0, len(TEXTS), PER_SESSION)]
        ids = [await fill(home, group, number) for number, group in enumerate(groups)]
        async with watched(home) as page:
            for id in ids:
                await page.visit(f"/sessions/{id}")
            for path in (f"/sessions/{ids[0]}/log", f"/sessions/{ids[0]}/timeline", "/sessions"):
                await page.visit(path)
            for path in ("/search", "/search?q=hit", "/search?q=evil&group=session", "/"):
                await page.visit(path)


async def test_what_texts_could_do_is_found(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        chromium() as browser,
        console(home, browser=browser, faultless=False) as page,
    ):
        found = await Watched(home, page).begin()
        await found.visit("/")
        await page.evaluate("""() => {
            hit(1);
            const image = document.createElement("img");
            image.src = "https://evil.example/x.png";
            document.querySelector("main").append(image, document.createElement("iframe"));
        }""")
        await expect(page.locator("main iframe")).to_have_count(1)
        state = await page.evaluate(STATE)
        wrong = {name for name, value in UNHARMED.items() if state[name] != value}
        assert wrong == {"hits", "violations", "foreign", "images"}


def asking(texts: Sequence[str]) -> list[Permission]:
    """Return requests with these texts in all their places, and with details of any shape."""
    choices = tuple(Choice(text[:200], text) for text in texts)
    options = tuple(PermissionOption(f"o{n}", text[:80] or "x", "allow_once") for n, text in enumerate(texts))
    questions = (
        Question("constructor", texts[0], texts[0], choices),
        Question("__proto__", texts[1], texts[1], choices, multi_select=True),
        Question("toString", texts[2], texts[2]),
    )
    block = {"type": "diff", "path": texts[2], "newText": texts[3]}
    details: list[Any] = [
        {"input": {text[:100]: text, "command": text, "description": text}} for text in texts
    ]
    details += [
        {"toolCall": {"toolCallId": texts[0], "title": texts[1], "content": [block]}},
        {"changes": {texts[0]: {"diff": texts[1]}}, "reason": texts[2]},
    ]
    found = [Permission("", texts[n % len(texts)], detail, options[:9]) for n, detail in enumerate(details)]
    found += [Permission("", "budget", detail, options[:2]) for detail in SHAPES]
    inner = ("input", "toolCall", "params")
    found += [Permission("", "x", {name: shape}, options[:2]) for shape in SHAPES for name in inner]
    return [*found, Permission("", "AskUserQuestion", {}, options[:2], None, questions)]


async def test_in_permission_requests_and_what_they_ask(tmp_path: Path) -> None:
    texts = TEXTS[: len(TEXTS) - 40 : 4]
    requests = asking(texts)
    driver = AskingDriver(*requests)
    async with served(tmp_path, drivers={"asking": driver}, also=[AGENT]) as home, watched(home) as page:
        for _ in requests:
            session = (await post(home, "/api/v2/sessions", {"specialist_id": "agent"}))["id"]
            path = f"/api/v2/sessions/{session}/message"
            await home.ask("POST", path, {"message": "do it"}, headers={"prefer": "respond-async"})
        await page.visit("/permissions")
        await expect(page.page.locator(".permission.open")).to_have_count(len(requests))
        await page.visit("/")
        await expect(page.page.locator(".permission-alert .permission")).to_be_visible()
        await page.visit(f"/sessions/{session}")
        await page.visit("/sessions")


async def test_in_terminals_peers_lines_and_addresses() -> None:
    writes = f"print({''.join(SEQUENCES)!r} + 'written', flush=True); input()"
    async with with_programs() as home:
        await home.announce("p", *PYTHON, writes, kind="terminal", description=TEXTS[3])
        for text in TEXTS[:40:5]:
            await post(home, "/api/v2/sessions", {"specialist_id": "p", "metadata": {"title": text}})
        async with watched(home) as page:
            await page.visit("/terminals/p")
            await expect(page.page.locator(".xterm-rows")).to_contain_text("written")
            assert (
                await page.page.locator(".xterm img, .xterm script, .xterm a, .terminal-title *").count() == 0
            )
            await page.require_unharmed("/terminals/p")
            costs = "/costs?show=constructor&by=__proto__&days=toString"
            for path in ("/terminals", "/peers/p", costs, "/settings", "/health"):
                await page.visit(path)
            for text in (TEXTS[3], "__proto__"):
                for path in ADDRESSES:
                    await page.visit(path.format(quote(text, safe="")))
            await page.visit("/peers/p")
            await page.page.evaluate("history.replaceState(null, '', '/peers/%E0%A4%A')")
            await page.page.reload()
            await expect(page.page.get_by_role("heading", name="There is no such page")).to_be_visible()
            await page.require_unharmed("/peers/%E0%A4%A")
            await page.visit("/line")
            line = page.page.get_by_role("combobox", name="Line")
            for text in LINES:
                await line.fill(text)
                await expect(page.page.locator(".line-mirror")).to_have_text(text)
            await page.page.wait_for_timeout(400)
            await page.require_unharmed("/line")
            await line.press("Enter")
            await expect(page.page.get_by_role("alert").first).to_be_visible()
            await page.require_unharmed("/line, refused")
