"""How long an answer is waited for: one timer a turn, and a way to end the waiting early.

A time-out context a chunk would cost more than reading the chunk, so the timer is moved lazily: chunks only
note the time, and the timer, when it rings, looks how far its end has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeVar

T = TypeVar("T")
Phase = Literal["first_chunk", "idle", "total"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `connect`: until the connection stands; `first_chunk`: from the call to the first line of the
    answer; `idle`: between two lines; `total`: the turn."""

    connect: float = 10.0
    first_chunk: float = 60.0
    idle: float = 60.0
    total: float = 600.0


class DeadlineExceeded(Exception):
    """The time of `phase` is over."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(phase)
        self.phase = phase


class Interrupted(Exception):
    """`interrupt()` was called: whoever asked for that expects no answer."""


class Deadline:
    """Bounds the waits of one turn, made by one task at a time.

    Only time spent in `wait` can run out: a reader who takes long over what it got is not held against
    the other side (but it counts for `total`). A turn may make several calls: `call` begins another one.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._began = self._since = self._left = self._loop.time()
        self._phase: Phase = "first_chunk"
        self._pausing = False  # between two calls, where only the turn's own time runs
        self._waiting: asyncio.Task[object] | None = None
        self._reason: DeadlineExceeded | Interrupted | None = None
        self._cancelled = False  # by us, and not taken back yet
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_timer()

    @property
    def left(self) -> float:
        """Seconds that the turn still has; not above 0 once its time is over."""
        return self._began + self._timeouts.total - self._loop.time()

    def call(self) -> None:
        """A call begins: it has its own time for its first chunk, whatever became of the one before it."""
        self._pausing = False
        self._phase = "first_chunk"
        self._since = self._left = self._loop.time()
        if isinstance(self._reason, DeadlineExceeded) and self._reason.phase != "total":
            self._reason = None
        self._stop_timer()

    async def pause(self, awaitable: Awaitable[T]) -> T:
        """Await something that no provider is to blame for: only `total` goes on.

        Raises:
            DeadlineExceeded, Interrupted: as `wait`.
        """
        self._pausing = True
        try:
            return await self.wait(awaitable)
        finally:
            self._pausing = False

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Await, but not for longer than there is time.

        Raises:
            DeadlineExceeded: the time is over; the awaitable was cancelled.
            Interrupted: likewise, because of `interrupt()`.
        """
        task = asyncio.current_task()
        assert task is not None
        self._go_on(awaitable)
        cancelling = task.cancelling()
        self._begin(task)
        try:
            return await awaitable
        except BaseException as error:
            if (reason := self._meant(error, task, cancelling)) is not None:
                raise reason from None
            raise
        finally:
            self._waiting = None
            self._left = self._loop.time()
            if self._cancelled:  # and the awaitable took no notice
                self._cancelled = False
                task.uncancel()

    def _meant(self, error: BaseException, task: asyncio.Task[object], cancelling: int) -> Exception | None:
        """What an error of the awaitable means after this turn was given up: the reason for that.

        As in asyncio.timeout, a cancellation from outside goes first.
        """
        if not self._cancelled:
            return None
        self._cancelled = False
        outside = task.uncancel() > cancelling
        return None if outside and isinstance(error, asyncio.CancelledError) else self._reason

    def alive(self) -> None:
        """The other side gave a sign of life: the waiting begins anew, as `idle`."""
        self._since = self._loop.time()
        if self._phase != "idle":
            self._phase = "idle"
            self._stop_timer()  # it may be wound up for later than the new phase lasts

    def interrupt(self) -> None:
        """End the running wait, or else the next one."""
        self._give_up(Interrupted())

    def _go_on(self, awaitable: Awaitable[object]) -> None:
        """Raise where the end has come already; nothing is begun then, and what was prepared is put away."""
        if self._reason is not None:
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise self._reason

    def _begin(self, task: asyncio.Task[object]) -> None:
        # the time since the last wait was the reader's own
        self._since += self._loop.time() - self._left
        self._waiting = task
        if self._timer is None:
            self._timer = self._loop.call_at(self._due()[0], self._ring)

    def _due(self) -> tuple[float, Phase]:
        """When the time is over, and which."""
        total: tuple[float, Phase] = (self._began + self._timeouts.total, "total")
        if self._pausing:
            return total
        own = self._timeouts.first_chunk if self._phase == "first_chunk" else self._timeouts.idle
        return min((self._since + own, self._phase), total)

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait winds it up again
        due, phase = self._due()
        if self._loop.time() >= due:
            self._give_up(DeadlineExceeded(phase))
        else:
            self._timer = self._loop.call_at(due, self._ring)

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
