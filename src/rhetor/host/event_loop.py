"""A small event loop: waits for descriptors, timers and signals, and calls their callbacks."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

Call = Callable[[], None]


class Timer:
    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Call) -> None:
        self.due = due
        self.call = call


class Loop:
    """The event loop. Callbacks never overlap. Each must be short, because nothing else runs meanwhile."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Call] = {}
        self._writers: dict[int, Call] = {}
        self._hangups: dict[int, Call] = {}
        self._timers: set[Timer] = set()
        self._signals: dict[int, Call] = {}
        self._running = True
        self._woken, self._wake = os.pipe()
        for fd in (self._woken, self._wake):
            os.set_blocking(fd, False)
        self.on_readable(self._woken, self._take_signals)

    def on_readable(self, fd: int, call: Call | None) -> None:
        """Call `call` whenever `fd` can be read or is at its end. None removes the callback."""
        _put(self._readers, fd, call)
        self._register(fd)

    def on_writable(self, fd: int, call: Call | None) -> None:
        _put(self._writers, fd, call)
        self._register(fd)

    def on_hangup(self, fd: int, call: Call | None) -> None:
        """Call `call` when the other side hangs up, if `fd` has neither a read nor a write callback."""
        _put(self._hangups, fd, call)
        self._register(fd)

    def forget(self, fd: int) -> None:
        """Remove all callbacks of `fd`. Call this before `fd` is closed."""
        for calls in (self._readers, self._writers, self._hangups):
            calls.pop(fd, None)
        self._register(fd)

    def _register(self, fd: int) -> None:
        if fd in self._readers or fd in self._writers or fd in self._hangups:
            events = select.POLLIN if fd in self._readers else 0
            self._poll.register(fd, events | (select.POLLOUT if fd in self._writers else 0))
            return
        try:
            self._poll.unregister(fd)
        except KeyError:
            pass

    def after(self, seconds: float, call: Call) -> Timer:
        """Call `call` once, when `seconds` have passed."""
        timer = Timer(time.monotonic() + seconds, call)
        self._timers.add(timer)
        return timer

    def cancel(self, timer: Timer | None) -> None:
        if timer is not None:
            self._timers.discard(timer)

    def on_signal(self, number: int, call: Call) -> None:
        self._signals[number] = call
        signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        while self._running:
            for fd, events in self._poll.poll(self._poll_timeout()):
                self._serve(fd, events)
            self._call_timers()

    def _serve(self, fd: int, events: int) -> None:
        # an earlier callback may have removed those of this descriptor
        if events & ~select.POLLOUT and fd in self._readers:
            self._readers[fd]()
        if events & ~select.POLLIN and fd in self._writers:
            self._writers[fd]()
        elif events & (select.POLLHUP | select.POLLERR) and fd not in self._readers and fd in self._hangups:
            self._hangups[fd]()

    def _poll_timeout(self) -> int | None:
        if not self._timers:
            return None
        due = min(timer.due for timer in self._timers)
        # rounded up: waking up a millisecond early would only repeat the poll
        return max(0, int((due - time.monotonic()) * 1000) + 1)

    def _call_timers(self) -> None:
        now = time.monotonic()
        for timer in sorted((t for t in self._timers if t.due <= now), key=lambda t: t.due):
            if timer in self._timers:
                self._timers.discard(timer)
                timer.call()

    def _take_signals(self) -> None:
        try:
            numbers = set(os.read(self._woken, 4096))
        except BlockingIOError:
            return
        for number in numbers:
            if number in self._signals:
                self._signals[number]()


def _put(calls: dict[int, Call], fd: int, call: Call | None) -> None:
    if call is None:
        calls.pop(fd, None)
    else:
        calls[fd] = call
