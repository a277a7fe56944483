"""One request to another node over HTTP/1.1, on a connection of its own, and the response to it as it comes.

It knows only ASGI on one side and a connection on the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import httptools

from .headers import HSTS, SECURITY_HEADERS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

READ_BYTES = 64 << 10
# they describe a connection, and not what is sent through it (RFC 9110, 7.6.1)
OF_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    }
)
# both nodes would add them
OF_SERVER = frozenset(
    {b"date", HSTS[0], b"x-request-id", b"request-id"} | {name for name, _ in SECURITY_HEADERS}
)


class ConnectionBroken(Exception):
    """The connection ended before the response was complete."""


def head_of(method: str, scope: Scope, headers: Sequence[Header]) -> bytes:
    """Return the head of a request with these headers."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    target = path + b"?" + query if query else path
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target, lines)


class Exchange:
    """A request and its response, over a connection to another node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, send: Send) -> None:
        self._reader, self._writer, self._send = reader, writer, send
        self._response = _Response()
        self._began = False

    @property
    def is_event_stream(self) -> bool:
        """Whether the response is one, as far as it has been read."""
        kinds = [value for name, value in self._response.headers if name == b"content-type"]
        return any(kind.startswith(b"text/event-stream") for kind in kinds)

    async def ask(self, scope: Scope, headers: Sequence[Header], receive: Receive) -> bool:
        """Send the request. Return False if the client has gone before its body was complete. A node that
        answers before it has read the body may close its side; the response says why."""
        has_length = any(name == b"content-length" for name, _ in headers)
        is_chunked = not has_length and scope["method"] in ("POST", "PUT", "PATCH", "DELETE")
        framing = [(b"transfer-encoding", b"chunked")] if is_chunked else []
        self._writer.write(head_of(scope["method"], scope, [*headers, *framing, (b"connection", b"close")]))
        while (message := await receive())["type"] != "http.disconnect":
            is_last, body = not message.get("more_body", False), message.get("body", b"")
            if body:
                self._writer.write(b"%x\r\n%b\r\n" % (len(body), body) if is_chunked else body)
            if is_last and is_chunked:
                self._writer.write(b"0\r\n\r\n")
            with suppress(ConnectionError):
                await self._writer.drain()
            if is_last:
                return True
        return False

    async def answer(self) -> None:
        """Pass the response on as it comes.

        Raises:
            ConnectionBroken: it is not complete.
        """
        response, parser = self._response, httptools.HttpResponseParser(self._response)
        while not response.is_complete:
            try:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    raise ConnectionBroken
                parser.feed_data(data)
            except (OSError, httptools.HttpParserError) as error:
                raise ConnectionBroken from error
            await self._pass_on(response, parser)

    async def _pass_on(self, response: _Response, parser: httptools.HttpResponseParser) -> None:
        if response.has_head and not self._began:
            self._began = True
            status = parser.get_status_code()
            await self._send({"type": "http.response.start", "status": status, "headers": response.headers})
        if not self._began:
            return
        body, response.body = bytes(response.body), bytearray()
        if body or response.is_complete:
            more = not response.is_complete
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


class _Response:
    """What the parser has read of a response so far."""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.body = bytearray()
        self.has_head = self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if not self.has_head and name not in OF_CONNECTION and name not in OF_SERVER:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True
