"""Bodies of requests and responses: counted, limited in size and in time, or left out.

The functions take and return the `receive` and `send` of ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rhetor.auth.credentials import Credential
from rhetor.domain.principal import Principal
from rhetor.errors import RequestTimeout, TooLarge

from .flow import BODY_BYTES, EXTENSION, LARGER_BODIES
from .headers import with_policy
from .held_bytes import Share
from .rates import ByteRates

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_SECONDS = 60.0


def refuse_large(scope: Scope) -> None:
    """Reject a body whose stated length is more than it may have, before it is read."""
    length = next((v for k, v in scope["headers"] if k.lower() == b"content-length"), b"0")
    if length.isdigit() and int(length) > BODY_BYTES and int(length) > (most := _most_bytes(scope)):
        raise TooLarge("the body", most)


def _most_bytes(scope: Scope) -> int:
    return LARGER_BODIES.get(scope["path"], BODY_BYTES)


def bodiless(send: Send) -> Send:
    """Return a `send` that sends the head of a response, and leaves out the body."""

    async def bodiless_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return bodiless_send


def counted(send: Send, state: MutableMapping[str, Any], scope: Scope) -> Send:
    """Return a `send` that counts what is sent, adds a policy for the content if the response has none,
    and closes the connection after the response if the body of the request was not read."""
    server = scope["extensions"][EXTENSION]

    async def counted_send(message: Message) -> None:
        if "began" not in state:
            state["began"] = True
            has_length = b"content-length" in [name for name, _ in message["headers"]]
            server.answering(scope, in_pieces=not has_length)
            message = with_policy(message)
        if body := message.get("body"):
            state["traffic"].sent += len(body)
        await send(message)

    return counted_send


def bounded(
    receive: Receive,
    scope: Scope,
    share: Share,
    is_here: Callable[[], bool],
    rates: ByteRates,
) -> Receive:
    """Return a `receive` that limits a body to what it may have, even if it does not state its length, the
    time for the whole body to `BODY_SECONDS`, all bodies together to what `share` is a part of, and those of
    the caller to `rates`. `is_here`: whether the rest of the body has already arrived. If not, the credential
    may end before it does."""
    state, most = scope["state"], _most_bytes(scope)
    who: Principal | None = state["principal"]
    credential: Credential | None = state["credential"]
    limited = who.subject if who is not None and who.is_limited else None
    taken, whole = 0, False
    ends = asyncio.get_running_loop().time() + BODY_SECONDS

    async def bounded_receive() -> Message:
        nonlocal taken, whole
        if whole:
            return await receive()
        if is_here():
            message = await receive()
        else:
            message = await _in_time(receive, ends)
            if credential is not None and (fault := credential.fault()) is not None:
                raise fault
        size = len(message.get("body", b""))
        state["traffic"].received += size
        if size and limited is not None:
            now = asyncio.get_running_loop().time()
            if not taken:
                rates.check(limited, now)
            rates.note(limited, size, now)
        taken += size
        share.grow(size)
        if taken > most:
            raise TooLarge("the body", most)
        whole = not message.get("more_body", False)
        return message

    return bounded_receive


async def _in_time(receive: Receive, ends: float) -> Message:
    try:
        async with asyncio.timeout_at(ends):
            return await receive()
    except TimeoutError:
        raise RequestTimeout("the body", BODY_SECONDS) from None
