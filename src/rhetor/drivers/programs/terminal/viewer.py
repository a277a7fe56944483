"""The clients' terminals that are attached to a program's: what each one shows, and their common size."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from rhetor import background
from rhetor.domain.program import Exit
from rhetor.drivers.programs.host.failures import HostLost, OutputUnreadable, ProgramOver
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Chunk, Exited
from rhetor.errors import Forbidden, TooSlow

WAITING = 16  # items that are ready for a viewer; further output waits in the spool
MOST_WAITING = 16 * WAITING  # including notices; a viewer that falls further behind must attach again
Size = tuple[int, int]
Shown = bytes | dict[str, Any]


class Audience:
    """All viewers of one program's terminal.

    `size`: the current rows and columns of that terminal: the smallest among the viewers that may type, or
    among all viewers if none may. `resized` is called to apply a new size.
    """

    def __init__(self, name: str, pid: int, size: Size, resized: Callable[[Size], Awaitable[None]]) -> None:
        self.name = name
        self.pid = pid
        self.size = size
        self._resized = resized
        self._viewers: list[TerminalViewer] = []

    @property
    def types(self) -> bool:
        """Whether a viewer that may type is attached. Its terminal answers the program's queries."""
        return any(viewer.writes for viewer in self._viewers)

    def clients(self) -> list[dict[str, str]]:
        return [{"id": v.id, "mode": "rw" if v.writes else "r", "from": v.sender} for v in self._viewers]

    async def join(self, viewer: TerminalViewer) -> None:
        self._viewers.append(viewer)
        self._tell({"type": "clients", "clients": self.clients()}, but=viewer)

    async def leave(self, viewer: TerminalViewer) -> None:
        if viewer in self._viewers:
            self._viewers.remove(viewer)
            self._tell({"type": "clients", "clients": self.clients()})
            await self.agree()

    async def agree(self) -> None:
        """Apply the size that fits the viewers, and notify them if it has changed."""
        counted = [v for v in self._viewers if v.writes] or self._viewers
        sizes = [viewer.size for viewer in counted if viewer.size]
        if not sizes:
            return
        size = min(rows for rows, _ in sizes), min(cols for _, cols in sizes)
        if size != self.size:
            self.size = size
            await self._resized(size)
            self._tell({"type": "size", "rows": size[0], "cols": size[1]})

    def _tell(self, notice: dict[str, Any], but: TerminalViewer | None = None) -> None:
        for viewer in self._viewers:
            if viewer is not but:
                viewer.tell(notice)


class TerminalViewer:
    """One attached terminal. `drawn`: the bytes that draw the screen as of `offset` in the spool. `ended`
    returns how the program ended, or None if that is not known."""

    def __init__(
        self,
        audience: Audience,
        link: HostLink,
        drawn: bytes,
        offset: int,
        ended: Callable[[], Exit | None],
        *,
        sender: str,
        writes: bool,
    ) -> None:
        self.id = f"a_{secrets.token_hex(4)}"
        self.sender = sender
        self.writes = writes
        self.size: Size | None = None
        self._audience = audience
        self._link = link
        self._drawn = drawn
        self._offset = offset
        self._ended = ended
        self._items: asyncio.Queue[Shown | Exception | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(WAITING)
        self._reading = background.start(self._read(), f"view {self.id}", self._unreadable)

    async def __aiter__(self) -> AsyncIterator[Shown]:
        yield self._welcome()
        yield self._drawn
        yield {"type": "replayed"}
        while (item := await self._items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, bytes):
                self._room.release()
            yield item

    async def press(self, keys: bytes) -> None:
        if not self.writes:
            raise Forbidden("this terminal is attached read-only")
        self._link.reach.require_reachable()  # late typing is dangerous
        with suppress(HostLost, ProgramOver):  # the viewer learns of the end after the last output
            await self._link.write(keys, "keys")

    async def resize(self, rows: int, cols: int) -> None:
        self.size = (rows, cols)
        await self._audience.agree()

    async def aclose(self) -> None:
        await background.stop(self._reading)
        await self._audience.leave(self)

    def tell(self, notice: dict[str, Any]) -> None:
        if self._items.qsize() < MOST_WAITING:
            self._items.put_nowait(notice)
        elif self._items.qsize() == MOST_WAITING:
            self._items.put_nowait(_too_slow())

    def _welcome(self) -> dict[str, Any]:
        rows, cols = self._audience.size
        return {
            "type": "attached",
            "id": self.id,
            "mode": "rw" if self.writes else "r",
            "name": self._audience.name,
            "pid": self._audience.pid,
            "rows": rows,
            "cols": cols,
            "clients": self._audience.clients(),
        }

    async def _read(self) -> None:
        at = self._offset
        try:
            async for item in self._link.read(at):
                if isinstance(item, Exited):
                    ended = {"type": "exited", "exit_code": item.code, "signal": item.signal}
                    self._items.put_nowait(ended)
                elif _begins_at(item) != at:
                    self._items.put_nowait(_too_slow())
                    return
                else:
                    await self._room.acquire()
                    self._items.put_nowait(item.data)
                    at = item.offset_after
        except (HostLost, OSError) as gone:  # the spool may be removed once the program has ended
            self._items.put_nowait(_gone(self._ended(), gone))
        self._items.put_nowait(None)

    async def _unreadable(self, error: Exception) -> None:
        self._items.put_nowait(_gone(self._ended(), OutputUnreadable(self._link.host_id, error)))
        self._items.put_nowait(None)


def _begins_at(chunk: Chunk) -> int:
    return chunk.offset_after - len(chunk.data)


def _gone(ended: Exit | None, why: Exception) -> dict[str, Any]:
    """Return the notice that the program has ended, or was lost if it is not known how it ended."""
    if ended is None or ended.lost is not None:
        return {"type": "lost", "reason": ended.detail if ended else str(why)}
    return {"type": "exited", "exit_code": ended.exit_code, "signal": ended.signal}


def _too_slow() -> TooSlow:
    return TooSlow("the unread output is no longer kept; attach again")
