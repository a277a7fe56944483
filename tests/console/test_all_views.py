"""Every view of the console: it fits the screen, in light and dark, and everybody can use it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect
from tests.console.asking import AGENT, AskingDriver, asked
from tests.console.axe import violations
from tests.console.browser import console
from tests.needs import needs
from tests.served import TOKEN, Served, with_programs

from rhetor.domain.output import Done, Text, ToolUse, Usage
from rhetor.transports.console.assets import FOLDER

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

WIDTHS = (360, 800, 1600)
COLORS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LONG = "a_word_that_does_not_fit_into_any_column_" * 4
ANSWER = f"""# A title

Some `code`, **strong**, and a [link](https://example.org/{LONG}).

| a | b |
|---|---|
| {LONG} | 2 |

```python
print("{LONG}")
```
"""
ANSWERED = [
    ToolUse("c1", "Bash", {"command": f"npm test {LONG}"}, "agent"),
    Text(ANSWER),
    Usage("x/m", 5, 7),
    Done(),
]
# in the light or in the dark, at the width at which the page looks most different
LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1600, "light"), (360, "dark"))


def routes() -> tuple[list[str], list[dict[str, str]]]:
    """Return the patterns of all views, and the links of the navigation, from the module that has them."""
    script = (
        f"import {{ ROUTES, NAVIGATION }} from {json.dumps(str(FOLDER / 'app' / 'routes.js'))};"
        "console.log(JSON.stringify([ROUTES.map((one) => one.pattern.source), NAVIGATION]));"
    )
    command = [needs("node"), "--input-type=module", "-e", script]
    patterns, links = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return patterns, links


def paths(ids: Mapping[str, str]) -> Sequence[str]:
    """Return the path of each view. `ids`: what stands for the id, by the beginning of the path."""
    found = []
    for pattern in routes()[0]:
        path = pattern.removeprefix("^").removesuffix("\\/?$").replace("\\/", "/")
        id = ids.get(path.split("/")[1], "")
        found.append(re.sub(r"\(\?<id>[^)]*\)", id, path) or "/")
    return found


@asynccontextmanager
async def used() -> AsyncIterator[tuple[Served, Mapping[str, str]]]:
    """Run a hub in which something has happened, and return the ids to look at."""
    asking = AskingDriver(asked({"input": {"command": f"rm -rf {LONG}"}}))
    async with with_programs(ANSWERED, drivers={"asking": asking}, also=[AGENT]) as home:
        await home.announce("shell", "bash", "--norc", kind="terminal", description="a plain shell")
        token = {"authorization": f"Bearer {TOKEN}"}

        async def post(path: str, body: Any) -> Any:
            answer = await home.ask_tcp("POST", path, token, json=body)
            assert answer.status < 300, answer.text
            return answer.json

        await home.ask("PUT", "/api/v2/budgets/global", {"usd_per_month": "50"})
        session = await post("/api/v2/sessions", {"specialist_id": "apollo", "name": LONG[:150]})
        await post(f"/api/v2/sessions/{session['id']}/message", {"message": f"Hello {LONG}"})
        await post(f"/api/v2/sessions/{session['id']}/checkpoint", {"name": LONG[:150]})
        waiting = await home.ask_tcp(
            "POST",
            "/api/v2/ai/agent/message",
            {**token, "prefer": "respond-async"},
            json={"content": "clean up", "context_window": 10},
        )
        assert waiting.status == 202, waiting.text
        yield home, {"peers": "apollo", "sessions": session["id"], "terminals": "shell"}


async def shown(page: Page, url: str) -> None:
    await page.goto(url)
    await expect(page.locator("main h1")).to_be_visible()
    await expect(page.locator("main .loading")).to_have_count(0)


async def test_every_view_fits_every_screen_and_is_accessible() -> None:
    faults: list[str] = []
    async with used() as (home, ids), console(home) as page:
        for path in paths(ids):
            await shown(page, home.node.console + path)
            for name, expected in (("h1", 1), ("main", 1), ('nav[aria-label="Main"]', 1)):
                if await page.locator(name).count() != expected:
                    faults.append(f"{path}: {await page.locator(name).count()} {name}")
            for colors in COLORS:
                await page.emulate_media(color_scheme=colors)
                for width in WIDTHS:
                    await page.set_viewport_size({"width": width, "height": 800})
                    if wide := await page.evaluate(TOO_WIDE):
                        faults.append(f"{path} at {width} px, {colors}: too wide: {wide}")
            for width, colors in LOOKS:
                await page.set_viewport_size({"width": width, "height": 800})
                await page.emulate_media(color_scheme=colors)
                faults += [f"{path} at {width} px, {colors}: {one}" for one in await violations(page)]
    assert not faults, "\n".join(faults)


async def test_what_nobody_can_use_is_found() -> None:
    async with with_programs() as home, console(home) as page:
        await shown(page, home.node.console)
        assert await violations(page) == []
        await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
        found = await violations(page)
        assert [one.partition(":")[0] for one in found] == ["button-name"]


# the elements that reach beyond the page, if the page scrolls to the side
TOO_WIDE = """() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const all = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > clientWidth + 1);
  return [scrollWidth, ...all.slice(0, 5).map((one) => one.outerHTML.slice(0, 120))];
}"""  # noqa: E501


async def test_the_links_of_the_navigation_lead_to_their_views() -> None:
    links = routes()[1]
    order = ["Peers", "Sessions", "Line", "Terminals", "Permissions", "Search", "Costs", "Settings", "Health"]
    assert [one["name"] for one in links] == [
        name for name in order if name in {one["name"] for one in links}
    ]
    async with used() as (home, _), console(home) as page:
        for width in (1200, 360):
            await page.set_viewport_size({"width": width, "height": 800})
            for link in links:
                await (
                    page.get_by_role("navigation", name="Main").get_by_role("link", name=link["name"]).click()
                )
                await page.wait_for_url(f"**{link['path']}")
                await expect(page.locator("main h1")).to_be_visible()
                current = page.locator('nav.navigation a[aria-current="page"]')
                await expect(current).to_contain_text(link["name"])
                await expect(current).to_be_in_viewport()


async def test_on_a_phone_what_can_be_touched_is_large_enough() -> None:
    small: list[str] = []
    async with used() as (home, ids), console(home, width=360, height=740) as page:
        for path in paths(ids):
            await shown(page, home.node.console + path)
            small += [f"{path}: {one}" for one in await page.evaluate(TOO_SMALL)]
    assert not small, "\n".join(small)


# links within text may be as high as their line
TOO_SMALL = """() => [...document.querySelectorAll("button, input, select, textarea, summary, nav a, a.button")]
  .filter((one) => one.checkVisibility() && !one.closest(".visually-hidden, .xterm") && one.type !== "hidden")
  .filter((one) => {
    const { width, height } = (["checkbox", "radio"].includes(one.type) ? one.closest("label") ?? one : one).getBoundingClientRect();
    return height < 39.5 || width < 32;
  })
  .map((one) => `${one.offsetWidth} × ${one.offsetHeight} px: ${one.outerHTML.slice(0, 120)}`)
"""  # noqa: E501
