"""Open WebSockets and event streams: limits per caller, and ending those whose credential is no longer
valid."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from rhetor.auth.credentials import ByCookie, Credential
from rhetor.auth.limits import MovingWindow
from rhetor.domain.identity import Login
from rhetor.domain.principal import Principal
from rhetor.errors import RhetorError, TooManyConnections

RECHECK_SECONDS = 1.0
PER_MINUTE, AT_ONCE = 20, 100
RETRY_SECONDS = 5.0  # for a caller at its limit; when one of its connections will end is unknown
log = logging.getLogger(__name__)


class Connection(Struct, eq=False):
    """An open connection. `ended`: why the hub ended it; None if it did not."""

    api: str
    principal: Principal
    credential: Credential | None
    task: asyncio.Task[object]
    ended: RhetorError | None = None

    def end(self, error: RhetorError) -> None:
        """Cancel the task that serves the connection. The task then reports the error to the client."""
        if self.ended is None:
            self.ended = error
            self.task.cancel()


class Connections:
    """The open connections, limited for each caller. `per_minute`: how many a caller may open in any 60
    seconds; `at_once`: how many it may have open."""

    def __init__(self, per_minute: int = PER_MINUTE, at_once: int = AT_ONCE) -> None:
        self._new = MovingWindow(per_minute)
        self._at_once = at_once
        self._open: set[Connection] = set()
        self._held: Counter[str] = Counter()

    def limit(self, per_minute: int, at_once: int) -> None:
        """Change the limits; open connections stay open."""
        self._new.per_minute, self._at_once = per_minute, at_once

    def by_api(self, subject: str | None = None) -> Counter[str]:
        """Return how many are open, by API. `subject`: only those of this caller."""
        own = (each for each in self._open if subject in (None, each.principal.subject))
        return Counter(connection.api for connection in own)

    def count_of(self, login: Login) -> int:
        """Return how many connections were opened with a login."""
        credentials = (each.credential for each in self._open)
        return sum(isinstance(each, ByCookie) and each.login == login for each in credentials)

    @contextmanager
    def opened(
        self, api: str, principal: Principal, credential: Credential | None, *, is_new: bool = True
    ) -> Iterator[Connection]:
        """Count a connection while the current task serves it. `is_new`: it counts against `per_minute`; a
        stream that answers a message does not.

        Raises:
            TooManyConnections: the caller has reached a limit.
            RhetorError: the error that `Connection.end` was called with.
        """
        subject = principal.subject if principal.is_limited else None
        if subject is not None:
            self._admit(subject, asyncio.get_running_loop().time(), is_new=is_new)
            self._held[subject] += 1
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(api, principal, credential, task)
        self._open.add(connection)
        try:
            yield connection
        except asyncio.CancelledError:
            if connection.ended is None:
                raise
            raise connection.ended from None
        finally:
            self._close(connection, subject)

    def require_room(self, principal: Principal) -> None:
        """Check that `opened` will accept one more stream that answers a message, before it is sent.

        Raises:
            TooManyConnections: the caller has as many connections open as it may.
        """
        if principal.is_limited:
            self._admit(principal.subject, asyncio.get_running_loop().time(), is_new=False)

    def recheck(self) -> None:
        """End the connections whose credential is no longer valid."""
        for connection in list(self._open):
            fault = connection.credential.fault() if connection.credential else None
            if fault is not None:
                connection.end(fault)

    async def keep_checking(self) -> None:
        """Call `recheck` once a second, forever. If it fails, the failure is logged, and the next call
        checks again."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                self.recheck()
            except Exception:  # a bug must not end the checks
                log.exception("checking the open connections failed")

    def _admit(self, subject: str, now: float, *, is_new: bool) -> None:
        if self._held[subject] >= self._at_once:
            raise TooManyConnections("at once", self._at_once, RETRY_SECONDS)
        if not is_new:
            return
        if wait := self._new.wait(subject, now):
            raise TooManyConnections("per minute", self._new.per_minute, math.ceil(wait))
        self._new.note(subject, now)

    def _close(self, connection: Connection, subject: str | None) -> None:
        self._open.discard(connection)
        if connection.ended is not None and connection.task.cancelling():
            connection.task.uncancel()  # the cancellation was ours
        if subject is not None:
            self._held[subject] -= 1
            if not self._held[subject]:
                del self._held[subject]
