"""Programs on pipes: the message is written to stdin, and the answer is what follows on stdout."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from rhetor.codec.utf8 import Decoder
from rhetor.domain.output import Done, Plain, Spooled, Text
from rhetor.drivers.base import Prompt
from rhetor.errors import ProgramBlocked

from .host.failures import HostLost, HostSilent, ProgramOver
from .host.feed import Stderr
from .host.values import Chunk, Exited, Reader
from .program import HostedProgram, clock, of_stderr, plain
from .readiness import BUSY_SECONDS, LOOK_SECONDS, Readiness
from .stdio_turn import StdioTurn

DELIMITER = "\n"
MAX_PROMPT_BYTES = 200


class StdioProgram(HostedProgram):
    """A program that reads and writes plain text.

    Its answer ends with the delimiter if there is one. Otherwise it ends when the program waits for input,
    when it repeats on stderr the prompt that it showed before the message (a REPL), or when it falls silent
    and nothing better can be known. The answer always ends when the program ends.
    """

    _asks = b""  # the unfinished last line of stderr
    _pending = ""  # written and not run
    _turn: StdioTurn | None = None
    _left: StdioTurn | None = None  # a turn for which nobody waits any more, until its answer has come

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._readiness = Readiness()

    def turn_left(self) -> None:
        self._left, self._settled = self._turn, asyncio.Event()

    def turn_ended(self) -> None:
        if self._left is None:
            super().turn_ended()
        else:
            self.set_status("busy", "it is still working on a message that no client waits for")

    async def ready(self) -> None:
        """Wait until the program has answered a message for which nobody waits any more, so that this answer
        is not taken for that of the next message."""
        while self._left is not None and self.ended is None:
            await self._settled.wait()

    def _follow_left(self, data: bytes | None, reader: Reader | None = None) -> None:
        """Take output of a turn that was left, or note that it is silent."""
        if self._left is None:
            return
        if data is None:
            self._left.tick(clock(), reader)
        else:
            self._left.received(data, clock())
        if self._left.ended is not None:
            self._left = None
            self._settled.set()
            self.turn_ended()

    async def listen(self) -> AsyncGenerator[Spooled, None]:
        decoder = Decoder()
        while self.ended is None:
            item = await self.feed.next_unclaimed(self._left.due if self._left else None)
            if isinstance(item, Chunk):
                self._follow_left(item.data)
                outputs = tuple(_unasked(plain(decoder.feed(item.data))))
                yield Spooled(self.source, self.feed.offset - decoder.held, outputs)
            elif isinstance(item, Stderr):
                self._note(item)
                yield of_stderr(self.source, item)
            elif item is None and self._left is not None and not self.feed.must_yield:
                self._follow_left(None, await self._readiness.reader(self.link, self.feed))
            else:
                if rest := _unasked(plain(decoder.finish())):
                    yield Spooled(self.source, self.feed.offset, tuple(rest))
                if item is None:
                    return
                self.note_end(item)
                if self._left is not None:
                    self._settled.set()

    async def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        self._require_nothing_pending(message)
        async for spooled in self._until_ready():
            yield spooled
        ends = message.delimiter or (self.peer.program.delimiter if self.peer.program else None)
        text = message.content + (ends or DELIMITER if message.execute else "")
        turn = StdioTurn(ends.encode() if ends else None)
        self._turn = turn
        asked, self._asks = self._asks, b""
        await self.link.write(text.encode(), "text")
        turn.started(clock())
        if not message.execute:
            self._pending += message.content
            yield Done("typed")
            return
        self._pending = ""
        async for spooled in self._answer(turn, asked):
            yield spooled
        yield Done(turn.finish_reason)

    def _require_nothing_pending(self, message: Prompt) -> None:
        """Raise ProgramBlocked if the message would join text that was written before and not run."""
        if self._pending and message.content:
            name = self.peer.name
            raise ProgramBlocked(
                f"{name} has text that was typed and not run: {self._pending[:200]!r}",
                hint=f'run it with: aish {name} "" -x',
            )

    async def _until_ready(self) -> AsyncGenerator[Spooled, None]:
        """Wait until the program reads input, and yield what it prints meanwhile. That is not part
        of an answer.

        Raises:
            ProgramBlocked: it reads no input for too long.
        """
        began, decoder = clock(), Decoder()
        while self.ended is None:
            host = await self.link.status()
            if self._readiness.reads(host.reader, clock() - began):
                if rest := _unasked(plain(decoder.finish())):
                    yield Spooled(self.source, self.feed.offset, tuple(rest))
                return
            if clock() - began > BUSY_SECONDS:
                raise ProgramBlocked(f"{self.peer.name} is busy: it reads no input")
            item = await self.feed.next(clock() + LOOK_SECONDS)
            if isinstance(item, Chunk):
                outputs = tuple(_unasked(plain(decoder.feed(item.data))))
                yield Spooled(self.source, self.feed.offset - decoder.held, outputs)
            elif isinstance(item, Stderr):
                self._note(item)
                yield of_stderr(self.source, item)
            elif item is not None:
                self.note_end(item)
        raise self.failure()

    async def _answer(self, turn: StdioTurn, asked: bytes) -> AsyncGenerator[Spooled, None]:
        began, heard = self.feed.offset, clock()
        while turn.ended is None:
            stuck = self.stuck_deadline(heard)
            item = await self.feed.next(stuck if turn.due is None else min(stuck, turn.due))
            if item is None:
                if clock() >= stuck:
                    self.set_status("stuck", f"no output for {clock() - heard:.0f} s in a running turn")
                    heard = clock()
                due = turn.due is not None and clock() >= turn.due
                reader = await self._readiness.reader(self.link, self.feed) if due else None
                pieces = turn.tick(clock(), reader)
            elif isinstance(item, Chunk):
                heard = clock()
                self.set_status("busy", "a turn is running")
                pieces = turn.received(item.data, heard)
                surplus = self.feed.offset - began - turn.taken
                if surplus:  # only if the turn has ended
                    self.feed.give_back(item.data[len(item.data) - surplus :])
            elif isinstance(item, Stderr):
                self._note(item)
                if asked and self._asks == asked:
                    turn.prompted(clock())
                yield of_stderr(self.source, item)
                continue
            else:
                self.note_end(item)
                ended = item if isinstance(item, Exited) else None
                pieces = turn.exited(ended.code if ended else None, ended.signal if ended else None, clock())
            yield Spooled(self.source, self.feed.offset - turn.held, tuple(plain(pieces)))
        if self.ended_badly():
            raise self.failure()

    def _note(self, item: Stderr) -> None:
        _, newline, last = item.data.rpartition(b"\n")
        self._asks = (last if newline else self._asks + last)[-MAX_PROMPT_BYTES:]

    async def interrupt(self) -> None:
        try:
            await self.link.signal(signal.SIGINT)
        except (HostLost, HostSilent, ProgramOver):
            pass  # the program has ended already


def _unasked(outputs: Sequence[Plain]) -> list[Plain]:
    """Return the outputs as ones that no message asked for."""
    return [Text(one.text, "unsolicited") if isinstance(one, Text) else one for one in outputs]
