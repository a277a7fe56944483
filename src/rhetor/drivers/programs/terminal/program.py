"""Programs in a terminal: the message is typed, and the answer is what they show until they wait for input.

The raw bytes stay in the host's spool. The log has the turns, the statuses and the text.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from rhetor.domain.event import Channel
from rhetor.domain.output import Done, Plain, Spooled, Text
from rhetor.domain.program import Dialog
from rhetor.drivers.base import Prompt
from rhetor.drivers.programs.host.failures import HostLost
from rhetor.drivers.programs.host.values import Chunk, Exited, HostStatus
from rhetor.drivers.programs.program import clock
from rhetor.drivers.programs.readiness import BUSY_SECONDS, LOOK_SECONDS, Readiness
from rhetor.errors import ProgramBlocked

from .dialogs import dialog_on
from .known import takes_lines, takes_paste
from .message_input import MessageInput
from .screen import Screen
from .turn import TerminalTurn
from .watched import WatchedProgram, question

ENTER = "\r"
DRAW_SECONDS = 0.05
LINE_SECONDS = 0.02  # of silence, while a program waits for input, after which it has taken a line of several


class TerminalProgram(WatchedProgram):
    """A program in a terminal, with its turns."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._readiness = Readiness()

    async def listen(self) -> AsyncGenerator[Spooled, None]:
        due: float | None = clock()  # the current status is not known yet
        while self.ended is None:
            item = await self.feed.next_unclaimed(due)
            if isinstance(item, Chunk):
                due = clock() + DRAW_SECONDS
                yield self._unsolicited(self.between.lines())
            elif item is None:
                if self.feed.must_yield:
                    return
                due = await self.update_status()
            elif isinstance(item, Exited | HostLost):
                yield self._spooled(self.between.rest(), "unsolicited")
                self.note_end(item)

    def _unsolicited(self, text: str) -> Spooled:
        """Return text between turns. Another hub reads a line again that is not complete yet."""
        return Spooled(self.source, self.between.offset, (Text(text, "unsolicited"),) if text else ())

    async def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        self.unsent = True
        screen = await self.drawn()
        host = await self._until_ready(screen)
        yield self._unsolicited(self.between.lines())
        prompt = self.prompt(screen, host.reader)
        before = screen.text() if screen.alternate else None
        pastes = takes_paste(host.foreground_name, screen)
        if note := await self.pending.settle(message.content, self, screen):
            yield Text(note, "stderr")
        if not message.execute:
            yield await self._typed(message.content, MessageInput(self, screen, pastes), host)
            self.pending.text = message.content
            yield Done("typed")
            return
        marks = self.marks.of_commands and not self.marks.in_command
        by_line = takes_lines(host.foreground_name, screen)
        *first, last = message.content.split("\n") if by_line else [message.content]
        for line in first:
            async with aclosing(self._line(line, prompt, screen, marks)) as answer:
                async for spooled in answer:
                    yield spooled
        if message.content:
            yield await self._typed(last, MessageInput(self, screen, pastes), host)
        screen = await self.drawn()
        typed, self.pending.text = last or self.pending.text, ""
        turn = TerminalTurn(typed.encode(), marks, prompt=prompt, screen=screen, before=before)
        ends = message.delimiter or (self.peer.program.delimiter if self.peer.program else None)
        async with aclosing(self._answer(turn, screen, (ends or ENTER).encode(), "keys")) as answer:
            async for spooled in answer:
                yield spooled
        self.between.answered(prompt)
        yield Done(turn.finish_reason)

    async def _line(
        self, line: str, prompt: str | None, screen: Screen, marks: bool
    ) -> AsyncGenerator[Spooled, None]:
        """Type one of several lines, but not the last, and follow the program until it takes the next."""
        turn = TerminalTurn(
            line.encode(), marks, prompt=prompt, screen=screen, echoed=False, waited=LINE_SECONDS
        )
        last = ""
        async with aclosing(self._answer(turn, screen, (line + "\n").encode(), "text")) as answer:
            async for spooled in answer:
                last = _text_of(spooled) or last
                yield spooled
        if last and not last.endswith("\n"):
            yield self._spooled("\n")  # the line was typed behind a question

    async def _typed(self, text: str, typing: MessageInput, host: HostStatus) -> Spooled:
        """Type a text, and return what the program printed meanwhile besides its echo."""
        prompt = self.between.prompt()
        await typing.type(text)
        besides = self.between.besides(text, prompt, exact=host.canonical and host.echo)
        return self._spooled(besides, "unsolicited")

    async def _answer(
        self, turn: TerminalTurn, screen: Screen, keys: bytes, kind: Literal["keys", "text"]
    ) -> AsyncGenerator[Spooled, None]:
        """Type `keys`, which submit the message, and follow the turn to its end."""
        self.unsent = False
        await self.link.write(keys, kind)
        self.turn_since = heard = clock()
        turn.started(heard)
        self.between.turn_began()
        try:
            while turn.ended is None:
                item = await self.feed.next(turn.due)
                if item is None:
                    text = turn.tick(clock(), await self._readiness.reader(self.link, self.feed))
                    if turn.due is not None and clock() >= self.stuck_deadline(heard):
                        heard = clock()
                        await self.update_status()
                elif isinstance(item, Chunk):
                    heard = clock()
                    if not self.marks.seen or b"\x1b" in item.data or screen.alternate:
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
            self.turn_since = None
            self.between.turn_ended(turn, screen.cols)
        if self.ended_badly():
            raise self.failure()

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
            self._require_no_question(host, screen)
            if host.head <= self.feed.offset and self._readiness.ready(self.moment(host, screen, began)):
                return host
            if clock() > began + BUSY_SECONDS:
                raise ProgramBlocked(
                    f"{self.peer.name} is busy: {host.foreground_name or 'a command'} takes no input",
                    hint=f"look at its screen: aish tools attach {self.peer.name}",
                )
            await self.await_output(clock() + LOOK_SECONDS)

    def _require_no_question(self, host: HostStatus, screen: Screen) -> None:
        dialog = question(dialog_on(screen.text(), screen.cursor))
        if host.canonical and not host.echo and host.reader != "no":
            dialog = dialog or Dialog("input that is not echoed, such as a password")
        if dialog is not None:
            raise ProgramBlocked(
                f"{self.peer.name} asks: {dialog.text}",
                question=dialog.text,
                options=list(dialog.options),
                hint=f"answer it there: aish tools attach {self.peer.name}",
            )


def _text_of(spooled: Spooled) -> str:
    return "".join(output.text for output in spooled.outputs if isinstance(output, Text))
