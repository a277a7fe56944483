"""The console as an app on a phone: it opens while the hub is away, and never mixes versions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect
from tests.console.browser import console
from tests.served import Served, served

from rhetor.transports.console import page as console_page
from rhetor.transports.console.assets import Assets

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

CONTROLLED = """async () => {
  const worker = navigator.serviceWorker;
  if (!worker.controller) await new Promise((go) => worker.addEventListener("controllerchange", go, { once: true }));
  while (!(await caches.match("/"))) await new Promise((go) => setTimeout(go, 50));
}"""  # noqa: E501
REPLACED = """async (wanted) => {
  while (String(await caches.keys()) !== wanted) await new Promise((go) => setTimeout(go, 50));
}"""
KEPT = """async () => {
  const found = [];
  for (const name of await caches.keys()) {
    for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);
  }
  return found;
}"""


NEXT = "0123456789ab"


@pytest.fixture
def update(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return what lets the hub serve the console of another version."""

    def forget() -> None:
        console_page.page.cache_clear()
        console_page.service_worker.cache_clear()

    def updated() -> None:
        monkeypatch.setattr(Assets, "version", NEXT)
        forget()

    yield updated
    monkeypatch.undo()
    forget()


@asynccontextmanager
async def installed(home: Served, path: str = "/", **options: Any) -> AsyncIterator[Page]:
    """Yield a page whose service worker has kept the shell."""
    async with console(home, path, faultless=False, **options) as page:
        await expect(page.locator("main h1")).to_be_visible()
        await page.evaluate(CONTROLLED)
        yield page


async def test_chromium_finds_nothing_that_keeps_the_app_from_being_installed(tmp_path: Path) -> None:
    async with served(tmp_path) as home, installed(home) as page:
        devtools = await page.context.new_cdp_session(page)
        problems = (await devtools.send("Page.getInstallabilityErrors"))["installabilityErrors"]
        # each page of the tests is in a private window, where nothing can be installed
        assert [one["errorId"] for one in problems] == ["in-incognito"]
        found = await devtools.send("Page.getAppManifest")
        assert found["errors"] == []
        manifest = json.loads(found["data"])
        assert {icon.get("purpose", "any") for icon in manifest["icons"]} == {"any", "maskable"}


async def test_only_the_page_and_the_files_of_the_first_view_are_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as home, installed(home) as page:
        for path in ("/costs", "/health", "/permissions", "/terminals", "/"):
            await page.goto(home.node.console + path)
            await expect(page.locator("main h1")).to_be_visible()
        kept = await page.evaluate(KEPT)
        assert "/" in kept
        assert all(path == "/" or path.startswith("/assets/") for path in kept)
        assert not any("uplot" in path or "xterm" in path or "costs" in path for path in kept)


async def test_a_page_for_logging_in_is_not_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as home, installed(home) as page:
        await page.evaluate(
            "async () => { for (const name of await caches.keys()) await caches.delete(name); }"
        )
        await page.context.clear_cookies()
        await page.goto(home.node.console)
        assert "/" not in await page.evaluate(KEPT)
        await page.context.set_offline(True)
        with pytest.raises(Exception, match="ERR_"):
            await page.goto(home.node.console)


async def test_without_the_hub_the_app_opens_says_so_and_recovers_by_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as home, installed(home, width=360) as page:
        await page.context.set_offline(True)
        await page.goto(f"{home.node.console}/costs")
        await expect(page.locator("main h1")).to_have_text("The hub does not answer")
        await expect(page.get_by_text("The connection to the hub is lost.")).to_be_visible()
        await page.context.set_offline(False)
        await expect(page.get_by_role("heading", name="Costs", level=1)).to_be_visible(timeout=20_000)
        await expect(page.get_by_text("The connection to the hub is lost.")).to_have_count(0)


async def test_a_page_of_another_version_is_not_kept_and_its_worker_replaces_the_shell(
    tmp_path: Path, update: Callable[[], None]
) -> None:
    async with served(tmp_path) as home, installed(home) as page:
        update()
        await page.evaluate("() => navigator.serviceWorker.getRegistration().then((one) => one.update())")
        await expect(page.get_by_text("The hub was updated.")).to_be_visible()
        await page.evaluate(REPLACED, f"shell-{NEXT}")
        kept = await page.evaluate("() => caches.match('/').then((answer) => answer.text())")
        assert f'<meta name="version" content="{NEXT}">' in kept
        # the next view comes with the new page
        async with page.expect_navigation(url="**/costs"):
            await page.get_by_role("link", name="Costs").click()
        assert await page.evaluate("() => document.querySelector('meta[name=version]').content") == NEXT


async def test_a_view_whose_file_is_gone_loads_the_page_of_the_new_version(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, faultless=False) as page:
        await expect(page.locator("main h1")).to_be_visible()
        gone = asyncio.Event()

        async def missing(route: Route) -> None:
            await (route.continue_() if gone.is_set() else route.fulfill(status=404, body=""))
            gone.set()

        await page.context.route("**/assets/hub.*.js", missing)
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("heading", name="Health", level=1)).to_be_visible()
        assert gone.is_set()


async def test_the_navigation_leaves_the_space_to_a_keyboard_on_the_screen(tmp_path: Path) -> None:
    async with served(tmp_path) as home, console(home, "/peers/apollo", width=360, height=740) as page:
        navigation = page.get_by_role("navigation", name="Main")
        await expect(navigation).to_be_in_viewport(ratio=1)
        field = page.get_by_label("Name of a new session")
        await field.focus()
        await page.set_viewport_size({"width": 360, "height": 380})
        await expect(navigation).to_be_hidden()
        await expect(field).to_be_in_viewport()
        await page.set_viewport_size({"width": 360, "height": 740})
        await expect(navigation).to_be_visible()
