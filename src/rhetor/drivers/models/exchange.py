"""One call to a model: `opened` makes it, `read` iterates its answer, and whatever goes wrong has a type.

Nothing is tried twice here: that is `answering`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from rhetor.codec.sse import ServerSentEvent, SSEDecoder
from rhetor.domain.output import Output
from rhetor.drivers.models import errors
from rhetor.drivers.models.client import Client, Request, is_success, whole
from rhetor.drivers.models.deadline import Deadline, DeadlineExceeded, Timeouts
from rhetor.drivers.models.target import Target
from rhetor.errors import TooLarge, Unprocessable

# Seconds that the end of a body is waited for when the answer is whole: then its connection serves again.
_DRAIN = 0.02


class Body(Protocol):
    """The bytes of an answer. `readany` gives what is there, and nothing at the end only."""

    async def readany(self) -> bytes: ...

    def at_eof(self) -> bool: ...


class Answer(Protocol):
    """An answer under way, in one provider's language. `over`: the provider has said that it is done.
    `cache_written`: tokens of its input that the provider has put into its cache."""

    over: bool

    @property
    def cache_written(self) -> int: ...

    def take(self, event: ServerSentEvent) -> Sequence[Output]: ...

    def end(self) -> Sequence[Output]: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """`clock`: Unix time, for what a provider says as a date."""

    target: Target
    client: Client
    deadline: Deadline
    timeouts: Timeouts
    clock: Callable[[], float]

    @asynccontextmanager
    async def opened(self, request: Request) -> AsyncIterator[Body]:
        """Make the call; the context has the body of its answer, and ends the call when it is left early.

        Raises:
            ProviderFailed: refused, not reached, or too late.
        """
        with self._typed():
            response = await self.deadline.wait(self.client.post(request))
        try:
            if not is_success(response.status):
                with self._typed():
                    words = await self.deadline.wait(whole(response))
                raise errors.refused(self.target, response.status, words, response.headers, self.clock())
            yield response.content
        finally:
            response.close()

    async def read(self, body: Body, answer: Answer) -> AsyncGenerator[Output, None]:
        """The outputs of an answer, up to and with `Done`.

        Raises:
            ProviderFailed: it broke off; what was yielded until then stands.
        """
        decoder = SSEDecoder()
        while not answer.over and (events := await self._next(body, decoder)) is not None:
            for event in events:
                for output in answer.take(event):
                    yield output
        if answer.over:
            await self._drain(body)
        for output in answer.end():
            yield output

    async def _next(self, body: Body, decoder: SSEDecoder) -> list[ServerSentEvent] | None:
        """The events in the next piece of the body, which may be none; None at its end."""
        lines = decoder.lines
        try:
            piece = await self.deadline.wait(body.readany())
            events = decoder.feed(piece) if piece else None
        except DeadlineExceeded as over:
            raise self._too_late(over) from over
        except TooLarge as error:
            raise errors.cut(self.target, error.detail) from error
        except self.client.failures as error:
            raise errors.cut(self.target, errors.reason(error)) from error
        # bytes alone are no sign of life: a line that never ends is what a hanging relay sends
        if decoder.lines != lines:
            self.deadline.alive()
        return events

    async def _drain(self, body: Body) -> None:
        # before the last outputs, since a reader may leave as soon as it has them
        if body.at_eof():
            return
        with suppress(TimeoutError, *self.client.failures):
            async with asyncio.timeout(_DRAIN):
                while await body.readany():
                    pass

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except DeadlineExceeded as over:
            raise self._too_late(over) from over
        except Unprocessable as error:
            raise errors.out_of_reach(self.target, error) from error
        except self.client.failures as error:
            connect = self.timeouts.connect
            raise errors.of_call(self.target, error, connect, self.clock()) from error

    def _too_late(self, over: DeadlineExceeded) -> Exception:
        return errors.timed_out(self.target, over.phase, getattr(self.timeouts, over.phase))
