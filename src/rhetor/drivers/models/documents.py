"""Fetches documents from URLs that a user has configured, or that such a document names, and the contents of
the URLs that a message has as parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from rhetor.domain import parts
from rhetor.drivers.base import Download
from rhetor.errors import Unprocessable

from .network import certificates
from .urls import Reach, Resolve, check_url, is_loopback, pin, resolved

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 256 << 10
SECONDS = 10.0
DOWNLOAD_SECONDS = 30.0
OK = 200
_IDENTITY = "identity"
_PLAIN = {"accept-encoding": _IDENTITY}  # a small compressed piece could become larger than the memory


async def document(url: str, *, allow_private: bool, resolve: Resolve = resolved) -> bytes:
    """Return the content of a URL, without following redirects. Over the network, it must be https.

    Raises:
        Unprocessable: the URL may not be called, or does not answer within 10 seconds with a document of at
            most 256 KiB.
    """
    if not url.startswith("https://") and not is_loopback(url):
        raise Unprocessable(f"{url} must begin with https://")
    limits = _Limits(MOST_BYTES, SECONDS, "application/json")
    content, _ = await _fetched(url, Reach(private=allow_private), limits, resolve)
    return content


async def download(url: str, *, loopback: bool, resolve: Resolve = resolved) -> Download:
    """Return the content of a URL with a public address, without following redirects. `loopback`: it may also
    be on this machine.

    Raises:
        Unprocessable: the URL may not be called, or does not answer within 30 seconds with at most 16 MiB.
    """
    limits = _Limits(parts.MOST_BYTES, DOWNLOAD_SECONDS, "*/*")
    content, media_type = await _fetched(url, Reach(loopback=loopback), limits, resolve)
    return Download(content, media_type, unquote(urlsplit(url).path.rpartition("/")[2])[:200])


class _Limits(NamedTuple):
    most_bytes: int
    seconds: float
    accept: str


async def _fetched(url: str, reach: Reach, limits: _Limits, resolve: Resolve) -> tuple[bytes, str]:
    """Return the content of a URL and its media type."""
    import httpx2

    await check_url(url, reach, resolve)

    async def prepare(request: httpx2.Request) -> None:
        await pin(request, reach, resolve)

    trusted = await asyncio.to_thread(certificates)
    try:
        async with (
            asyncio.timeout(limits.seconds),
            httpx2.AsyncClient(
                trust_env=False, verify=trusted, timeout=limits.seconds, event_hooks={"request": [prepare]}
            ) as client,
            client.stream("GET", url, headers={"accept": limits.accept, **_PLAIN}) as response,
        ):
            if response.status_code != OK:
                raise Unprocessable(f"{url} answered with status {response.status_code}")
            if (coding := response.headers.get("content-encoding", _IDENTITY)) != _IDENTITY:
                raise Unprocessable(f"{url} answered with {coding[:100]}, although that was not asked for")
            content = await _content(response, url, limits.most_bytes)
            return content, response.headers.get("content-type", "")
    except (httpx2.HTTPError, TimeoutError) as error:
        raise Unprocessable(f"{url} cannot be read: {type(error).__name__} {error}") from error


async def _content(response: httpx2.Response, url: str, most: int) -> bytes:
    found = bytearray()
    async for piece in response.aiter_raw():
        found += piece
        if len(found) > most:
            raise Unprocessable(f"{url} has more than {most} bytes")
    return bytes(found)
