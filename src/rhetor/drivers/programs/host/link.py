"""The hub's side of one host: reads its program's output, writes its input, and ends it.

`hosts.py` starts and finds hosts. This module does not know what the output means.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Literal

from rhetor import background
from rhetor.codec import host_frames as frames
from rhetor.codec.host_frames import FrameBroken
from rhetor.errors import DeliveryUnknown, TurnFailure

from .connection import ANSWER_SECONDS, AlreadyEnded, HostConnection
from .failures import HostLost, InvalidHostAnswer, ProgramOver
from .reach import HostReach
from .spec import HostIdentity, Mode
from .values import Chunk, Exited, HostStatus, Lost, exited, status

LOOK_SECONDS = 2.0  # for a host to answer that is found again, or that ends its program
KILL_SECONDS = 5.0  # for the descendants of a program to die after SIGKILL
_REPEATABLE = (frames.STATUS, frames.ACKNOWLEDGE, frames.RESIZE, frames.CLOSE_STDIN, frames.SEAL)
_KINDS = {"keys": frames.KEYS, "text": frames.TEXT}


class HostLink:
    """A running host, or, without a `hub_connection`, what a host has left in its folder. A host ends its
    program some time after the last link to it was closed.

    Calls may run at the same time. Each raises HostLost if the host was killed or sends invalid answers, and
    HostSilent if it does not answer. Readers wait instead: a host that was stopped may continue. Calls that
    need the program raise ProgramOver if it has ended.
    """

    def __init__(self, reach: HostReach, hub_connection: HostConnection | None) -> None:
        self.reach = reach
        self._hub_connection = hub_connection
        self._closed = False
        self._control: list[HostConnection] = []
        self._controlling = asyncio.Lock()
        self._input: list[HostConnection] = []
        self._writing = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, reach: HostReach, seconds: float | None = ANSWER_SECONDS) -> HostLink:
        """Connect to a running host.

        Raises:
            ConnectionError, EOFError: the host is gone, or another process listens in its place.
            HostRefused: the nonce is wrong.
            HostSilent: the host does not answer.
        """
        return cls(reach, await reach.connect(hub=True, seconds=seconds))

    async def connect(self) -> None:
        """Connect to a host that was silent before, as its hub. Waits without limit until it answers.

        Raises:
            HostLost: the host is gone.
        """
        if self.connected:
            return
        try:
            self._hub_connection = await self.reach.connect(hub=True, seconds=None)
        except (OSError, EOFError, ValueError):
            raise HostLost(self.host_id) from None

    async def answers(self, seconds: float | None) -> bool:
        """Return whether the host answers within `seconds` (None: without limit). True also if it is gone,
        which readers report.

        At most one such question is open at a time.
        """
        if self._looking is None:
            self._looking = background.start(self._look(), f"look at {self.host_id}")
        looking = self._looking
        await asyncio.wait((looking,), timeout=seconds)
        if looking.done() and self._looking is looking:
            self._looking = None
        return looking.done()

    async def _look(self) -> None:
        with suppress(OSError, EOFError, ValueError, TurnFailure):
            (await self.reach.connect(seconds=None)).close()

    @property
    def connected(self) -> bool:
        """Whether the host has answered. If not, it is silent or gone."""
        return self._hub_connection is not None

    @property
    def identity(self) -> HostIdentity:
        return self.reach.identity

    @property
    def host_id(self) -> str:
        return self.reach.host_id

    @property
    def mode(self) -> Mode:
        return self.identity.mode

    async def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        """Yield what the program writes to stdout or its terminal, each byte once. Exited is the last item.

        The output begins at `offset`, or at the earliest byte that is kept if that is later. Each call has a
        connection of its own and reads no faster than its caller does.

        Raises:
            HostRefused: `offset` is beyond the end of the output.
        """
        while True:
            try:
                async with aclosing(self._follow(frames.READ, offset)) as items:
                    async for item in items:
                        if isinstance(item, Chunk):
                            offset = item.offset_after
                        if not isinstance(item, Lost):
                            yield item
                        if isinstance(item, Exited):
                            return
            except (ConnectionError, EOFError):
                if await self.reach.runs():
                    await self._keep_alive()
                    continue
            break
        # the host is gone; its folder has the output that was not read yet
        async with aclosing(self.reach.read(offset)) as left:
            async for item in left:
                yield item

    async def _keep_alive(self) -> None:
        """Be the host's hub again, after all connections to its machine were lost."""
        if self._hub_connection is not None:
            with suppress(OSError, EOFError, ValueError, TurnFailure):
                self._hub_connection.close()
                self._hub_connection = await self.reach.connect(hub=True, seconds=None)

    async def read_stderr(self, offset: int) -> AsyncGenerator[Chunk | Lost, None]:
        """Yield what the program writes to stderr, from `offset` to the program's end.

        The host keeps only the last part: Lost stands for what was dropped before it was read. In a terminal,
        stderr is part of the output.
        """
        while True:
            try:
                async with aclosing(self._follow(frames.READ_STDERR, offset)) as items:
                    async for item in items:
                        if isinstance(item, Exited):
                            return
                        offset = item.offset_after
                        yield item
                return
            except (ConnectionError, EOFError):
                if await self.reach.runs():
                    continue
                if await self.reach.exited() is None:
                    raise HostLost(self.host_id) from None
                return

    async def _follow(self, kind: int, offset: int) -> AsyncGenerator[Chunk | Lost | Exited, None]:
        connection = await self.reach.connect(seconds=None)
        try:
            await connection.send(kind, frames.pack_offset(offset))
            while True:
                yield _item(*await connection.receive())
        except ValueError as error:
            raise InvalidHostAnswer(self.host_id, error) from error
        finally:
            connection.close()

    async def write(self, data: bytes, kind: Literal["keys", "text"]) -> None:
        """Write to the program's input. Returns when its terminal or pipe has accepted all of it.

        `text` arrives byte for byte, even if the terminal would treat some bytes as control characters.
        `keys` arrive as if a person had typed them. Concurrent writes do not mix. A write that is cancelled
        may stop after any byte.

        Raises:
            StdinClosed: the program's input is closed.
        """
        pieces = range(0, len(data), frames.MAX_PIECE_BYTES)
        async with self._writing, self._connection(self._input) as connection:
            for at in pieces:
                piece = data[at : at + frames.MAX_PIECE_BYTES]
                last = at == pieces[-1]
                await self._piece(connection, frames.pack_write(_KINDS[kind], piece, last=last))

    async def _piece(self, connection: HostConnection, body: bytes) -> None:
        """Write a piece. The host answers only when the program has taken it, which may take any time, so
        only the host's silence is limited."""
        asked = asyncio.create_task(connection.ask(frames.WRITE, body), name=f"write {self.host_id}")
        try:
            while not (await asyncio.wait((asked,), timeout=ANSWER_SECONDS))[0]:
                async with self.reach.answering():
                    await self.answers(None)
            await asked
        finally:
            await background.stop(asked)

    async def close_stdin(self) -> None:
        """End the program's input after all earlier writes: close its pipe, or type the end-of-file key."""
        async with self._writing:
            await self._ask(frames.CLOSE_STDIN)

    async def resize(self, rows: int, cols: int) -> None:
        """Set the size of the terminal, 1–65535 each.

        Raises:
            HostRefused: the program runs on pipes.
        """
        await self._ask(frames.RESIZE, frames.pack_size(rows, cols))

    async def signal(self, signum: int) -> None:
        """Send a signal to the terminal's foreground process group; on pipes, to the program's group."""
        await self._ask(frames.SIGNAL, frames.pack_number(signum))

    async def acknowledge(self, offset: int) -> None:
        """Allow the host to delete the output before `offset`. If the program has ended and `offset` is the
        end of its output, the host exits.

        Raises:
            HostRefused: `offset` is beyond the end of the output.
        """
        try:
            await self._ask(frames.ACKNOWLEDGE, frames.pack_offset(offset))
        except ProgramOver:
            pass  # the host has exited

    async def seal(self, key: bytes, library: str) -> None:
        """Have the host seal its spool with `key`: first what it appends, then the output so far.

        Raises:
            HostRefused: it cannot; an earlier version of rhetor started it, for example.
        """
        await self._ask(frames.SEAL, frames.pack_seal(key, library))

    async def status(self) -> HostStatus:
        try:
            return status(await self._ask(frames.STATUS))
        except ValueError as error:
            raise InvalidHostAnswer(self.host_id, error) from error

    async def end(self, grace: float = 5.0) -> Exited:
        """End the program and all its descendants: SIGTERM, then SIGKILL after `grace` seconds. Returns when
        all of them have ended."""
        number = frames.pack_number(round(grace * 1000))
        return await self._ask_for_end(frames.END, number, grace + KILL_SECONDS)

    async def wait(self) -> Exited:
        """Wait until the program has ended, and return how it ended."""
        return await self._ask_for_end(frames.WAIT)

    async def kill(self) -> None:
        """Kill a host that does not answer. Its program and all descendants end with it. Returns when the
        host is gone."""
        await self.reach.kill()

    async def aclose(self) -> None:
        """Close the connections. The program and its host continue to run."""
        self._closed = True
        if self._looking is not None:
            await background.stop(self._looking)
        for connection in (self._hub_connection, *self._control, *self._input):
            if connection is not None:
                await connection.aclose()
        self._control.clear()
        self._input.clear()

    async def _ask(self, kind: int, body: bytes = b"") -> bytes:
        try:
            return await self._ask_once(kind, body)
        except DeliveryUnknown:
            if kind not in _REPEATABLE:
                raise
            return await self._ask_once(kind, body)

    async def _ask_once(self, kind: int, body: bytes) -> bytes:
        async with (
            self.reach.answering(),
            self._controlling,
            self._connection(self._control) as connection,
        ):
            return await connection.ask(kind, body)

    async def _ask_for_end(self, kind: int, body: bytes = b"", seconds: float | None = None) -> Exited:
        try:
            connection = await self.reach.connect(seconds=LOOK_SECONDS)
            try:
                async with self.reach.answering(seconds):
                    return exited(await connection.ask(kind, body))
            finally:
                connection.close()
        except ValueError as error:
            raise InvalidHostAnswer(self.host_id, error) from error
        except (ConnectionError, EOFError):
            end = await self.reach.exited()
            if end is None:
                raise await self._lost() from None
            return end

    async def _lost(self) -> TurnFailure:
        """Return why a connection has ended, of a program whose end is not known."""
        if await self.reach.runs():
            return DeliveryUnknown(self.reach.machine)
        return HostLost(self.host_id)

    @asynccontextmanager
    async def _connection(self, kept: list[HostConnection]) -> AsyncIterator[HostConnection]:
        """Yield the connection in `kept`, or a new one. After a failure, it is not used again, because its
        next answer might belong to another request."""
        try:
            while kept and not kept[-1].stream.is_usable:
                kept.pop().close()
            connection = kept.pop() if kept else await self.reach.connect()
            try:
                yield connection
            except BaseException:  # also if the caller is cancelled
                connection.close()
                raise
        except FrameBroken as error:
            raise InvalidHostAnswer(self.host_id, error) from error
        except (ConnectionError, EOFError, AlreadyEnded):
            end = await self.reach.exited()
            if end is None:
                raise await self._lost() from None
            raise ProgramOver(self.host_id, end.code, end.signal) from None
        if self._closed:
            connection.close()
        else:
            kept.append(connection)


def _item(kind: int, body: bytes) -> Chunk | Lost | Exited:
    """Decode a frame that a host sends to a reader.

    Raises:
        ValueError: the frame is of another kind, or its body is invalid.
    """
    if kind == frames.CHUNK:
        return Chunk(*frames.unpack_chunk(body))
    if kind == frames.LOST:
        after, count, _ = frames.unpack_chunk(body)
        return Lost(after, count)
    if kind == frames.EXITED:
        return exited(body)
    raise FrameBroken(f"unexpected frame of kind {kind}")
