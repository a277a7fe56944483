"""The routes of the web console: its page at the path of every view, and its files."""

from __future__ import annotations

import asyncio
import gzip

from starlette.responses import Response

from rhetor.auth.policy import Policy
from rhetor.errors import NotFound
from rhetor.transports.rest.responses import Html
from rhetor.transports.server.call import Call
from rhetor.transports.server.router import Route

from .assets import Asset, assets, compressed
from .page import manifest, page, service_worker

WORKER_POLICY = "default-src 'none'; connect-src 'self'; frame-ancestors 'none'"
FOREVER = "public, max-age=31536000, immutable"


async def view(call: Call) -> Response:
    """Return the page of the console. The view and its data are up to the browser."""
    return await _page(inline_styles=False)


async def view_of_one(call: Call, id: str) -> Response:
    """Return the same page for a view of one session or one peer."""
    return await _page(inline_styles=False)


async def terminals(call: Call) -> Response:
    """Return the page for views with terminals."""
    return await _page(inline_styles=True)


async def terminal(call: Call, id: str) -> Response:
    """Return the same page for one terminal."""
    return await _page(inline_styles=True)


async def _page(*, inline_styles: bool) -> Response:
    found = await asyncio.to_thread(page, inline_styles=inline_styles)  # the first one reads all files
    headers = {"cache-control": "no-store", "content-security-policy": found.policy}
    return Response(found.html, headers=headers, media_type="text/html")


async def file(call: Call, name: str) -> Response:
    """Return a file of the console by its name with a digest, which browsers may keep for ever.

    Raises:
        NotFound: there is no such file in this version of the hub.
    """
    asset = assets().find(name)
    if asset is None:
        raise NotFound("file of the console", name)
    return await _file(call, asset)


async def _file(call: Call, asset: Asset) -> Response:
    content = await asyncio.to_thread(compressed, asset)
    headers = {"cache-control": FOREVER, "content-type": asset.media_type, "vary": "Accept-Encoding"}
    if "gzip" in call.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, headers=headers)


async def app_manifest(call: Call) -> Response:
    """Return the web app manifest."""
    return Response(manifest(), headers={"cache-control": "no-cache"}, media_type="application/manifest+json")


async def worker(call: Call) -> Response:
    """Return the service worker, which browsers compare with the one that they have. Its policy holds for
    what it fetches itself, so that of other responses would not let it be installed."""
    headers = {"cache-control": "no-cache", "content-security-policy": WORKER_POLICY}
    return Response(service_worker(), headers=headers, media_type="text/javascript")


# fmt: off
VIEWS = (
    *(Route("GET", path, Policy.READ, view, answer=Html) for path in (
        "/", "/peers", "/sessions", "/line", "/permissions", "/search", "/costs", "/settings", "/health")),
    *(Route("GET", path, Policy.READ, view_of_one, answer=Html) for path in (
        "/peers/{id}", "/sessions/{id}", "/sessions/{id}/timeline", "/sessions/{id}/log")),
    Route("GET", "/terminals", Policy.READ, terminals, answer=Html),
    Route("GET", "/terminals/{id}", Policy.READ, terminal, answer=Html),
)
ROUTES = (
    *VIEWS,
    Route("GET", "/assets/{name}", Policy.PUBLIC, file, answer=bytes, errors=(NotFound,), takes_rest=True),
    Route("GET", "/manifest.webmanifest", Policy.PUBLIC, app_manifest, answer=bytes),
    Route("GET", "/service-worker.js", Policy.PUBLIC, worker, answer=bytes),
)
# fmt: on
