"""Programs in a terminal: the message is typed, and the answer is what they show until they wait for input.

The raw bytes stay in the host's spool. The screen is drawn from them only when it is needed. The log has the
turns, the statuses and the text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from msgspec.structs import replace

from rhetor.domain.event import Channel
from rhetor.domain.output import Done, Plain, Spooled, Text
from rhetor.domain.program import Dialog, ProgramStatus
from rhetor.drivers.base import Prompt, Viewer
from rhetor.drivers.programs.host.connection import answering
from rhetor.drivers.programs.host.failures import HostLost, HostSilent, ProgramOver
from rhetor.drivers.programs.host.values import Chunk, Exited, HostStatus, Reader
from rhetor.drivers.programs.program import NO_ANSWER, HostedProgram, clock
from rhetor.drivers.programs.readiness import (
    BUSY_SECONDS,
    LOOK_SECONDS,
    QUIET_SECONDS,
    Moment,
    Readiness,
)
from rhetor.drivers.programs.status import Signs, status
from rhetor.drivers.programs.terminal.dialogs import is_prompt, like_prompt
from rhetor.errors import ProgramBlocked

from . import dialogs
from .dialogs import dialog_on
from .known import takes_lines, takes_paste
from .message_input import MessageInput
from .pending import Pending, without
from .screen import Screen
from .turn import TerminalTurn
from .unasked import Unasked
from .viewer import Audience, Size, TerminalViewer

ENTER = "\r"
UNREAD_BYTES = 128 << 10  # kept until the screen is drawn; older output is dropped
AT_ONCE_BYTES = 4 << 10  # more than this is drawn in a thread
DRAW_SECONDS = 0.05
ATTACH_SECONDS = 2.0  # for the host to answer a terminal that attaches
SILENT_SECONDS = 1.0  # between two attempts to draw the screen if the host does not answer
LINE_SECONDS = 0.02  # of silence, while a program waits for input, after which it has taken a line of several
_READERS = {
    "waits": "it waits for input",
    "polls": "it takes input, but may be doing something else",
    "shares": "it takes input, and waits for something else too",
    "no": "it does not wait for input",
}
HELD_BYTES = 64 << 10  # output after the last newline that a later hub would read again
_MARK = re.compile(rb"\x1b\]133;([ABCD])([^\x07\x1b]{0,64})(?:\x07|\x1b\\)")
_MARK_BYTES = 80


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
        self._marks_begin = True
        self._unasked = Unasked(None)
        self._in_turn = False
        self._answered = False  # a message, so that its prompt is not in `_unasked`
        self._known_prompt = ""
        self._whole = self.feed.offset  # after the last newline between turns
        self._heard: float | None = None
        self._turn_since: float | None = None
        self._readiness = Readiness()
        self._pending = ""  # typed and not run
        self._dialog: Dialog | None = None

    @property
    def marks(self) -> bool:
        """Whether the program has marked a prompt or a command."""
        return bool(self._mark)

    @property
    def is_viewed(self) -> bool:
        return self._audience is not None and bool(self._audience.clients())

    @property
    def _marks_commands(self) -> bool:
        """Whether the next command will be marked from its beginning to its end."""
        return self.marks and self._marks_begin and not self._in_command

    async def listen(self) -> AsyncGenerator[Spooled, None]:
        due: float | None = clock()  # the current status is not known yet
        while self.ended is None:
            item = await self.feed.next_unclaimed(due)
            if isinstance(item, Chunk):
                due = clock() + DRAW_SECONDS
                yield self._unsolicited(self._unasked.lines())
            elif item is None:
                if self.feed.must_yield:
                    return
                due = await self._look_around()
            elif isinstance(item, Exited | HostLost):
                yield self._spooled(self._unasked.finish(), "unsolicited")
                self.note_end(item)

    def _unsolicited(self, text: str) -> Spooled:
        """Return text between turns. Another hub reads a line again that is not complete yet."""
        offset = max(self._whole, self.feed.offset - HELD_BYTES)
        return Spooled(self.source, offset, (Text(text, "unsolicited"),) if text else ())

    async def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        self.unsent = True
        screen = await self.drawn()
        host = await self._until_ready(screen)
        yield self._unsolicited(self._unasked.lines())
        prompt = self._prompt(screen, host.reader)
        before = screen.text() if screen.alternate else None
        pastes = takes_paste(host.foreground_name, screen)
        if note := await self._settle_pending(message, screen):
            yield Text(note, "stderr")
        if not message.execute:
            yield await self._typed(message.content, MessageInput(self, screen, pastes), host)
            self._pending = message.content
            yield Done("typed")
            return
        marks = self._marks_commands
        by_line = takes_lines(host.foreground_name, screen)
        lines = message.content.split("\n") if by_line else [message.content]
        for line in lines[:-1]:
            turn = TerminalTurn(
                line.encode(), marks, prompt=prompt, screen=screen, echoed=False, waited=LINE_SECONDS
            )
            self.unsent = False
            last = ""
            async for spooled in self._answer(turn, screen, (line + "\n").encode(), "text"):
                last = _text_of(spooled) or last
                yield spooled
            if last and not last.endswith("\n"):
                yield self._spooled("\n")  # the line was typed behind a question
        if message.content:
            yield await self._typed(lines[-1], MessageInput(self, screen, pastes), host)
        screen = await self.drawn()
        typed, self._pending = lines[-1] or self._pending, ""
        turn = TerminalTurn(typed.encode(), marks, prompt=prompt, screen=screen, before=before)
        ends = message.delimiter or (self.peer.program.delimiter if self.peer.program else None)
        self.unsent = False
        async for spooled in self._answer(turn, screen, (ends or ENTER).encode(), "keys"):
            yield spooled
        self._known_prompt = prompt or ""
        yield Done(turn.finish_reason)

    async def _typed(self, text: str, typing: MessageInput, host: HostStatus) -> Spooled:
        """Type a text, and return what the program printed meanwhile besides its echo."""
        line = self._unasked.line
        if line and not (like_prompt(line) or not self._answered):
            line = self._known_prompt if line.startswith(self._known_prompt) else ""
        await typing.type(text)
        besides = self._unasked.besides(text, line, exact=host.canonical and host.echo)
        self._whole = self.feed.offset
        return self._spooled(besides, "unsolicited")

    async def _settle_pending(self, message: Prompt, screen: Screen) -> str:
        """Prevent that the message joins text that was typed before and not run. Return a note on what was
        done.

        Raises:
            ProgramBlocked: the text could not be removed.
        """
        pending = Pending(self._pending)
        if not self._pending or not pending.shown(screen):
            self._pending = ""
        elif message.content:
            await self._erase(pending, screen)
            self._pending = ""
            return f"removed text that was typed and not run: {pending.text!r}\n"
        return ""

    async def _erase(self, pending: Pending, screen: Screen) -> None:
        for keys in pending.erasers():
            await self.link.write(keys, "keys")
            ends = clock() + QUIET_SECONDS
            while pending.shown(screen) and clock() < ends:
                await self._hear_until(ends)
            if not pending.shown(screen):
                await self._hear_until(clock() + DRAW_SECONDS)
                return
        name = self.peer.name
        raise ProgramBlocked(
            f"{name} has text that was typed and not run: {pending.text!r}",
            hint=f'run it with: aish {name} "" -x',
        )

    async def _answer(
        self, turn: TerminalTurn, screen: Screen, keys: bytes, kind: Literal["keys", "text"]
    ) -> AsyncGenerator[Spooled, None]:
        """Type `keys`, which submit the message, and follow the turn to its end."""
        await self.link.write(keys, kind)
        self._turn_since = heard = clock()
        turn.started(heard)
        self._in_turn = True
        try:
            while turn.ended is None:
                item = await self.feed.next(turn.due)
                if item is None:
                    text = turn.tick(clock(), await self._readiness.reader(self.link, self.feed))
                    if turn.due is not None and clock() >= self.stuck_deadline(heard):
                        heard = clock()
                        await self._look_around()
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
                yield self._spooled(text)
        finally:
            self._turn_since = None
            self._listen_again(turn, screen)
        if self.ended_badly():
            raise self.failure()

    def _listen_again(self, turn: TerminalTurn, screen: Screen) -> None:
        """Collect what is printed after a turn. It belongs to no message."""
        self._in_turn, self._answered, self._whole = False, True, self.feed.offset
        ended_by_mark = turn.ended is not None and turn.ended.kind == "mark"
        self._unasked = Unasked(screen.cols, turn.tokenizer, after_command=ended_by_mark)
        for token in turn.rest:
            self._unasked.take(token)

    def _spooled(self, text: str, channel: Channel = "answer") -> Spooled:
        return Spooled(self.source, self.feed.offset, (Text(text, channel),) if text else ())

    async def _until_ready(self, screen: Screen) -> HostStatus:
        """Wait until a message may be typed: the program takes input, asks no question, and another user's
        command has finished. Return the status of the host.

        Raises:
            ProgramBlocked: the program asks a question, or takes no input for too long.
            ProgramEnded: the program has ended.
        """
        began = clock()
        while True:
            host = await self.link.status()
            dialog = _as_told(dialog_on(screen.text(), screen.cursor))
            if host.canonical and not host.echo and host.reader != "no":
                dialog = dialog or Dialog("input that is not echoed, such as a password")
            if dialog is not None:
                asks = f"{self.peer.name} asks: {dialog.text}"
                raise ProgramBlocked(
                    asks,
                    question=dialog.text,
                    options=list(dialog.options),
                    hint=f"answer it there: aish tools attach {self.peer.name}",
                )
            if host.head <= self.feed.offset and self._readiness.ready(self._moment(host, screen, began)):
                return host
            if clock() > began + BUSY_SECONDS:
                raise ProgramBlocked(
                    f"{self.peer.name} is busy: {host.foreground_name or 'a command'} takes no input",
                    hint=f"look at its screen: aish tools attach {self.peer.name}",
                )
            await self._hear_until(clock() + LOOK_SECONDS)

    def _moment(self, host: HostStatus, screen: Screen, began: float) -> Moment:
        now = clock()
        return Moment(
            reader=host.reader,
            at_prompt=self._prompt(screen) is not None,
            marks=self.marks,
            in_command=self._in_command,
            silent_for=None if self._heard is None else now - self._heard,
            waited=now - began,
        )

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
            if host.reader is not None:
                reasons.append(_READERS[host.reader])
        reasons.append("it marks its commands" if self.marks else "it does not mark its commands")
        lines = tuple(screen.text())
        return replace(self._status, reasons=tuple(reasons), screen=lines, dialog=self._dialog)

    async def view(self, *, sender: str, writes: bool) -> Viewer:
        if not await self.answers(ATTACH_SECONDS):
            raise HostSilent(self.link.host_id)
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
                screen = Screen(*size)
                await self._draw_again(screen)
                self._screen = screen
                self._unasked.resize(size[1])
                self._audience = Audience(self.peer.name, self.pid, size, self._resize)
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
        """Draw the last output from before this hub began to read, as far as the spool still has it.

        Raises:
            HostSilent: the host does not answer.
        """
        began = self.feed.offset - len(self._unread)
        at = max(began - UNREAD_BYTES, 0)
        if at == began:
            return
        async with answering(self.link.host_id), aclosing(self.link.read(at)) as items:
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
            self._unasked.resize(size[1])
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
            marks=self.marks and self._marks_begin,
            in_command=self._in_command,
            quiet_for=None if self._heard is None else now - self._heard,
            turn_for=None if self._turn_since is None else now - self._turn_since,
        )
        state, evidence = status(signs)
        self.set_status(state, evidence)

    def _prompt(self, screen: Screen, reader: Reader | None = None) -> str | None:
        """Return the line with the cursor if it is a prompt. If the program takes input, any text before the
        cursor is one."""
        if screen.alternate:
            return None
        at = screen.cursor
        line = screen.text()[at.row]
        if self._pending:
            line = without(self._pending, line[: at.col])
        own = self.peer.program.prompt if self.peer.program else None
        if own is not None:
            return line if is_prompt(own, line) else None
        if like_prompt(line):
            return line
        takes_input = reader in ("waits", "polls", "shares")
        return line if takes_input and line.strip() and len(line.rstrip()) <= at.col else None

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
        if not self._in_turn:
            self._unasked.feed(data)
            if b"\n" in data:
                self._whole = self.feed.offset - (len(data) - data.rindex(b"\n") - 1)

    def _note_marks(self, data: bytes) -> None:
        if b"\x1b" not in data and not self._edge:
            return
        whole, seen = self._edge + data, 0
        for found in _MARK.finditer(whole):
            self._mark, seen = found[1], found.end()
            if self._mark == b"A":
                self._marks_begin = b"unmarked" not in found[2]
        rest = whole[max(seen, len(whole) - _MARK_BYTES) :]
        self._edge = rest[rest.find(b"\x1b") :] if b"\x1b" in rest else b""


def _text_of(spooled: Spooled) -> str:
    return "".join(output.text for output in spooled.outputs if isinstance(output, Text))


def _as_told(found: dialogs.Dialog | None) -> Dialog | None:
    """Return a question on the screen as clients see it."""
    return Dialog(found.evidence, found.options) if found else None
