"""A headless browser, controlled over the Chrome DevTools Protocol 1.3."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-port=0",
)
START_SECONDS = 60.0
SAYS = "DevTools listening on "


class Page:
    """One page. Calls run one after the other."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._session: str | None = None
        self._last = 0

    async def open(self, url: str) -> None:
        """Open the URL, and wait until the page is loaded."""
        target = await self._ask("Target.createTarget", url="about:blank")
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self._ask("Page.enable")
        # the tests run scripts in pages of the hub that may connect to nothing themselves
        await self._ask("Page.setBypassCSP", enabled=True)
        navigated = await self._ask("Page.navigate", url=url)
        assert "errorText" not in navigated, navigated
        await self._until(lambda said: said.get("method") == "Page.loadEventFired")

    async def run(self, script: str) -> Any:
        """Run a script, and return the result of its promise."""
        found = await self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until the expression is true, and return its value. It is evaluated when the page changes."""
        return await self.run(f"""new Promise((done) => {{
            const look = () => {{
                const found = ({expression});
                if (found) {{ watching.disconnect(); done(found); }}
            }};
            const watching = new MutationObserver(look);
            const all = {{ subtree: true, childList: true, characterData: true, attributes: true }};
            watching.observe(document, all);
            look();
        }})""")

    async def _ask(self, method: str, **params: Any) -> Any:
        self._last += 1
        call: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            call["sessionId"] = self._session
        await self._socket.send(json.dumps(call))
        reply = await self._until(lambda said: said.get("id") == self._last)
        assert "error" not in reply, reply
        return reply["result"]

    async def _until(self, wanted: Any) -> Any:
        while True:
            said = json.loads(await self._socket.recv())
            if wanted(said):
                return said


@asynccontextmanager
async def browsing(program: str, folder: Path) -> AsyncIterator[Page]:
    """Yield a page of a browser with an empty profile."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        program,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        "about:blank",
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with connect(await _address(process), max_size=None) as socket:
            yield Page(socket)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = list[str]()
    async with asyncio.timeout(START_SECONDS):
        async for line in process.stderr:
            said.append(line.decode(errors="replace").strip())
            if said[-1].startswith(SAYS):
                return said[-1].removeprefix(SAYS)
    raise AssertionError(f"the browser did not start: {said}")
