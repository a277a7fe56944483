"""Posts notifications over HTTP, to checked addresses only."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rhetor.domain.notification import NotDelivered
from rhetor.drivers.models.network import ProxyUnsupported, certificates, proxy_for
from rhetor.drivers.models.urls import Reach, Resolve, pinned
from rhetor.errors import Unprocessable

if TYPE_CHECKING:
    from yarl import URL

SECONDS = 10.0  # for one attempt, from the name's resolution to the status
USER_AGENT = "tekton-aish"


async def post(url: str, reach: Reach, resolve: Resolve, headers: Mapping[str, str], body: bytes) -> None:
    """Send a POST request. Redirects are not followed, because a signature or a token must not go elsewhere.

    Raises:
        NotDelivered: the address is not allowed, or there is no 2xx status within `SECONDS`.
    """
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(SECONDS):
            status = await _status(url, host, reach, resolve, headers, body)
    except TimeoutError:
        raise NotDelivered(f"{host} did not answer within {SECONDS:g} s") from None
    except Unprocessable as error:
        raise NotDelivered(error.detail, _hint(error)) from error
    except ProxyUnsupported as error:
        raise NotDelivered(str(error)) from error
    if not 200 <= status < 300:
        raise NotDelivered(f"{host} answered with status {status}")


async def _status(
    url: str, host: str, reach: Reach, resolve: Resolve, headers: Mapping[str, str], body: bytes
) -> int:
    address = await pinned(host, reach, resolve)
    trust, proxy = await asyncio.to_thread(_prepared, url)
    import aiohttp
    from yarl import URL

    asked = URL(url)
    more: dict[str, Any] = {}
    if host != "localhost":  # such a server may listen on either loopback address, so both are tried
        more = {"server_hostname": host} if asked.scheme == "https" else {}
        headers = {**headers, "host": _authority(asked)}
        asked = asked.with_host(str(address))
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trust or True, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": USER_AGENT},
            ) as session,
            session.post(
                asked,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=None if address.is_loopback else proxy,
                **more,
            ) as response,
        ):
            return response.status
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: an invalid header
        raise NotDelivered(f"{host} cannot be reached: {_reason(error)}") from error


def _authority(url: URL) -> str:
    host = url.host or ""
    name = f"[{host}]" if ":" in host else host
    return name if url.is_default_port() else f"{name}:{url.port}"


def _prepared(url: str) -> tuple[ssl.SSLContext | None, str | None]:
    """Import the HTTP library, and return the certificates for https and the proxy. This takes time.

    Raises:
        ProxyUnsupported: the proxy for this URL cannot be used.
    """
    import aiohttp  # noqa: F401

    proxy = proxy_for(url)
    return certificates() if url.startswith("https:") else None, proxy


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    words = os.strerror(number) if isinstance(number, int) and number > 0 else str(cause)
    return words or type(cause).__name__


def _hint(error: Unprocessable) -> str:
    return "set allow_private: true in this entry of notify" if error.data.get("private") else ""
