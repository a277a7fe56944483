"""What is followed on the connection for one reader: begun when there is nothing left to give, and again with
the next connection. What is told, and what is kept of it, it refuses to know.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sized
from typing import Any, Self

import msgspec

from .errors import HubError
from .link import Link, Lost


class Subscription(ABC):
    """`_kept`: what has come and was not given yet; `_failure`: is raised behind that."""

    _kept: Sized

    def __init__(self, link: Link) -> None:
        self._link = link
        self._name = ""
        self._news = asyncio.Event()
        self._failure: HubError | None = None

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    def told(self, method: str, params: msgspec.Raw, size: int) -> None:
        """Something has come: to be kept, and `_news` to be set."""

    def cut(self) -> None:
        self._name = ""
        self._news.set()

    @abstractmethod
    async def _subscribe(self) -> None:
        """`_begin`, and take the answer, where there is one."""

    async def _filled(self) -> None:
        """Until something is kept."""
        while not self._kept:
            if self._failure is not None:
                raise self._failure
            if self._name:
                self._news.clear()
                await self._news.wait()
            else:
                await self._subscribe()

    async def _begin(self, method: str, params: dict[str, Any]) -> Any:
        """What the hub answers; None where the connection was lost before it did."""
        self._name = self._link.new_name()
        try:
            return await self._link.follow(self._name, method, params, self)
        except BaseException as error:
            self._name = ""
            if not isinstance(error, Lost):
                raise
            return None
