"""The server's end of one Engine.IO session: what waits for the client, and when a ping is due.

There is no I/O and no clock: the caller passes the time, and sends what it takes out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from rhetor.codec.engineio import PING, SEPARATOR, Timing

MOST_IN_PAYLOAD: Final = 16  # python-socketio's client rejects more
QUEUE_BYTES: Final = 1 << 20
PACKET_BYTES: Final = 64  # of memory, besides its bytes


class Phase(Enum):
    """`POLLING`: packets wait for the next poll. `PROBING`: the same, while the client tests a WebSocket.
    `WEBSOCKET`: packets are sent at once. `CLOSED`: packets are dropped."""

    POLLING = auto()
    PROBING = auto()
    WEBSOCKET = auto()
    CLOSED = auto()


class EngineSession:
    """One session. Times are monotonic seconds.

    `deadline`: when `beat` is to be called. `awaits_pong`: a ping was sent, and the deadline is that of its
    answer.
    """

    def __init__(self, timing: Timing, now: float) -> None:
        self.phase = Phase.POLLING
        self.awaits_pong = False
        self.deadline = now + timing.ping_interval
        self._timing = timing
        self._queue: deque[bytes] = deque()
        self._size = 0

    @property
    def is_empty(self) -> bool:
        return not self._queue

    @property
    def is_full(self) -> bool:
        """Whether the client must poll before more is queued. The packets that make the queue full may exceed
        its limit."""
        return self._size >= QUEUE_BYTES

    def put(self, packets: Iterable[bytes]) -> None:
        """Queue encoded packets."""
        if self.phase is Phase.CLOSED:
            return
        for packet in packets:
            self._queue.append(packet)
            self._size += len(packet) + PACKET_BYTES

    def take(self) -> list[bytes]:
        """Take all queued packets."""
        taken = list(self._queue)
        self._queue.clear()
        self._size = 0
        return taken

    def take_payload(self) -> bytes:
        """Take at most 16 packets, as one payload."""
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_IN_PAYLOAD))]
        self._size -= sum(map(len, taken)) + PACKET_BYTES * len(taken)
        return SEPARATOR.join(taken)

    def beat(self, now: float) -> bool:
        """Queue a ping, and set the deadline of its answer. Call this at `deadline`. Return False if the
        deadline was that of an answer: the client is gone."""
        if self.awaits_pong:
            return False
        self.awaits_pong = True
        timeout = self._timing.ping_timeout
        # a call that is much too late, because the process was suspended, leaves the client its whole time
        self.deadline = (self.deadline if now < self.deadline + timeout else now) + timeout
        self.put([PING])
        return True

    def pong(self, now: float) -> None:
        """Note that the client has answered a ping."""
        self.awaits_pong = False
        self.deadline = now + self._timing.ping_interval

    def is_overdue(self, now: float) -> bool:
        """Whether the client has not answered a ping in time, even if `beat` was not called yet."""
        late = 0.0 if self.awaits_pong else self._timing.ping_timeout
        return self.phase is not Phase.CLOSED and now >= self.deadline + late

    def close(self) -> None:
        """Drop what is queued, and what is queued from now on."""
        self.phase = Phase.CLOSED
        self.take()
