"""The page `examples/front-end.html` in a browser, served as its users would serve it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.clients.browser import Page
from tests.clients.having import node_with_socketio

PAGE = Path(__file__).parents[2] / "examples" / "front-end.html"
LIBRARY = "node_modules/socket.io-client/dist/socket.io.min.js"


@asynccontextmanager
async def page_served(folder: Path) -> AsyncIterator[str]:
    """Serve the page and Socket.IO's client from the folder; yield the origin."""
    _, packages = node_with_socketio()
    shutil.copy(PAGE, folder)
    shutil.copy(packages / LIBRARY, folder)
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class FrontEnd:
    """What a user does with the page, and sees on it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self._origin = origin

    async def connect(self, url: str, token: str) -> None:
        await self.page.open(f"{self._origin}/front-end.html")
        await self.page.run(f"$('url').value = {json.dumps(url)}; $('token').value = {json.dumps(token)}")
        await self.page.run("$('connect').requestSubmit()")
        await self.page.until("$('state').textContent === 'connected'")

    async def create(self, peer: str) -> str:
        """Start a session, which the page then shows; return its id."""
        await self.page.run(f"open = null; $('peer').value = {json.dumps(peer)}; $('create').requestSubmit()")
        return str(await self.page.until("open && document.querySelector('#sessions .open') && open.id"))

    async def choose(self, session: str) -> None:
        await self.page.run(f"document.querySelector('[data-id=\"{session}\"]').click()")
        await self.page.until(f"open?.id === {json.dumps(session)}")

    async def send(self, content: str) -> None:
        await self.page.run(f"$('content').value = {json.dumps(content)}; $('send').requestSubmit()")

    async def answered(self, count: int = 1) -> None:
        """Wait until `count` turns of the session have ended."""
        await self.page.until(f"document.querySelectorAll('#transcript .end').length >= {count}")

    async def transcript(self) -> list[tuple[str, str]]:
        """Return the rows: the class and the text of each; of a tool, its name, status, input and result."""
        rows: list[list[str]] = await self.page.run(
            "[...$('transcript').children].map((row) => [row.className, row.call ? JSON.stringify("
            "[row.call.name, row.call.status, row.call.input, row.call.result]) : row.textContent])"
        )
        return [(kind, text) for kind, text in rows]

    async def transcript_of(self, session: str, turns: int = 1) -> list[tuple[str, str]]:
        """Show a session again, from its log; return its rows."""
        await self.choose(session)
        await self.answered(turns)
        return await self.transcript()

    async def request(self) -> dict[str, Any]:
        """Wait for a permission request; return its text and the names of its buttons."""
        await self.page.until("!$('request').hidden")
        found: dict[str, Any] = await self.page.run(
            "({text: $('request').innerText, buttons: [...$('request').querySelectorAll('button')].map("
            "(each) => each.textContent)})"
        )
        return found

    async def press(self, button: str) -> None:
        """Press a button of the request, and wait until the request has gone."""
        await self.page.run(
            "[...$('request').querySelectorAll('button')].find((each) => "
            f"each.textContent === {json.dumps(button)}).click()"
        )
        await self.page.until("$('request').hidden")
