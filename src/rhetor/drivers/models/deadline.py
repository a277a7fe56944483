"""Limits how long a turn waits for its model, with one timer, and lets the wait be interrupted.

A timeout context for each chunk would cost more than reading the chunk. So a chunk only updates a timestamp.
When the timer fires and the deadline has moved, the timer is set again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Literal, Self, TypeVar

import msgspec

T = TypeVar("T")
Phase = Literal["first_chunk", "idle", "total"]


class Timeouts(msgspec.Struct, frozen=True):
    """Timeouts in seconds. `connect`: until the connection is established. `first_chunk`: from the call to
    the first line of the answer. `idle`: between two lines. `total`: the whole turn."""

    connect: float = 10.0
    first_chunk: float = 60.0
    idle: float = 60.0
    total: float = 600.0


class DeadlineExceeded(Exception):
    """The timeout of `phase` has passed."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(phase)
        self.phase = phase


class Interrupted(Exception):
    """`Deadline.interrupt` was called: the caller no longer expects an answer."""


class Deadline:
    """Limits the waits of one turn, in one task at a time.

    Only time spent in `wait` counts for `first_chunk` and `idle`: the provider is not blamed for a slow
    reader. All time counts for `total`. A turn may make several calls; `call` begins the next one.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._began = self._since = self._left = self._loop.time()
        self._phase: Phase = "first_chunk"
        self._pausing = False  # between two calls, when only `total` counts
        self._waiting: asyncio.Task[object] | None = None
        self._reason: DeadlineExceeded | Interrupted | None = None
        self._cancelled = False  # by this deadline; the task's cancellation is not undone yet
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_timer()

    @property
    def left(self) -> float:
        """The seconds that are left for the turn; 0 or less when its time is over."""
        return self._began + self._timeouts.total - self._loop.time()

    def call(self) -> None:
        """Begin a call, which gets the full time for its first chunk."""
        self._pausing = False
        self._phase = "first_chunk"
        self._since = self._left = self._loop.time()
        if isinstance(self._reason, DeadlineExceeded) and self._reason.phase != "total":
            self._reason = None
        self._drop_late_timer()

    async def pause(self, awaitable: Awaitable[T]) -> T:
        """Await something that does not depend on the provider, so only `total` counts.

        Raises:
            DeadlineExceeded, Interrupted: as for `wait`.
        """
        self._pausing = True
        try:
            return await self.wait(awaitable)
        finally:
            self._pausing = False

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Await something, at most until the deadline.

        Raises:
            DeadlineExceeded: the deadline has passed, and the awaitable was cancelled.
            Interrupted: `interrupt` was called, and the awaitable was cancelled.
        """
        task = asyncio.current_task()
        assert task is not None
        if self._reason is not None:
            if isinstance(awaitable, Coroutine):
                awaitable.close()  # it is not started
            raise self._reason
        cancelling = task.cancelling()
        self._begin(task)
        try:
            return await awaitable
        except BaseException as error:  # a cancellation may mean the deadline or an interruption
            if (reason := self._meant(error, task, cancelling)) is not None:
                raise reason from None
            raise
        finally:
            self._waiting = None
            self._left = self._loop.time()
            if self._cancelled:  # the awaitable has ignored the cancellation
                self._cancelled = False
                task.uncancel()

    def _meant(self, error: BaseException, task: asyncio.Task[object], cancelling: int) -> Exception | None:
        """Return why this deadline cancelled the awaitable; None if the awaitable failed by itself.

        As in asyncio.timeout, a cancellation from outside has priority.
        """
        if not self._cancelled:
            return None
        self._cancelled = False
        outside = task.uncancel() > cancelling
        return None if outside and isinstance(error, asyncio.CancelledError) else self._reason

    def alive(self) -> None:
        """Note that the provider has sent something. From now on, `idle` limits each wait."""
        self._left = self._since = self._loop.time()
        if self._phase != "idle":
            self._phase = "idle"
            self._drop_late_timer()

    def interrupt(self) -> None:
        """End the current wait, or else the next one, with Interrupted."""
        self._give_up(Interrupted())

    def check(self) -> None:
        """Raise if the turn is already out of time or interrupted.

        Raises:
            DeadlineExceeded, Interrupted: as for `wait`.
        """
        if self._reason is not None:
            raise self._reason

    def _begin(self, task: asyncio.Task[object]) -> None:
        # the time since the last wait was spent by the reader
        self._since += self._loop.time() - self._left
        self._waiting = task
        if self._timer is None:
            self._timer = self._loop.call_at(self._due()[0], self._fire)

    def _due(self) -> tuple[float, Phase]:
        """Return when the next deadline is, and its phase."""
        total: tuple[float, Phase] = (self._began + self._timeouts.total, "total")
        if self._pausing:
            return total
        own = self._timeouts.first_chunk if self._phase == "first_chunk" else self._timeouts.idle
        return min((self._since + own, self._phase), total)

    def _fire(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait sets it again
        due, phase = self._due()
        if self._loop.time() >= due:
            self._give_up(DeadlineExceeded(phase))
        else:
            self._timer = self._loop.call_at(due, self._fire)

    def _drop_late_timer(self) -> None:
        """Stop the timer if the deadline is now earlier; if it is later, the timer is set again when it
        fires."""
        if self._timer is not None and self._timer.when() > self._due()[0]:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self, reason: DeadlineExceeded | Interrupted) -> None:
        if self._reason is None:
            self._reason = reason
            if self._waiting is not None:
                self._cancelled = True
                self._waiting.cancel()
