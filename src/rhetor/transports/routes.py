"""A route with a lock: it cannot be made without saying who may use it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from rhetor.auth.policy import Policy, require
from rhetor.domain.command import Principal
from rhetor.errors import Malformed, UnsupportedMedia

POLICY = "x-policy"


class StrictRequest(Request):
    """JSON is read by a parser that takes what RFC 8259 says, and no more."""

    async def body(self) -> bytes:
        body = await super().body()
        if body and not _is_json(self.headers.get("content-type", "")):
            raise UnsupportedMedia(self.headers.get("content-type", ""))
        return body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = decode(await self.body())
        return self._json


def decode(body: bytes) -> Any:
    """Raises:
    Malformed: it is not JSON, is nested too deep, has half a surrogate pair, or names a member twice."""
    try:
        value = msgspec.json.decode(body)
        msgspec.json.encode(value)
        _UNIQUE.decode(body.decode())
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deep") from error
    return value


def _once(members: list[tuple[str, Any]]) -> None:
    """Which of two would count, each parser decides for itself (RFC 8259, 4): so none does here."""
    if len(members) > 1 and len(dict(members)) < len(members):
        twice = Counter(name for name, _ in members).most_common(1)[0][0]
        raise Malformed(f"the member {twice[:100]!r} is there twice")


_UNIQUE = json.JSONDecoder(object_pairs_hook=_once)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


class LockedRoute(APIRoute):
    """Keeps its policy where the API's description shows it too, and checks it before the body is read."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = options.get("openapi_extra") or {}
        if POLICY not in extra:
            raise TypeError(f"route {path} declares no policy")
        self.policy = Policy(extra[POLICY])
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def locked(request: Request) -> Response:
            require(self.policy, request.state.principal)
            return await handle(StrictRequest(request.scope, request.receive))

        return locked


class Doors(APIRouter):
    """Routes by their policy: `@doors.on("POST", "/path", Policy.USER)`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=LockedRoute, **options)

    def on(
        self, method: str, path: str, policy: Policy, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self.api_route(path, methods=[method], openapi_extra={POLICY: policy.value}, **options)


async def principal(request: Request) -> Principal:
    """Who asks; the gate put it there. Without `async` FastAPI would go to a thread for it."""
    who = request.state.principal
    assert isinstance(who, Principal)
    return who
