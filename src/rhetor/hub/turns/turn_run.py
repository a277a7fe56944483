"""One turn, from its start to its end in the log, whoever asked for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from rhetor.domain.event import OutputDelta, Payload, TurnEnd, TurnFailed
from rhetor.domain.output import Output, Remembered, Spooled, Text
from rhetor.domain.turn import Turn, TurnState
from rhetor.errors import ProviderCut, RhetorError
from rhetor.hub.core.background import Background
from rhetor.hub.core.commits import until_accepted, until_unchanged
from rhetor.store.base import Draft, Expect, Row, SourceOffset, Store

from .pending import PendingRequests

GATHER_SECONDS = 0.020
GATHER_BYTES = 4096
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Closing:
    """What is committed together with a turn's end, if `expects` holds."""

    drafts: Sequence[Draft] = ()
    rows: Sequence[Row] = ()
    expects: Sequence[Expect] = ()


# what a turn's end means for the catalog: noted once, then read anew for each attempt to commit it
MakeClosing = Callable[[], Awaitable[Closing]]


class TurnRun:
    """Takes a peer's outputs into the log.

    The first output goes at once; later ones are gathered for at most 20 ms or 4 KiB, and not at all when
    the last append is longer ago. While nobody is `hurried`, the first one may be gathered, too. While the
    store refuses, nothing more is read from the peer.
    """

    def __init__(
        self,
        store: Store,
        background: Background,
        stream: str,
        turn: Turn,
        step: str | None,
        closing: Callable[[TurnEnd, TurnState], MakeClosing],
        pending: PendingRequests,
        stored: Callable[[Sequence[SourceOffset]], None] = lambda sources: None,
        hurried: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._background = background
        self._stream = stream
        self._step = step
        self._closing = closing
        self._pending = pending
        self._stored = stored
        self._hurried = hurried
        self.turn = turn
        self._buffer: list[Payload] = []
        self._buffered_bytes = 0
        self._taken: dict[str, int] = {}
        self._memory: dict[str, Any] | None = None
        self._appended_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._stopped: Callable[[Turn], tuple[Payload, ...]] | None = None

    async def run(self, outputs: AsyncGenerator[Output, None]) -> TurnEnd:
        """The turn's end, after it is in the log."""
        with self._pending:
            if self._stopped is None:
                ending = await self._until_it_ends(outputs)
            else:
                ending = self._stopped(self.turn)
            if self._timer:
                self._timer.cancel()
            return await self._end(ending)

    async def _end(self, ending: Sequence[Payload]) -> TurnEnd:
        """Commit the end; an end that cannot be stored at all is replaced by a failure that can."""
        end = _end_of(ending)
        try:
            await self._append(ending, self._closing(end, self.turn.state))
        except Exception as error:
            log.exception("turn's end not stored", extra=self._place)
            end = TurnFailed("internal", f"{type(error).__name__}: {error}", False, {})
            await self._append([end], self._closing(end, TurnState.FAILED))
        return end

    def stop(self, how: Callable[[Turn], tuple[Payload, ...]]) -> None:
        """End the turn now, as `how` says; too late when its answer is complete already."""
        if self._stopped is None and self.turn.state is not TurnState.COMPLETED:
            self._stopped = how
            if self._task is not None:
                self._task.cancel()

    async def _until_it_ends(self, outputs: AsyncGenerator[Output, None]) -> tuple[Payload, ...]:
        self._task = asyncio.current_task()
        try:
            return await self._pump(outputs)
        except RhetorError as failure:
            return self.turn.fail(failure.code, failure.detail, failure.retryable, failure.data)
        except asyncio.CancelledError:
            if self._stopped is None or self._task is None:
                raise
            self._task.uncancel()  # the cancellation was ours, meant for the pump alone
            return self._stopped(self.turn)
        except Exception as error:
            log.exception("driver failed", extra=self._place)
            return self.turn.fail("internal", f"{type(error).__name__}: {error}", False, {})
        finally:
            self._task = None

    async def _pump(self, outputs: AsyncGenerator[Output, None]) -> tuple[Payload, ...]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with aclosing(outputs) as stream:
            async for output in stream:
                payloads = self.turn.step(output, loop.time() - started)
                if isinstance(output, Spooled):
                    self._note(output)
                if self.turn.state is TurnState.COMPLETED:
                    return payloads
                self._buffer.extend(map(self._pending.dated, payloads))
                self._buffered_bytes += _length(output)
                await self._keep_up(loop)
        raise ProviderCut(f"{self.turn.peer} broke off without ending its answer", retryable=True)

    @property
    def _place(self) -> dict[str, str]:
        return {"stream": self._stream, "peer": self.turn.peer, "turn": self.turn.turn_id}

    def _note(self, spooled: Spooled) -> None:
        self._taken[spooled.source] = spooled.offset
        for output in spooled.outputs:
            if isinstance(output, Remembered):
                self._memory = output.memory

    async def _keep_up(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._buffer:  # an output that says nothing does not make the next one wait
            return
        quiet = loop.time() - self._appended_at
        late = quiet >= GATHER_SECONDS
        if self._buffered_bytes >= GATHER_BYTES or (late and self._hurried()):
            await self._append()
            await asyncio.sleep(0)  # who follows has this before more is read
        elif self._timer is None:
            self._timer = loop.call_later(GATHER_SECONDS - (0.0 if late else quiet), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._background.start(self._append(), f"append {self.turn.turn_id}")

    async def _append(self, ending: Sequence[Payload] = (), closing: MakeClosing | None = None) -> None:
        """Commit what is buffered; with the turn's end, also what ends with it."""
        async with self._pending.lock:
            settled = self._pending.settled(self._buffer)
            self._buffer, self._buffered_bytes = [], 0
            payloads, rows = settled.payloads, [*settled.rows.values()]
            if self._memory is not None:
                rows += self._pending.remembered(self._memory)
                self._memory = None
            if closing is not None:
                withdrawn, closed = self._pending.withdrawn()
                payloads += [*withdrawn, *ending]
                rows += closed
            own = [Draft(p, self.turn.turn_id, self._step) for p in _joined(payloads)]
            if own or closing or rows:
                sources = [SourceOffset(*place) for place in self._taken.items()]
                self._taken = {}
                await until_unchanged(lambda: self._commit(own, rows, sources, closing))
                self._pending.ring(rows)
                self._stored(sources)
                self._pending.tell(settled.given)
                self._appended_at = asyncio.get_running_loop().time()

    async def _commit(
        self,
        drafts: Sequence[Draft],
        rows: Sequence[Row],
        sources: Sequence[SourceOffset],
        closing: MakeClosing | None,
    ) -> None:
        async def attempt() -> None:
            also = await closing() if closing is not None else Closing()
            await self._store.commit(
                self._stream,
                [*drafts, *also.drafts],
                rows=[*rows, *also.rows],
                sources=sources,
                expects=also.expects,
            )

        await until_accepted(attempt, self._stream)


def _end_of(ending: Sequence[Payload]) -> TurnEnd:
    end = ending[-1]
    assert isinstance(end, TurnEnd)
    return end


def _length(output: Output) -> int:
    if isinstance(output, Spooled):
        return sum(map(_length, output.outputs))
    return len(output.text) if isinstance(output, Text) else 0


def _joined(payloads: Sequence[Payload]) -> Sequence[Payload]:
    """Neighbouring chunks of one channel as one."""
    out: list[Payload] = []
    chunk: list[str] = []
    channel = None
    for payload in payloads:
        if isinstance(payload, OutputDelta) and (channel is None or payload.channel == channel):
            chunk.append(payload.text)
            channel = payload.channel
            continue
        if channel is not None:
            out.append(OutputDelta("".join(chunk), channel))
            chunk, channel = [], None
        if isinstance(payload, OutputDelta):
            chunk, channel = [payload.text], payload.channel
        else:
            out.append(payload)
    if channel is not None:
        out.append(OutputDelta("".join(chunk), channel))
    return out
