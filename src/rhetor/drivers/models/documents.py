"""Fetches small documents from URLs that a user has configured, or that such a document names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rhetor.errors import Unprocessable

from .network import certificates
from .urls import Reach, Resolve, check_url, is_loopback, pin, resolved

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 256 << 10
SECONDS = 10.0
OK = 200


async def document(url: str, *, allow_private: bool, resolve: Resolve = resolved) -> bytes:
    """Return the content of a URL, without following redirects. Over the network, it must be https.

    Raises:
        Unprocessable: the URL may not be called, or does not answer within 10 seconds with a document of at
            most 256 KiB.
    """
    import httpx2

    if not url.startswith("https://") and not is_loopback(url):
        raise Unprocessable(f"{url} must begin with https://")
    reach = Reach(private=allow_private)
    await check_url(url, reach, resolve)

    async def prepare(request: httpx2.Request) -> None:
        await pin(request, reach, resolve)

    trusted = await asyncio.to_thread(certificates)
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx2.AsyncClient(
                trust_env=False, verify=trusted, timeout=SECONDS, event_hooks={"request": [prepare]}
            ) as client,
            client.stream("GET", url, headers={"accept": "application/json"}) as response,
        ):
            if response.status_code != OK:
                raise Unprocessable(f"{url} answered with status {response.status_code}")
            return await _content(response, url)
    except (httpx2.HTTPError, TimeoutError) as error:
        raise Unprocessable(f"{url} cannot be read: {type(error).__name__} {error}") from error


async def _content(response: httpx2.Response, url: str) -> bytes:
    found = bytearray()
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) > MOST_BYTES:
            raise Unprocessable(f"{url} has more than {MOST_BYTES} bytes")
    return bytes(found)
