"""The HTTP client of one provider: its URL, its key, and the addresses that may be called.

It does not know what requests and answers contain.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from rhetor.drivers.base import HOPS, HOPS_HEADER
from rhetor.drivers.models import sdks
from rhetor.drivers.models.target import Provider
from rhetor.drivers.models.urls import Address, Resolve, pinned

if TYPE_CHECKING:
    import aiohttp
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI
    from yarl import URL

ANTHROPIC_VERSION = "2023-06-01"
MAX_BODY = 1 << 24  # bytes of an answer that is read as a whole
_JSON = {"content-type": "application/json"}


class Request(NamedTuple):
    """A POST request. `path` follows the provider's base URL; `body` is JSON. `headers`: besides those of all
    requests."""

    path: str
    body: bytes
    headers: Mapping[str, str] | None = None


class _Place(NamedTuple):
    """Where a request goes. If the URL has the host's address instead of its name, `headers` include the
    name, and `tls_name` is the name for TLS to verify. `address` is the checked address, "" if no check is
    needed. `is_here`: it is one of this machine, which is not called through a proxy."""

    url: URL
    headers: Mapping[str, str]
    json_headers: Mapping[str, str]
    tls_name: str | None
    address: str
    is_here: bool


class Client:
    """The connections to one provider. Redirects are not followed, and calls are not repeated.

    `connect_timeout`: seconds. `trust`: the certificates for https; None for the defaults. `proxy`: the URL
    of a proxy. `failures`: the exceptions that are raised by calls and by reading answers; `errors.py` turns
    them into typed ones.
    """

    def __init__(
        self,
        provider: Provider,
        connect_timeout: float,
        resolve: Resolve,
        trust: ssl.SSLContext | None,
        proxy: str | None,
    ) -> None:
        import aiohttp

        self._provider = provider
        self._connect_timeout = connect_timeout
        self._resolve = resolve
        self._trust = trust
        self._proxy = proxy
        # ValueError: a key that is not valid in a header
        self.failures: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, ValueError)
        self._host = urlsplit(provider.base_url).hostname or ""
        self._places: dict[str, _Place] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=sdks.MAX_CONNECTIONS, keepalive_timeout=sdks.KEPT_ALIVE, ssl=trust or True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "tekton-aish", **_key_headers(provider)},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
        )

    async def post(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request and return the response, whatever its status. The caller must close it.

        Raises:
            Unprocessable: the provider's address may not be called.
            one of `failures`: the provider could not be reached.
        """
        place = await self._place(request.path)
        return await self._session.post(
            place.url,
            data=request.body,
            headers=self._headers(place, request),
            allow_redirects=False,
            proxy=None if place.is_here else self._proxy,
            server_hostname=place.tls_name,
        )

    def _headers(self, place: _Place, request: Request) -> Mapping[str, str]:
        hops = HOPS.get() if self._provider.reach is not None else 0
        if not (hops or request.headers):
            return place.json_headers
        told = {HOPS_HEADER: str(hops)} if hops else {}
        return {**place.json_headers, **(request.headers or {}), **told}

    async def get(self, path: str, seconds: float) -> aiohttp.ClientResponse:
        """Do the same as `post`, for GET. `seconds` limits the time to connect and each read after that."""
        import aiohttp

        place = await self._place(path)
        return await self._session.get(
            place.url,
            headers=place.headers,
            allow_redirects=False,
            proxy=None if place.is_here else self._proxy,
            server_hostname=place.tls_name,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds),
        )

    async def aclose(self) -> None:
        await self._session.close()
        for sdk in (self.__dict__.get("openai"), self.__dict__.get("anthropic")):
            if sdk is not None:
                await sdk.close()

    @cached_property
    def openai(self) -> AsyncOpenAI | None:
        """The OpenAI SDK, or None if the provider has another API. Adds the SDK's errors to `failures`."""
        if self._provider.kind == "anthropic":
            return None
        self.failures = (*self.failures, *sdks.failures(self._provider))
        return sdks.openai_sdk(self._provider, self._connect_timeout, self._resolve, self._trust, self._proxy)

    @cached_property
    def anthropic(self) -> AsyncAnthropic | None:
        """The Anthropic SDK, or None if the provider has another API. Adds the SDK's errors to `failures`."""
        if self._provider.kind != "anthropic":
            return None
        self.failures = (*self.failures, *sdks.failures(self._provider))
        return sdks.anthropic_sdk(
            self._provider, self._connect_timeout, self._resolve, self._trust, self._proxy
        )

    async def _place(self, path: str) -> _Place:
        """Return where a request for `path` goes. A name that must be checked is resolved every time, and the
        checked address is called."""
        place, reach = self._places.get(path), self._provider.reach
        if place is not None and place.address in ("", self._host):
            return place
        checked = await pinned(self._host, reach, self._resolve) if reach is not None else None
        if place is None or place.address != str(checked or ""):
            url = self._provider.base_url.rstrip("/") + path
            place = self._places[path] = _place(url, self._host, checked)
        return place


def is_success(status: int) -> bool:
    """Return whether the status is 2xx. A redirect is a failure: the key must not be sent elsewhere."""
    return 200 <= status < 300


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body, or about its first `MAX_BODY` bytes."""
    body = bytearray()
    while len(body) < MAX_BODY and (piece := await answer.content.readany()):
        body += piece
    return bytes(body)


def _key_headers(provider: Provider) -> dict[str, str]:
    """Return the headers that every request needs: the key, if there is one, and Anthropic's API version."""
    if provider.kind == "anthropic":
        key = {"x-api-key": provider.key} if provider.key else {}
        return {"anthropic-version": ANTHROPIC_VERSION, **key}
    return {"authorization": f"Bearer {provider.key}"} if provider.key else {}


def _place(url: str, host: str, checked: Address | None) -> _Place:
    from yarl import URL

    asked, address = URL(url), str(checked or "")
    is_here = checked is not None and checked.is_loopback
    # a local server may listen on either loopback address, so the client tries both
    if not address or host == "localhost":
        return _Place(asked, {}, _JSON, None, address, is_here)
    name = f"[{host}]" if ":" in host else host
    authority = name if asked.is_default_port() else f"{name}:{asked.port}"
    tls_name = host if asked.scheme == "https" else None
    headers = {"host": authority}
    return _Place(asked.with_host(address), headers, headers | _JSON, tls_name, address, is_here)
