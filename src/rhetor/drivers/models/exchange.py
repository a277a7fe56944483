"""One call to a model over HTTP, from the request to the last output of its answer.

Every failure is a typed error. Nothing is tried twice here: retries and fallbacks are in `turn.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rhetor.codec.sse import ServerSentEvent, SSEDecoder
from rhetor.domain.output import Output
from rhetor.drivers.models import errors
from rhetor.drivers.models.client import Client, Request, is_success, whole
from rhetor.drivers.models.deadline import Deadline, DeadlineExceeded, Timeouts
from rhetor.drivers.models.target import Target
from rhetor.errors import ProviderFailed, ProviderTimeout, TooLarge, Unprocessable

if TYPE_CHECKING:
    import aiohttp

# Seconds to wait for the end of the body after a complete answer, so that the connection can be reused.
_DRAIN = 0.02


class Parser(Protocol):
    """Turns the events of one answer into outputs, for one provider's API."""

    over: bool
    """Whether the provider has said that the answer is complete."""

    @property
    def cache_written(self) -> int:
        """How many tokens of the input the provider has written to its cache."""
        ...

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Return the outputs of one event.

        Raises:
            ProviderFailed: the event is an error or cannot be read.
        """
        ...

    def end(self) -> Sequence[Output]:
        """Return the last outputs, after the last event. The last one is `Done`.

        Raises:
            ProviderCut: the answer is not complete.
        """
        ...


class Call(NamedTuple):
    """What one call to a model needs. `clock` returns Unix time, for a Retry-After header with a date."""

    target: Target
    client: Client
    deadline: Deadline
    timeouts: Timeouts
    clock: Callable[[], float]

    def too_late(self, over: DeadlineExceeded) -> ProviderTimeout:
        """Return the error for a call that has run out of time."""
        return errors.timed_out(self.target, over.phase, getattr(self.timeouts, over.phase))


class Exchange(Protocol):
    """A call and its answer, read piece by piece."""

    @property
    def cache_written(self) -> int: ...

    async def start(self) -> Sequence[Output]:
        """Make the call and return the first outputs of its answer, at least one. On failure, close the call.

        Raises:
            ProviderFailed: the provider could not be reached, refused the call, or did not answer in time.
        """
        ...

    async def read(self) -> Sequence[Output]:
        """Return the next outputs: at least one, or none after `Done`.

        Raises:
            ProviderFailed: the answer ended early. The outputs that were returned before remain valid.
        """
        ...

    async def aclose(self) -> None:
        """End the call, even in the middle of its answer."""
        ...


class StreamedExchange:
    """An `Exchange` whose answer is a stream of server-sent events."""

    def __init__(self, call: Call, request: Request, parser: Parser) -> None:
        self._call = call
        self._request = request
        self._parser = parser
        self._decoder = SSEDecoder()
        self._response: aiohttp.ClientResponse | None = None
        self._failure: ProviderFailed | None = None
        self._ended = False

    @property
    def cache_written(self) -> int:
        return self._parser.cache_written

    async def start(self) -> Sequence[Output]:
        """Implement `Exchange.start`."""
        try:
            await self._post()
            return await self.read()
        except BaseException:
            await self.aclose()
            raise

    async def read(self) -> Sequence[Output]:
        """Implement `Exchange.read`."""
        if self._failure is not None:
            raise self._failure
        outputs: Sequence[Output] = ()
        while not outputs and not self._ended:
            outputs = await self._piece()
        return outputs

    async def aclose(self) -> None:
        """Implement `Exchange.aclose`."""
        if self._response is not None:
            self._response.close()

    async def _post(self) -> None:
        call = self._call
        with self._typed():
            response = self._response = await call.deadline.wait(call.client.post(self._request))
            if is_success(response.status):
                return
            body = await call.deadline.wait(whole(response))
        raise errors.refused(call.target, response.status, body, response.headers, call.clock())

    async def _piece(self) -> Sequence[Output]:
        """Return the outputs in the next piece of the body; there may be none."""
        events = None if self._parser.over else await self._events()
        if events is None:
            self._ended = True
            if self._parser.over:
                await self._drain()
            return self._parser.end()
        outputs: list[Output] = []
        try:
            for event in events:
                outputs += self._parser.take(event)
        except ProviderFailed as failure:
            if not outputs:
                raise
            self._failure = failure  # the outputs before it are returned first
        return outputs

    async def _events(self) -> list[ServerSentEvent] | None:
        """Return the events in the next piece of the body, which may be none; None at the end of the body."""
        assert self._response is not None
        call, decoder, lines = self._call, self._decoder, self._decoder.lines
        try:
            piece = await call.deadline.wait(self._response.content.readany())
            events = decoder.feed(piece) if piece else None
        except DeadlineExceeded as over:
            raise call.too_late(over) from over
        except TooLarge as error:
            raise errors.cut(call.target, error.detail) from error
        except call.client.failures as error:
            raise errors.cut(call.target, errors.reason(error)) from error
        # only a complete line is a sign of life: a relay that hangs may still send bytes
        if decoder.lines != lines:
            call.deadline.alive()
        return events

    async def _drain(self) -> None:
        # called before the last outputs are returned, because the reader may close the call once it has them
        assert self._response is not None
        body = self._response.content
        if body.at_eof():
            return
        with suppress(TimeoutError, *self._call.client.failures):
            async with asyncio.timeout(_DRAIN):
                while await body.readany():
                    pass

    @contextmanager
    def _typed(self) -> Iterator[None]:
        call = self._call
        try:
            yield
        except DeadlineExceeded as over:
            raise call.too_late(over) from over
        except Unprocessable as error:
            raise errors.out_of_reach(call.target, error) from error
        except call.client.failures as error:
            raise errors.of_call(call.target, error, call.timeouts.connect, call.clock()) from error
