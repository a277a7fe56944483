"""One provider over HTTP: where it is, with which key it is called, and which of its addresses may be.

What is said to it, and what its answers mean, it does not know.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from rhetor.drivers.models import sdks
from rhetor.drivers.models.target import Provider
from rhetor.drivers.models.urls import Resolve, pinned

if TYPE_CHECKING:
    import aiohttp
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI
    from yarl import URL

ANTHROPIC_VERSION = "2023-06-01"
MAX_BODY = 1 << 24  # bytes of an answer that is read as a whole


class Request(NamedTuple):
    """A call. `path`: below the provider's base URL; `body`: JSON."""

    path: str
    body: bytes


class _Place(NamedTuple):
    """Where a request goes, and by which name it asks there (in TLS as well). `address`: the one that was
    checked, "" where none had to be."""

    url: URL
    headers: Mapping[str, str]
    tls_name: str | None
    address: str


class Client:
    """One provider's. Redirects are not followed, and a call is made once.

    `trust`: of https. `proxy`: a URL, which the environment names. `failures` is what calls, and reading
    their answers, raise: `provider_errors` makes sense of them.
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
        # a ValueError: a key that cannot stand in a header
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
        """The head of the answer, whatever it says; who has it closes it.

        Raises:
            Unprocessable: the provider is out of reach.
            one of `failures`: it is not reached.
        """
        place = await self._place(request.path)
        return await self._session.post(
            place.url,
            data=request.body,
            headers={"content-type": "application/json", **place.headers},
            allow_redirects=False,
            proxy=self._proxy,
            server_hostname=place.tls_name,
        )

    async def get(self, path: str, seconds: float) -> aiohttp.ClientResponse:
        """As `post`. `seconds`: for the connection, and for each wait after that."""
        import aiohttp

        place = await self._place(path)
        return await self._session.get(
            place.url,
            headers=place.headers,
            allow_redirects=False,
            proxy=self._proxy,
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
        """The SDK, where the provider speaks its language; `failures` has its errors from then on."""
        if self._provider.kind == "anthropic":
            return None
        self.failures = (*self.failures, *sdks.failures(self._provider))
        return sdks.openai_sdk(self._provider, self._connect_timeout, self._resolve, self._trust)

    @cached_property
    def anthropic(self) -> AsyncAnthropic | None:
        """As `openai`."""
        if self._provider.kind != "anthropic":
            return None
        self.failures = (*self.failures, *sdks.failures(self._provider))
        return sdks.anthropic_sdk(self._provider, self._connect_timeout, self._resolve, self._trust)

    async def _place(self, path: str) -> _Place:
        """The address that was checked is the one that is called, each time anew where there is a name."""
        place, reach = self._places.get(path), self._provider.reach
        if place is not None and place.address in ("", self._host):
            return place
        address = str(await pinned(self._host, reach, self._resolve)) if reach is not None else ""
        if place is None or place.address != address:
            place = self._places[path] = _place(
                self._provider.base_url.rstrip("/") + path, self._host, address
            )
        return place


def is_success(status: int) -> bool:
    """Redirects are none: nobody is to be sent elsewhere with a key."""
    return 200 <= status < 300


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """The body up to its end, or the first `MAX_BODY` bytes of it and a little more."""
    body = bytearray()
    while len(body) < MAX_BODY and (piece := await answer.content.readany()):
        body += piece
    return bytes(body)


def _key_headers(provider: Provider) -> dict[str, str]:
    """No key, no header for one."""
    if provider.kind == "anthropic":
        key = {"x-api-key": provider.key} if provider.key else {}
        return {"anthropic-version": ANTHROPIC_VERSION, **key}
    return {"authorization": f"Bearer {provider.key}"} if provider.key else {}


def _place(url: str, host: str, address: str) -> _Place:
    from yarl import URL

    asked = URL(url)
    # on this machine a server may listen on either of the two loopback addresses: both are tried
    if not address or host == "localhost":
        return _Place(asked, {}, None, address)
    name = f"[{host}]" if ":" in host else host
    authority = name if asked.is_default_port() else f"{name}:{asked.port}"
    tls_name = host if asked.scheme == "https" else None
    return _Place(asked.with_host(address), {"host": authority}, tls_name, address)
