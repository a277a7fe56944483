"""A plain aiohttp proxy in front of the scripted provider, which shows the least that a gateway costs.

    python -m bench.raw_proxy URL

It prints its port, sends each POST on to URL, and returns the answer in the chunks in which it arrives.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop
from aiohttp import ClientSession, TCPConnector, web

from bench.process import ROOT


@dataclass(frozen=True, slots=True)
class RawProxy:
    pid: int
    port: int


@contextmanager
def running_raw_proxy(url: str) -> Iterator[RawProxy]:
    """Run the proxy in front of the provider at `url`, in a process of its own, while the context is open."""
    command = [sys.executable, "-m", "bench.raw_proxy", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            yield RawProxy(proxy.pid, int(proxy.stdout.readline()))
        finally:
            proxy.terminate()


async def serve(url: str) -> None:
    async with ClientSession(connector=TCPConnector(limit=0), auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
            body = await request.read()
            async with session.post(url + request.path, data=body, headers=headers) as answer:
                response = web.StreamResponse(
                    status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
                )
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response

        app = web.Application()
        app.router.add_post("/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
