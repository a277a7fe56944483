"""Requests to the hub over HTTP: asked again where that is safe, refused with a typed error."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from rhetor.domain.provider_variables import provider_variables

from .errors import Denied, HubError, HubUnreachable, error_of
from .place import Place
from .retry import Patience

_SAFE = frozenset({"GET", "PUT", "DELETE"})
_COMES_BACK = "shutting_down"
_JSON = "application/json"


class Requests:
    """`patience`: seconds that a request waits for a hub that is away."""

    def __init__(self, place: Place, http: aiohttp.ClientSession, patience: float | None) -> None:
        self._place = place
        self._http = http
        self._patience = patience

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, prefer: str = ""
    ) -> Any:
        """As `reply`, without the headers."""
        value, _ = await self.reply(method, path, body, key=key, prefer=prefer)
        return value

    async def reply(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, prefer: str = ""
    ) -> tuple[Any, Mapping[str, str]]:
        """The answer, and its headers by their names in small letters: JSON as a value, other text as `str`,
        anything else as `bytes`.

        Where the connection breaks it is asked again if that cannot do anything twice: it only reads, or it
        has an idempotency `key`, or nothing was sent.

        Raises:
            HubUnreachable: there is no hub, or what it did is not known.
            HubError: it refuses.
        """
        headers = {"Idempotency-Key": key} if key else {}
        if prefer:
            headers["Prefer"] = prefer
        patience = Patience(self._patience)
        while True:
            try:
                return await self._asked(method, path, body, headers)
            except HubUnreachable as away:
                if not (key or method in _SAFE or away.retryable):
                    raise
                await patience.pause(away)
                await self._start()
            except HubError as refused:
                if refused.code == _COMES_BACK:
                    await patience.pause(refused)
                elif refused.code == "environment_differs":
                    await self._hand_over_environment()
                else:
                    raise

    async def _asked(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[Any, Mapping[str, str]]:
        if self._http.closed:
            raise Denied("this connection to the hub was closed", "closed")
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            url = self._place.url + path
            async with self._http.request(method, url, data=data, headers=headers) as response:
                said = {name.lower(): text for name, text in response.headers.items()}
                return _value(await response.read(), response.status, said.get("content-type", _JSON)), said
        except aiohttp.ClientConnectorError as error:
            raise HubUnreachable(f"the hub cannot be reached: {error}", retryable=True) from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise HubUnreachable(f"the hub broke off: {str(error) or type(error).__name__}") from error

    async def _start(self) -> None:
        if self._place.starts:
            await self._place.start()

    async def _hand_over_environment(self) -> None:
        await self.ask("PUT", "/api/v2/environment", {"variables": provider_variables()})


def new_key() -> str:
    """An idempotency key that nobody else has."""
    return secrets.token_hex(16)


def path(*segments: str) -> str:
    """A path of the API; each segment may be any text."""
    return "/api/v2/" + "/".join(quote(segment, safe="@") for segment in segments)


def _value(content: bytes, status: int, content_type: str) -> Any:
    try:
        value = _read(content, _JSON if status >= 400 else content_type.partition(";")[0].strip().lower())
    except ValueError as error:
        if status < 400:
            raise HubUnreachable("what answers there is no hub") from error
        value = None
    if status >= 400:
        raise error_of(value if isinstance(value, dict) else {}, status)
    return value


def _read(content: bytes, kind: str) -> Any:
    if kind == _JSON or kind.endswith("+json"):
        return msgspec.json.decode(content) if content else None
    if kind == "text/html":
        raise ValueError("a page of some other server")
    return content.decode() if kind.startswith("text/") else content
