"""Wake-ups between nodes: names of streams and rows that have changed, by NOTIFY.

They carry no data and may be lost: a reconnect wakes everybody, and a sweep looks every few seconds where the
streams of the waiting followers end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import Any

import msgspec

from rhetor.background import start, stop
from rhetor.errors import StoreRefused
from rhetor.store.base import Place

from .connection import ERRORS, Connection, close, closed_on_failure, connect

SWEEP = 5.0  # seconds
REST = 0.003  # seconds after a notification in which further changes are gathered for the next one
MOST_BYTES = 7_500  # of a notification; the server takes less than 8,000
LONGEST_PAUSE = 2.0  # seconds, between attempts to reach the server
# a notification writes nothing, so it need not wait for the disk
SETTINGS = {"synchronous_commit": "off"}
MOST_ROWS = 200  # of a kind that are named; of more, only their kind is
MOST_PENDING = 100_000  # names that wait; if there are more, some are not sent
Name = str | Place  # of a stream, or of a row; a row without an id stands for any of its kind
_names = msgspec.json.Decoder(list[Name])
log = logging.getLogger(__name__)


class WakeUps:
    """Tells the other nodes which streams and rows have changed, and is told by them.

    `changed(streams, rows)`: other nodes have changed these. `missed()`: anything may have changed.
    `sweep()`: looks for changes of the streams that followers wait for.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        changed: Callable[[Sequence[str], Sequence[Place]], None],
        missed: Callable[[], None],
        sweep: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = url
        self._channel = channel
        self._changed = changed
        self._missed = missed
        self._sweep = sweep
        self._pending: dict[Name, None] = {}
        self._filled = asyncio.Event()
        self._own_pid = 0
        self._listening: Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Listen from now on.

        Raises:
            StoreRefused: the server cannot be reached.
        """
        self._listening = await self._listen()
        self._tasks = [
            start(self._keep_listening(self._listening), "store listener"),
            start(self._keep_notifying(), "store notifier"),
            start(self._keep_sweeping(), "store sweep"),
        ]

    def notify(self, names: Iterable[Name]) -> None:
        """Tell the other nodes soon. What is pending goes out together."""
        if len(self._pending) < MOST_PENDING:
            self._pending.update(dict.fromkeys(names))
        self._filled.set()

    async def aclose(self) -> None:
        try:
            await stop(*self._tasks)
        finally:
            if self._listening is not None:
                await close(self._listening)

    async def _listen(self) -> Connection:
        connection = await connect(self._url, "listen")
        with closed_on_failure(connection):
            await connection.add_listener(self._channel, self._received)
        return connection

    def _received(self, connection: Any, pid: int, channel: str, payload: Any) -> None:
        if pid == self._own_pid:
            return
        try:
            names = _names.decode(payload)
        except msgspec.MsgspecError:  # somebody else uses the channel
            log.warning("notification ignored", extra={"channel": channel})
            self._missed()
        else:
            rows = [name for name in names if not isinstance(name, str)]
            self._changed([name for name in names if isinstance(name, str)], rows)

    async def _keep_listening(self, connection: Connection) -> None:
        pause = 0.05
        while True:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _, lost=lost: lost.set())
            if connection.is_closed():
                lost.set()
            await lost.wait()
            log.warning("listening connection lost")
            while True:
                try:
                    connection = self._listening = await self._listen()
                    break
                except (StoreRefused, *ERRORS) as error:
                    log.info("listening failed", extra={"reason": str(error)})
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
            pause = 0.05
            self._missed()

    async def _keep_notifying(self) -> None:
        connection: Connection | None = None
        sent = 0.0
        try:
            while True:
                await self._filled.wait()
                await asyncio.sleep(sent + REST - monotonic())
                self._filled.clear()
                names, self._pending = self._pending, {}
                try:
                    if connection is None or connection.is_closed():
                        connection = await connect(self._url, "notify", SETTINGS)
                        self._own_pid = connection.get_server_pid()
                    sent = monotonic()
                    for payload in _payloads(names):
                        await connection.execute("SELECT pg_notify($1, $2)", self._channel, payload)
                except (StoreRefused, *ERRORS) as error:
                    log.warning("notification delayed", extra={"reason": str(error)})
                    self._pending = names | self._pending  # it may be sent twice
                    self._filled.set()
                    if connection is not None:
                        connection.terminate()
                    await asyncio.sleep(0.1)
        finally:
            if connection is not None:
                await close(connection)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await self._sweep()
            except StoreRefused as error:
                log.info("sweep failed", extra={"reason": error.detail})


def _payloads(names: Iterable[Name]) -> list[str]:
    """Return lists of names as JSON, each as long as the server takes it. Of a longer name, none is sent."""
    found: list[list[Name]] = [[]]
    size = 0
    for name in _shortened(names):
        length = len(msgspec.json.encode(name)) + 1
        if size + length > MOST_BYTES and found[-1]:
            found.append([])
            size = 0
        if length <= MOST_BYTES:
            found[-1].append(name)
            size += length
    return [msgspec.json.encode(each).decode() for each in found if each]


def _shortened(names: Iterable[Name]) -> Iterable[Name]:
    """Name only the kind of rows of which there are many, or whose ids are too long."""
    names = list(names)
    of_kind = Counter(name[0] for name in names if not isinstance(name, str))
    many = {kind for kind, number in of_kind.items() if number > MOST_ROWS}
    return dict.fromkeys(
        (name[0], "")
        if not isinstance(name, str) and (name[0] in many or len(name[1]) > MOST_BYTES // 8)
        else name
        for name in names
    )
