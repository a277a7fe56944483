"""Programs in a terminal: the message is typed, and the answer is what they show until they wait for input.

The raw bytes stay in the host's spool. The screen is drawn from them only when it is needed. The log has the
turns, the statuses and the text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from rhetor.domain.output import Done, Plain, Spooled, Text
from rhetor.domain.program import Dialog, ProgramStatus
from rhetor.drivers.base import Prompt, Viewer
from rhetor.drivers.programs.host.failures import HostLost, HostSilent, ProgramOver
from rhetor.drivers.programs.host.values import Chunk, Exited
from rhetor.drivers.programs.program import NO_ANSWER, HostedProgram, clock
from rhetor.drivers.programs.status import Signs, status
from rhetor.drivers.programs.terminal.dialogs import is_prompt, like_prompt
from rhetor.errors import ProgramBlocked

from . import dialogs
from .dialogs import dialog_on
from .message_input import MessageInput
from .screen import Screen
from .turn import TerminalTurn
from .viewer import Audience, Size, TerminalViewer

ENTER = "\r"
UNREAD_BYTES = 128 << 10  # kept until the screen is drawn; older output is dropped
AT_ONCE_BYTES = 4 << 10  # more than this is drawn in a thread
DRAW_SECONDS = 0.05
QUIET_SECONDS = 0.6
START_SECONDS = 10.0  # how long the first message waits until the program reads input
SILENT_SECONDS = 1.0  # between two attempts to draw the screen if the host does not answer
BUSY_SECONDS = 60.0  # how long a message waits for a command that no message started
_MARK = re.compile(rb"\x1b\]133;([ABCD])")


class TerminalProgram(HostedProgram):
    """A program in a terminal. The viewers that are attached to it determine the terminal's size."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.feed.tap = self._seen
        self._audience: Audience | None = None
        self._screen: Screen | None = None
        self._drawing = asyncio.Lock()
        self._unread = bytearray()
        self._edge = b""
        self._mark = b""
        self._heard: float | None = None
        self._turn_since: float | None = None
        self._listens = False
        self._dialog: Dialog | None = None

    @property
    def marks(self) -> bool:
        """Whether the program has marked a prompt or a command."""
        return bool(self._mark)

    async def listen(self) -> AsyncGenerator[Spooled, None]:
        due: float | None = clock()  # the current status is not known yet
        while self.ended is None:
            item = await self.feed.next_unclaimed(due)
            if isinstance(item, Chunk):
                due = clock() + DRAW_SECONDS
                yield Spooled(self.source, self.feed.offset)
            elif item is None:
                if self.feed.must_yield:
                    return
                due = await self._look_around()
            elif isinstance(item, Exited | HostLost):
                self.note_end(item)

    async def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        self.unsent = True
        screen = await self.drawn()
        await self._until_ready(screen)
        prompt = self._prompt(screen)
        await MessageInput(self, screen).type(message.content)
        if message.execute:
            screen = await self.drawn()
            turn = TerminalTurn(message.content.encode(), self.marks, prompt=prompt, screen=screen)
            ends = message.delimiter or (self.peer.program.delimiter if self.peer.program else None)
            self.unsent = False
            await self.link.write((ends or ENTER).encode(), "keys")
            async for spooled in self._answer(turn, screen):
                yield spooled
        yield Done()

    async def _answer(self, turn: TerminalTurn, screen: Screen) -> AsyncGenerator[Spooled, None]:
        self._turn_since = heard = clock()
        turn.started(heard)
        try:
            while turn.ended is None:
                due = self.stuck_deadline(heard) if turn.due is None else turn.due
                item = await self.feed.next(due)
                if item is None:
                    if turn.due is None:
                        heard = clock()
                        await self._look_around()
                    text = turn.tick(clock())
                elif isinstance(item, Chunk):
                    heard = clock()
                    if not self.marks or b"\x1b" in item.data or screen.alternate:
                        await self.drawn()  # plain lines between marks need no screen
                    text = turn.received(item.data, heard)
                elif isinstance(item, Exited | HostLost):
                    self.note_end(item)
                    ended = item if isinstance(item, Exited) else None
                    code, signal = (ended.code, ended.signal) if ended else (None, None)
                    text = turn.exited(code, signal, clock())
                else:
                    continue
                yield Spooled(self.source, self.feed.offset, (Text(text),) if text else ())
        finally:
            self._turn_since = None
        if self.ended_badly():
            raise self.failure()

    async def _until_ready(self, screen: Screen) -> None:
        """Wait until a message may be typed: the program asks no question, and another user's command has
        finished.

        Raises:
            ProgramBlocked: the program asks a question, or runs such a command for too long.
            ProgramEnded: the program has ended.
        """
        ends = clock() + BUSY_SECONDS
        await self._until_it_listens(screen)
        while True:
            host = await self.link.status()
            dialog = _as_told(dialog_on(screen.text(), screen.cursor))
            if host.canonical and not host.echo and host.reader_waits is not False:
                dialog = dialog or Dialog("input that is not echoed, such as a password")
            if dialog is not None:
                said = f"{self.peer.name} asks: {dialog.text}"
                raise ProgramBlocked(said, question=dialog.text, options=list(dialog.options))
            if not self._in_command:
                return
            if clock() > ends:
                raise ProgramBlocked(f"{self.peer.name} is running a command that no message started")
            await self._hear_until(min(ends, clock() + 1.0))

    async def _until_it_listens(self, screen: Screen) -> None:
        """Wait until the program first reads input. Text that is typed earlier is lost, or only the terminal
        echoes it."""
        ends = clock() + START_SECONDS
        while not self._listens and clock() < ends:
            quiet = self._heard is not None and clock() - self._heard >= QUIET_SECONDS
            self._listens = self.marks or self._prompt(screen) is not None or quiet
            if not self._listens:
                await self._hear_until(clock() + QUIET_SECONDS)
        self._listens = True

    async def _hear_until(self, due: float) -> None:
        """Wait for the next output, at most until `due`, and draw it.

        Raises:
            ProgramEnded: the program has ended.
        """
        item = await self.feed.next(due)
        if isinstance(item, Exited | HostLost):
            self.note_end(item)
            raise self.failure()
        await self.drawn()

    async def inspect(self) -> ProgramStatus:
        screen = await self.drawn()
        self._judge(screen)
        host = await self.link.status() if self.ended is None else None
        reasons = [self._status.evidence]
        if host is not None:
            reasons.append(f"foreground process: {host.foreground_name or '?'} (pid {host.foreground_pid})")
            if host.reader_waits is not None:
                reasons.append("it waits for input" if host.reader_waits else "it does not wait for input")
        reasons.append("it marks its commands" if self.marks else "it does not mark its commands")
        lines = tuple(screen.text())
        return replace(self._status, reasons=tuple(reasons), screen=lines, dialog=self._dialog)

    async def view(self, *, sender: str, writes: bool) -> Viewer:
        screen = await self.drawn()
        audience = self._audience
        assert audience is not None
        viewer = TerminalViewer(
            audience,
            self.link,
            screen.snapshot(),
            self.feed.offset - len(self._unread),  # output that arrived during the drawing is not on it
            lambda: self.ended,
            sender=sender,
            writes=writes,
        )
        await audience.join(viewer)
        return viewer

    async def interrupt(self) -> None:
        try:
            await self.link.write(b"\x03", "keys")
        except (HostLost, HostSilent, ProgramOver):
            pass  # there is nothing left to interrupt

    def turn_ended(self) -> None:
        if self._screen is not None:
            self._judge(self._screen)

    async def drawn(self) -> Screen:
        """Draw the output that was read, and return the screen.

        The terminal's answers are sent to the program, unless a viewer's own terminal answers it.
        """
        async with self._drawing:
            if self._screen is None:
                host = await self.link.status()
                size = (host.rows, host.cols)
                self._screen = Screen(*size)
                self._audience = Audience(self.peer.name, self.pid, size, self._resize)
                await self._draw_again(self._screen)
            while self._unread:
                data, self._unread = bytes(self._unread), bytearray()
                if len(data) > AT_ONCE_BYTES:
                    await asyncio.to_thread(self._screen.feed, data)
                else:
                    self._screen.feed(data)
            screen = self._screen
        if (replies := screen.take_replies()) and not (self._audience and self._audience.types):
            await self._reply(replies)
        return screen

    async def _draw_again(self, screen: Screen) -> None:
        """Draw the last output from before this hub began to read, as far as the spool still has it."""
        began = self.feed.offset - len(self._unread)
        at = max(began - UNREAD_BYTES, 0)
        if at == began:
            return
        async with aclosing(self.link.read(at)) as items:
            async for item in items:
                if not isinstance(item, Chunk) or item.offset_after - len(item.data) >= began:
                    break
                surplus = max(item.offset_after - began, 0)
                data = item.data[: len(item.data) - surplus]
                await asyncio.to_thread(screen.feed, data)
                self._note_marks(data)
                if item.offset_after >= began:
                    break
        screen.take_replies()  # these queries were answered at the time

    async def _reply(self, replies: bytes) -> None:
        try:
            await self.link.write(replies, "keys")
        except (HostLost, HostSilent, ProgramOver):
            pass  # the program no longer waits for them

    async def _resize(self, size: Size) -> None:
        if self._screen is not None:
            self._screen.resize(*size)
        try:
            await self.link.resize(*size)
        except (HostLost, HostSilent, ProgramOver):
            pass  # the viewers learn of the end after the last output

    async def _look_around(self) -> float | None:
        """Update the status; return when to do so again, or None if only output can change it."""
        try:
            self._judge(await self.drawn())
        except HostSilent:
            self.set_status("stuck", NO_ANSWER)
            return clock() + SILENT_SECONDS
        if self._heard is None:
            return None
        again = self._heard + QUIET_SECONDS + 0.01
        return again if again > clock() else None

    def _judge(self, screen: Screen) -> None:
        found = dialog_on(screen.text(), screen.cursor)
        self._dialog = _as_told(found)
        now = clock()
        signs = Signs(
            dialog=found,
            prompt=self._prompt(screen),
            marks=self.marks,
            in_command=self._in_command,
            quiet_for=None if self._heard is None else now - self._heard,
            turn_for=None if self._turn_since is None else now - self._turn_since,
        )
        state, evidence = status(signs)
        self.set_status(state, evidence)

    def _prompt(self, screen: Screen) -> str | None:
        """Return the line with the cursor if it is a prompt."""
        if screen.alternate:
            return None
        line = screen.text()[screen.cursor.row]
        own = self.peer.program.prompt if self.peer.program else None
        if own is not None:
            return line if is_prompt(own, line) else None
        return line if like_prompt(line) else None

    @property
    def _in_command(self) -> bool:
        return self._mark == b"C"

    def _seen(self, data: bytes) -> None:
        """Keep a piece of output, when it is first read, until the screen is drawn."""
        self._heard = clock()
        self._unread += data
        if len(self._unread) > UNREAD_BYTES:
            del self._unread[: len(self._unread) - UNREAD_BYTES]
        self._note_marks(data)

    def _note_marks(self, data: bytes) -> None:
        if b"\x1b" in data or self._edge:
            found = _MARK.findall(self._edge + data)
            if found:
                self._mark = found[-1]
            tail = (self._edge + data)[-7:]
            self._edge = tail[tail.rfind(b"\x1b") :] if b"\x1b" in tail else b""


def _as_told(found: dialogs.Dialog | None) -> Dialog | None:
    """Return a question on the screen as clients see it."""
    return Dialog(found.evidence, found.options) if found else None
