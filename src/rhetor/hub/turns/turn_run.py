"""Runs one turn of a session or a plan, and logs its output and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from rhetor.domain.event import Payload, TurnEnd, TurnFailed, UsageReported
from rhetor.domain.output import Late, Output, Remembered, Spooled, Text
from rhetor.domain.turn import OPEN, Turn, TurnState
from rhetor.drivers.base import Leavable
from rhetor.errors import INTERNAL_HINT, ProviderCut, RhetorError, StateConflict
from rhetor.hub.catalog.usage import Meter
from rhetor.hub.core.background import Background
from rhetor.hub.core.commits import commit_until_accepted, until_accepted, until_unchanged
from rhetor.store.base import Addition, Draft, Expect, Row, SourceOffset, Store

from .pauses import TurnStopped
from .pending import PendingRequests
from .unstored import Unstored, joined

GATHER_SECONDS = 0.020
GATHER_BYTES = 4096
AGAIN = "send the message again; the partial answer is kept"
log = logging.getLogger(__name__)


class Closing(msgspec.Struct, frozen=True):
    """What to commit together with a turn's end, on the conditions in `expects`. `once`: the turn's
    session was opened for one message."""

    drafts: Sequence[Draft] = ()
    rows: Sequence[Row] = ()
    expects: Sequence[Expect] = ()
    once: bool = False


# Returns what to commit with a turn's end. It is called again for each attempt, and reads its rows again.
MakeClosing = Callable[[], Awaitable[Closing]]


class TurnRun:
    """Commits the outputs of a peer to the log as the turn's events.

    An output is committed at once if the last commit was at least `GATHER_SECONDS` ago, together with those
    that have arrived by then. Otherwise, outputs are gathered for at most `GATHER_SECONDS` or `GATHER_BYTES`.
    If the turn's start is still being stored, no more is read after the first output until both are stored:
    the sooner its commit begins, the more often both become one transaction. If `immediate` returns False,
    the first output is gathered too. While the store rejects commits, no more output is read from the peer,
    and what was read is kept until it is stored.

    `closing` receives the turn's end and final state. `meter` counts what the turn uses. `stored` is called
    after each commit with the spool offsets that it stored. `worked`: the seconds for which the turn has been
    working under an earlier hub.
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
        meter: Meter,
        stored: Callable[[Sequence[SourceOffset]], None] = lambda sources: None,
        immediate: Callable[[], bool] = lambda: True,
        worked: float = 0.0,
    ) -> None:
        self._store = store
        self._background = background
        self._stream = stream
        self._step = step
        self._closing = closing
        self._pending = pending
        self._meter = meter
        self._stored = stored
        self._immediate = immediate
        self._worked = worked
        self.turn = turn
        self._buffer: list[Payload] = []
        self._buffered_bytes = 0
        self._unstored = Unstored()
        self._is_storing = False
        self._appended_at = 0.0
        self._masks = pending.masks
        self._timer: asyncio.Handle | None = None
        self._task: asyncio.Task[object] | None = None
        self._stopped: Callable[[Turn], tuple[Payload, ...]] | None = None

    async def run(self, outputs: AsyncGenerator[Output, None]) -> TurnEnd:
        """Run the turn until its end is in the log, and return the end."""
        with self._pending:
            if self._stopped is None:
                ending = await self._until_it_ends(outputs)
            else:
                ending = self._stopped(self.turn)
            if self._timer:
                self._timer.cancel()
            return await self._end(ending)

    async def _end(self, ending: Sequence[Payload]) -> TurnEnd:
        """Commit the end. If the store can never accept it, commit a failure instead, and if even the output
        is not acceptable, the failure alone."""
        if self._buffer and self._pending.if_started() and not self._pending.are_many:
            await self._append_said()
        await self._pending.until_started()
        end = _end_of(ending)
        if isinstance(end, TurnFailed):
            log.warning("turn failed", extra={**self._log_keys, "code": end.code, "reason": end.detail})
        try:
            await self._append(ending, self._closing(end, self.turn.state))
            return end
        except Exception as error:  # whatever the store raises, the turn must get an end
            log.exception("storing a turn's end failed", extra=self._log_keys)
            end = TurnFailed("internal", f"{type(error).__name__}: {error}", False, {"hint": INTERNAL_HINT})
        closing = self._closing(end, TurnState.FAILED)
        try:
            await self._append([end], closing)
        except Exception:  # as above
            log.exception("storing a turn's output failed; only its end is stored", extra=self._log_keys)
            self._unstored.payloads.clear()
            await self._append([end], closing)
        return end

    def stop(self, how: Callable[[Turn], tuple[Payload, ...]], *, waiting_only: bool = False) -> None:
        """End the turn now with the payloads that `how` returns. No effect if it has ended. What is being
        stored is stored first.

        `waiting_only`: only the waiting for the answer has ended; a wrapped program is not interrupted.
        """
        if self._stopped is None and self.turn.state in OPEN:
            self._stopped = how
            conversation: object = self._pending.conversation
            if waiting_only and isinstance(conversation, Leavable):
                conversation.leave()
            if self._task is not None and not self._is_storing:
                self._task.cancel()

    async def _until_it_ends(self, outputs: AsyncGenerator[Output, None]) -> tuple[Payload, ...]:
        self._task = asyncio.current_task()
        try:
            return await self._read_outputs(outputs)
        except TurnStopped as stopped:
            self._take_rest()
            return self.turn.cancel(stopped.by)
        except RhetorError as failure:
            self._take_rest()
            return self.turn.fail(failure.code, failure.detail, failure.retryable, failure.data)
        except asyncio.CancelledError:
            if self._stopped is None or self._task is None:
                raise
            self._task.uncancel()  # `stop` cancelled the task to end only the reading of outputs
            self._take_rest()
            return self._stopped(self.turn)
        except Exception as error:  # a bug in a driver fails only its turn
            log.exception("the driver failed", extra=self._log_keys)
            self._take_rest()
            return self.turn.fail(
                "internal", f"{type(error).__name__}: {error}", False, {"hint": INTERNAL_HINT}
            )
        finally:
            self._task = None

    def _take_rest(self) -> None:
        """Take what was held back in case a secret continued in the next output."""
        for left in self._masks.settle():
            if isinstance(left, Late):
                self._pending.add_late(left)
            self._buffer.extend(self.turn.step(left))

    async def _read_outputs(self, outputs: AsyncGenerator[Output, None]) -> tuple[Payload, ...]:
        loop = asyncio.get_running_loop()
        started = loop.time() - self._worked
        async with aclosing(outputs) as stream:
            async for whole in stream:
                if self._masks is not self._pending.masks:  # another peer answers from here on
                    self._take_rest()
                    self._masks = self._pending.masks
                for output in self._masks.take(whole):
                    seconds = loop.time() - started - self._pending.paused_seconds
                    payloads = self.turn.step(output, seconds)
                    if isinstance(output, Spooled):
                        self._note(output)
                    if self.turn.state not in OPEN:
                        return payloads
                    self._buffer.extend(map(self._pending.with_expiry, payloads))
                    self._buffered_bytes += _length(output)
                    await self._append_or_gather(loop)
                    if self._stopped is not None:
                        raise asyncio.CancelledError  # as if `stop` had cancelled the task
        raise ProviderCut(
            f"{self.turn.peer} stopped before its answer was complete", retryable=True, hint=AGAIN
        )

    @property
    def _log_keys(self) -> dict[str, str]:
        return {"stream": self._stream, "peer": self.turn.peer, "turn": self.turn.turn_id}

    def _note(self, spooled: Spooled) -> None:
        self._unstored.offsets[spooled.source] = spooled.offset
        for output in spooled.outputs:
            if isinstance(output, Remembered):
                # by the program, because another peer may answer before it is stored
                self._unstored.memories[self._pending.instance] = output.memory
            elif isinstance(output, Late):
                self._pending.add_late(output)

    async def _append_or_gather(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._buffer:  # an output without payloads must not delay the next one
            return
        quiet = loop.time() - self._appended_at
        late = quiet >= GATHER_SECONDS
        at_once = late and self._immediate()
        is_first = not (self._appended_at or self._pending.are_many) and self._pending.if_started()
        if self._buffered_bytes >= GATHER_BYTES or (at_once and (is_first or self._pending.lock.locked())):
            self._is_storing = True
            try:
                await self._append()
            finally:
                self._is_storing = False
            await asyncio.sleep(0)  # let followers send this before more is read
        elif self._timer is None and at_once:
            # runs when the reader waits, so what has already arrived is stored in the same commit
            self._timer = loop.call_soon(self._tick)
        elif self._timer is None:
            self._timer = loop.call_later(GATHER_SECONDS - (0.0 if late else quiet), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._background.start(self._append(), f"append {self.turn.turn_id}")

    async def _append(self, ending: Sequence[Payload] = (), closing: MakeClosing | None = None) -> None:
        """Commit the buffered payloads; with `ending`, also the turn's end and what `closing` returns."""
        async with self._pending.lock:
            waiting = self._unstored
            waiting.add(self._pending.settle(self._buffer))
            self._buffer, self._buffered_bytes = [], 0
            if closing is not None:
                waiting.close(*self._pending.close_all())
            payloads = joined([*waiting.payloads, *ending])
            at = self._meter.time_of(payloads)
            own = [Draft(p, self.turn.turn_id, self._step, at) for p in payloads]
            rows = [*waiting.rows.values()]
            if waiting.memories:
                rows += self._pending.memory_rows(waiting.memories)
            if own or closing or rows:
                sources = [SourceOffset(*item) for item in waiting.offsets.items()]
                self._unstored = Unstored()  # what is read meanwhile is not part of this commit
                try:
                    if closing is None:
                        spent = self._meter.count(payloads, at)
                        rows += spent.rows
                        await self._commit(own, rows, sources, spent.adds)
                    else:
                        await commit_end(self._store, self._stream, own, self._meter, closing, rows, sources)
                except BaseException:  # also if the run is cancelled
                    self._unstored.put_back(waiting)
                    raise
                self._meter.stored()
                self._pending.took(payloads)
                self._pending.notify(rows)
                self._stored(sources)
                self._pending.deliver(waiting.decided)
                self._appended_at = asyncio.get_running_loop().time()

    async def _append_said(self) -> None:
        """Commit the text that came before the end, because readers wait for it. The usage is stored with
        the end."""
        said = len(self._buffer)
        while said and isinstance(self._buffer[said - 1], UsageReported):
            said -= 1
        used = self._buffer[said:]
        del self._buffer[said:]
        try:
            await self._append()
        finally:
            self._buffer += used

    async def _commit(
        self,
        drafts: Sequence[Draft],
        rows: Sequence[Row],
        sources: Sequence[SourceOffset],
        adds: Sequence[Addition],
    ) -> None:
        """Commit until the store accepts it.

        If the commit of the turn's start is still in progress, this one does not wait for its result, but
        depends on it: they often become one transaction.
        """
        store, stream = self._store, self._stream
        if premise := self._pending.if_started():
            try:
                await commit_until_accepted(store, stream, drafts, rows, sources, premise, adds)
                return
            except StateConflict:  # the start is not stored yet, or never will be
                await self._pending.until_started()
        await commit_until_accepted(store, stream, drafts, rows, sources, adds=adds)


async def commit_end(
    store: Store,
    stream: str,
    drafts: Sequence[Draft],
    meter: Meter,
    make_closing: MakeClosing,
    rows: Sequence[Row] = (),
    sources: Sequence[SourceOffset] = (),
) -> None:
    """Commit a turn's end with what `make_closing` returns, until the store accepts it."""
    payloads, at = [draft.payload for draft in drafts], drafts[-1].at

    async def attempt() -> None:
        closing = await make_closing()
        spent = meter.count(payloads, at, once=closing.once)
        await store.commit(
            stream,
            [*drafts, *closing.drafts],
            rows=[*rows, *closing.rows, *spent.rows],
            adds=spent.adds,
            sources=sources,
            expects=closing.expects,
        )

    await until_unchanged(lambda: until_accepted(attempt, stream))


def _end_of(ending: Sequence[Payload]) -> TurnEnd:
    end = ending[-1]
    assert isinstance(end, TurnEnd)
    return end


def _length(output: Output) -> int:
    if isinstance(output, Spooled):
        return sum(map(_length, output.outputs))
    return len(output.text) if isinstance(output, Text) else 0
