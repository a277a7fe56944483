"""A subscription of one reader. It begins when the reader's buffer is empty, and again with each connection.

Subclasses decode the notices and buffer them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sized
from typing import Any, Self

import msgspec

from .connection import Connection, ConnectionLost
from .errors import HubError


class Subscription(ABC):
    """A subscription. `_buffer` has the items that were not yielded yet; `_failure` is raised after them."""

    _buffer: Sized

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name = ""
        self._news = asyncio.Event()
        self._failure: HubError | None = None

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    def on_notice(self, method: str, params: msgspec.Raw, size: int) -> None:
        """Buffer the notice, and set `_news`."""

    def on_disconnect(self) -> None:
        self._name = ""
        self._news.set()

    @abstractmethod
    async def _subscribe(self) -> None:
        """Call `_begin`, and use the reply if there is one."""

    async def _wait_for_news(self) -> None:
        """Wait until something is buffered, and subscribe if necessary."""
        while not self._buffer:
            if self._failure is not None:
                raise self._failure
            if self._name:
                self._news.clear()
                await self._news.wait()
            else:
                await self._subscribe()

    async def _begin(self, method: str, params: dict[str, Any]) -> Any:
        """Subscribe; return the hub's reply, or None if the connection was lost before it arrived."""
        self._name = self._connection.new_name()
        try:
            return await self._connection.follow(self._name, method, params, self)
        except ConnectionLost:
            self._name = ""
            return None
        except BaseException:  # also if the caller is cancelled
            self._name = ""
            raise
