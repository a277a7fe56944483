"""Repairs the answers that a provider's SDK reads, before the SDK sees them.

The SDKs expect the API as it is described. They get a stream of well-formed events, whatever the server
sends, and errors as typed failures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

import msgspec

from rhetor.codec.sse import ServerSentEvent
from rhetor.drivers.models import errors
from rhetor.drivers.models.answer_body import AnswerBody
from rhetor.drivers.models.target import Provider, Target
from rhetor.drivers.models.written_events import AnthropicWriter, OpenAIWriter
from rhetor.errors import TooLarge

if TYPE_CHECKING:
    import httpx2

REST = 2.0  # seconds to wait for the usage and the end, once the model has finished


class _Asked(msgspec.Struct):
    """A request to a model."""

    model: str


class Writer(Protocol):
    """Writes well-formed events. `over`: the answer is complete. `finished`: only its end may be missing."""

    over: bool

    @property
    def finished(self) -> bool: ...

    def take(self, event: ServerSentEvent) -> bytes:
        """Return what an event becomes.

        Raises:
            ProviderFailed: the event is an error or cannot be read.
        """
        ...

    def end(self) -> bytes:
        """Return the end of the stream."""
        ...


def repairing(provider: Provider) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return a hook that repairs the body of each successful response."""
    import httpx2

    async def repair(response: httpx2.Response) -> None:
        if 200 <= response.status_code < 300 and not response.headers.get("content-encoding"):
            asked = msgspec.json.decode(response.request.content, type=_Asked)
            target = Target(provider, asked.model)
            writer = AnthropicWriter(target) if provider.kind == "anthropic" else OpenAIWriter(target)
            response.headers["content-type"] = "text/event-stream"
            stream = response.stream
            assert isinstance(stream, httpx2.AsyncByteStream)
            response.stream = _stream(stream, target, writer)

    return repair


def _stream(stream: httpx2.AsyncByteStream, target: Target, writer: Writer) -> httpx2.AsyncByteStream:
    import httpx2

    class RepairedBody(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async with aclosing(_repaired(aiter(stream), target, writer)) as pieces:
                async for piece in pieces:
                    yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return RepairedBody()


async def _repaired(
    pieces: AsyncIterator[bytes], target: Target, writer: Writer
) -> AsyncGenerator[bytes, None]:
    body = AnswerBody()
    rest_until: float | None = None
    while not writer.over:
        if writer.finished and rest_until is None:
            rest_until = asyncio.get_running_loop().time() + REST
        try:
            async with asyncio.timeout_at(rest_until):
                piece = await anext(pieces, b"")
        except TimeoutError:
            break
        if not piece:
            break
        try:
            events = body.feed(piece)
        except TooLarge as error:
            raise errors.cut(target, error.detail) from error
        for event in events:
            yield writer.take(event)
    if not writer.over:
        for event in body.end():
            yield writer.take(event)
        if not (writer.finished or body.is_stream):
            raise errors.not_an_answer(target, body.excerpt)
    yield writer.end()
