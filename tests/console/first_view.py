"""Measures how soon the first view can be used, in a browser that has no file of the console yet."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.async_api import Browser, Request
from tests.callers import logged_in
from tests.served import CONSOLE, Served

# It looks at each frame: when the peers are listed, it clicks a link of the navigation, and when the link is
# the current one, the view answers. The time begins with the navigation.
WATCH = """{
  let isClicked = false;
  const frame = () => {
    const link = document.querySelector('nav a[href="/permissions"]');
    if (link?.getAttribute("aria-current") === "page") return void (window.interactive_ = performance.now());
    if (!isClicked && link && document.querySelector("main .peer")) {
      isClicked = true;
      link.click();
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


@dataclass(frozen=True)
class FirstView:
    """`seconds`: from the start of the navigation until the peers are listed and a click on a link is
    answered. `files`: the paths of the files that were loaded until then, each as often as it was."""

    seconds: float
    files: list[str]


async def first_view(browser: Browser, home: Served) -> FirstView:
    """Open the console in a browser that is logged in and has an empty cache."""
    cookie = (await logged_in(home))["cookie"].partition("=")
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    try:
        await context.add_cookies(
            [{"name": cookie[0], "value": cookie[2], "domain": CONSOLE, "path": "/", "httpOnly": True}]
        )
        page = await context.new_page()
        files: list[str] = []

        def note(request: Request) -> None:
            path = request.url.removeprefix(home.node.console)
            if path.startswith("/assets/"):
                files.append(path)

        page.on("request", note)
        await page.add_init_script(WATCH)
        await page.goto(f"{home.node.console}/")
        await page.wait_for_function("() => window.interactive_")
        seconds: float = await page.evaluate("() => window.interactive_") / 1000
        return FirstView(seconds, files)
    finally:
        await context.close()
