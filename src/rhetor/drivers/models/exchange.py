"""One call to a model over HTTP, from the request to the last output of its answer.

Every failure is a typed error. Nothing is tried twice here: retries and fallbacks are in `turn.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rhetor.domain.output import Output
from rhetor.drivers.models import errors
from rhetor.drivers.models.answer_reader import AnswerReader, Parser
from rhetor.drivers.models.client import Client, Request, is_success, whole
from rhetor.drivers.models.deadline import Deadline, DeadlineExceeded, Timeouts
from rhetor.drivers.models.target import Target
from rhetor.errors import ProviderTimeout, Unprocessable

if TYPE_CHECKING:
    import aiohttp

# Seconds to wait for the end of the body after a complete answer, so that the connection can be reused.
_DRAIN = 0.02
# Seconds to wait for the usage and the end of the stream after the last text, once the model has finished.
_REST = 2.0


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
        self._reader = AnswerReader(call.target, parser)
        self._rest_until: float | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._ended = False

    @property
    def cache_written(self) -> int:
        return self._parser.cache_written

    async def start(self) -> Sequence[Output]:
        """Implement `Exchange.start`."""
        try:
            await self._post()
            return await self.read()
        except BaseException:  # also if the caller is cancelled
            await self.aclose()
            raise

    async def read(self) -> Sequence[Output]:
        """Implement `Exchange.read`."""
        outputs: Sequence[Output] = ()
        while not outputs and not self._ended:
            if self._reader.failure is not None:
                raise self._reader.failure  # the outputs before it were returned
            outputs = await self._piece()
        if not outputs and self._reader.failure is not None:
            raise self._reader.failure
        return outputs

    async def aclose(self) -> None:
        """Implement `Exchange.aclose`."""
        if self._response is not None:
            self._response.close()

    async def _post(self) -> None:
        call = self._call
        try:
            response = self._response = await call.deadline.wait(call.client.post(self._request))
            if is_success(response.status):
                return
            body = await call.deadline.wait(whole(response))
        except DeadlineExceeded as over:
            raise call.too_late(over) from over
        except Unprocessable as error:
            raise errors.out_of_reach(call.target, error) from error
        except call.client.failures as error:
            raise errors.of_call(call.target, error, call.timeouts.connect, call.clock()) from error
        raise errors.refused(call.target, response.status, body, response.headers, call.clock())

    async def _piece(self) -> Sequence[Output]:
        """Return the outputs in the next piece of the body; there may be none."""
        reader = self._reader
        if reader.over:
            self._ended = True
            await self._drain()
            return reader.end()
        if not (piece := await self._next()):
            self._ended = True
            return reader.end()
        lines = reader.lines
        outputs = reader.feed(piece)
        # only a complete line is a sign of life: a relay that hangs may still send bytes
        if reader.lines != lines:
            self._call.deadline.alive()
        if outputs:
            self._rest_until = None
        return outputs

    async def _next(self) -> bytes:
        """Return the next piece of the body; b"" if nothing more is to be read."""
        call = self._call
        try:
            return await self._bytes()
        except DeadlineExceeded as over:
            if not self._reader.finished:  # otherwise, nothing is missing but the usage
                raise call.too_late(over) from over
        except call.client.failures as error:
            if not self._reader.finished:
                raise errors.cut(call.target, errors.reason(error)) from error
        return b""

    async def _bytes(self) -> bytes:
        """Return the next piece of the body, b"" at its end.

        Raises:
            TimeoutError: the model has finished, and the stream does not end.
        """
        assert self._response is not None
        self._call.deadline.check()
        if arrived := self._response.content.read_nowait():
            return arrived  # no deadline applies to it
        read = self._response.content.readany
        if not self._reader.finished:
            return await self._call.deadline.wait(read())
        if self._rest_until is None:
            self._rest_until = asyncio.get_running_loop().time() + _REST
        async with asyncio.timeout_at(self._rest_until):
            return await self._call.deadline.wait(read())

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
