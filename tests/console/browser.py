"""The console in a headless Chromium, which Playwright drives, logged in to a hub."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright, expect
from tests.at_end import AT_END
from tests.clients.browser import FLAGS, SAYS
from tests.clients.having import BROWSERS
from tests.needs import needs
from tests.served import SECONDS, Served

expect.set_options(timeout=SECONDS * 1000)  # a limit for hanging tests
# of the browser itself, for answers that a view shows
_EXPECTED = ("Failed to load resource: the server responded with a status of",)


@dataclass
class Faults:
    """What must not happen in a page: errors of its scripts, and violations of its policy."""

    found: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                self.found.append(f"{message.type}: {message.text}")
                if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED)
                else None
            ),
        )


@cache
def _address() -> str:
    """Start Chromium once per process of the tests, and return the address at which it is controlled."""
    profile = tempfile.mkdtemp(prefix="console-")
    command = [needs(*BROWSERS), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # it may be a script that starts the browser
    )
    assert process.stderr is not None
    reader = threading.Thread(target=process.stderr.read, daemon=True)  # it never waits for a reader
    AT_END.callback(_end, process, reader, profile)
    for line in process.stderr:
        if line.startswith(SAYS):
            reader.start()
            return line.removeprefix(SAYS).strip()
    raise AssertionError("the browser did not start")


def _end(process: subprocess.Popen[str], reader: threading.Thread, profile: str) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if reader.ident:  # it was started
        reader.join()
    if process.stderr:
        process.stderr.close()
    shutil.rmtree(profile, ignore_errors=True)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Yield the browser, in which each page has a context of its own."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(_address())


@asynccontextmanager
async def console(
    home: Served,
    path: str = "/",
    *,
    browser: Browser | None = None,
    width: int = 1200,
    height: int = 800,
    colors: Literal["light", "dark"] = "light",
    faultless: bool = True,
) -> AsyncIterator[Page]:
    """Yield a page that has logged in to the hub and shows the view at `path`. At the end, the page must have
    had no errors and must not have violated its policy, unless `faultless` is False."""
    if browser is None:
        async with (
            chromium() as own,
            console(
                home, path, browser=own, width=width, height=height, colors=colors, faultless=faultless
            ) as page,
        ):
            yield page
        return
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=colors, reduced_motion="reduce"
    )
    faults = Faults()
    try:
        page = await context.new_page()
        faults.watch(page)
        await page.goto((await home.ask("POST", "/api/auth/code")).json["url"])
        if path != "/":
            await page.goto(f"{home.node.console}{path}")
        yield page
    finally:
        await context.close()
    assert not faultless or not faults.found, "\n".join(faults.found)


@asynccontextmanager
async def linked(link: str, path: str = "/") -> AsyncIterator[Page]:
    """Yield a page that has logged in with a link of `aish console`, and shows the view at `path`. It must
    have had no errors and must not have violated its policy."""
    faults = Faults()
    async with chromium() as browser:
        context = await browser.new_context(viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
        try:
            page = await context.new_page()
            faults.watch(page)
            await page.goto(link)
            await page.goto(page.url.rstrip("/") + path)
            yield page
        finally:
            await context.close()
    assert not faults.found, "\n".join(faults.found)
