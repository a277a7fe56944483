"""Requests to the hub over HTTP. They are repeated if that is safe, and fail with a typed exception."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from rhetor.domain.provider_variables import provider_variables

from .endpoint import Endpoint
from .errors import Denied, HubError, HubUnreachable, error_of, unreachable
from .retry import Backoff

_SAFE = frozenset({"GET", "PUT", "DELETE"})
_NOT_EXECUTED = frozenset({"shutting_down", "fence_lost", "stream_elsewhere"})
_OUTCOME_UNKNOWN = frozenset({"commit_unresolved", "node_lost"})
_JSON = "application/json"


class Requests:
    """Sends requests to one hub. If the hub cannot be reached, a request waits for it at most
    `reconnect_timeout` seconds. None means no limit."""

    def __init__(
        self, endpoint: Endpoint, http: aiohttp.ClientSession, reconnect_timeout: float | None
    ) -> None:
        self._endpoint = endpoint
        self.url = endpoint.url
        self.http = http
        self.reconnect_timeout = reconnect_timeout

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, prefer: str = ""
    ) -> Any:
        """Send a request, and return the value of the response; see `reply`."""
        value, _ = await self.reply(method, path, body, key=key, prefer=prefer)
        return value

    async def reply(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, prefer: str = ""
    ) -> tuple[Any, Mapping[str, str]]:
        """Send a request; return the value of the response, and its headers with names in lower case.

        JSON is returned as a value, other text as `str`, and anything else as `bytes`. If the connection
        breaks, or the hub or one of its nodes stops, the request is repeated only if that is safe: it only
        reads, it has an idempotency `key`, or it was not executed.

        Raises:
            HubUnreachable: there is no hub, or the outcome of the request is unknown.
            HubError: the hub rejects the request.
        """
        headers = {"Idempotency-Key": key} if key else {}
        if prefer:
            headers["Prefer"] = prefer
        backoff = Backoff(self.reconnect_timeout)
        is_safe = bool(key) or method in _SAFE
        while True:
            try:
                return await self._send(method, path, body, headers)
            except HubUnreachable as error:
                if not (is_safe or error.retryable):
                    raise
                await backoff.pause(error)
                await self._start()
            except HubError as error:
                if error.code in _NOT_EXECUTED or (is_safe and error.code in _OUTCOME_UNKNOWN):
                    await backoff.pause(error)
                elif error.code == "environment_differs":
                    await self._send_environment()
                else:
                    raise

    async def _send(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[Any, Mapping[str, str]]:
        if self.http.closed:
            raise Denied("this connection to the hub was closed", "closed")
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            url = self._endpoint.url + path
            async with self.http.request(method, url, data=data, headers=headers) as response:
                headers = {name.lower(): text for name, text in response.headers.items()}
                content_type = headers.get("content-type", _JSON)
                return _value(await response.read(), response.status, content_type), headers
        except aiohttp.ClientConnectorError as error:
            raise unreachable(error, retryable=True) from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            reason = str(error) or type(error).__name__
            raise HubUnreachable(f"lost the connection to the hub, outcome unknown: {reason}") from error

    async def _start(self) -> None:
        if self._endpoint.starts:
            await self._endpoint.start()

    async def _send_environment(self) -> None:
        await self.ask("PUT", "/api/v2/environment", {"variables": provider_variables()})


def new_key() -> str:
    """Return a new idempotency key."""
    return secrets.token_hex(16)


def path(*segments: str) -> str:
    """Return a path of the API. A segment may be any text."""
    return "/api/v2/" + "/".join(quote(segment, safe="@") for segment in segments)


def _value(content: bytes, status: int, content_type: str) -> Any:
    try:
        value = _read(content, _JSON if status >= 400 else content_type.partition(";")[0].strip().lower())
    except ValueError as error:
        if status < 400:
            raise HubUnreachable("something other than rhetor answered at the hub's address") from error
        value = None
    if status >= 400:
        raise error_of(value if isinstance(value, dict) else {}, status)
    return value


def _read(content: bytes, kind: str) -> Any:
    if kind == _JSON or kind.endswith("+json"):
        return msgspec.json.decode(content) if content else None
    if kind == "text/html":
        raise ValueError("not a response from the hub")
    return content.decode() if kind.startswith("text/") else content
