"""Types a message into a program's terminal and checks that the program shows it, before Enter is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from rhetor.codec.ansi import Text, Tokenizer
from rhetor.codec.plain_text import PlainText
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit
from rhetor.drivers.programs.host.failures import HostLost
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Chunk, Exited
from rhetor.drivers.programs.program import clock
from rhetor.errors import NotEchoed, ProgramEnded, Unprocessable

from .screen import Screen

TAIL: Final = 200  # visible characters at the end of a text that must be seen
_KEPT: Final = 16 * TAIL
_UNSEEN = re.compile(r"[\s\u2500-\u259f\u00a0\u200b]+")  # blanks and box-drawing characters
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_STAND_IN = re.compile(r"\[Pasted (text|content)\b[^\]]*\]", re.IGNORECASE)
_LOOSE_FROM: Final = 24  # a text of at least this length may be seen with characters drawn twice in between

PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
KILL_LINE: Final = b"\x15"  # erases the line in a terminal's own editing, in readline and the like
PIECE_CHARACTERS = 256  # typed at once into a program that does not accept pastes
ECHO_SECONDS = 2.0
ATTEMPTS = 3  # if the program shows nothing at all: text that is typed before it reads input is lost
SETTLE_LINE, SETTLE_SCREEN = 0.03, 0.3  # seconds of silence before Enter


class Terminal(Protocol):
    """What typing needs from the program that runs in the terminal."""

    peer: Peer
    link: HostLink
    feed: Feed

    async def drawn(self) -> Screen:
        """Return the screen after all output that was read."""
        ...

    async def await_output(self, due: float) -> None:
        """Wait for the next output, at most until `due`, and draw it.

        Raises:
            ProgramEnded: the program has ended.
        """
        ...

    def note_end(self, item: Exited | HostLost) -> Exit:
        """Record that the program has ended."""
        ...

    def failure(self) -> ProgramEnded:
        """Return the program's end as the failure of a turn."""
        ...


class MessageInput:
    """Types one message. The caller must have claimed the program's output. `pastes`: the message is pasted
    (bracketed paste)."""

    def __init__(self, program: Terminal, screen: Screen, pastes: bool) -> None:
        self._program = program
        self._screen = screen
        self._pastes = pastes

    async def type(self, text: str) -> None:
        """Type `text`, and return when the program shows it and has fallen silent.

        Raises:
            NotEchoed: the program did not show the text.
            Unprocessable: the text cannot be typed into this program.
            ProgramEnded: the program has ended.
        """
        echo = Echo(text, self._screen.cols)
        for _ in range(ATTEMPTS):
            await self._write(text)
            silent = await self._until_seen(echo)
            if echo.seen or not silent:
                break
        if not echo.seen:
            await self._erase()
            raise NotEchoed(
                f"{self._program.peer.name} did not show the typed message, so it was not submitted",
                hint=f"look at its screen: aish tools attach {self._program.peer.name}",
            )
        await self._settle(SETTLE_SCREEN if self._screen.alternate else SETTLE_LINE)

    async def _write(self, text: str) -> None:
        link = self._program.link
        if self._pastes:
            if PASTE_ENDS in text:
                raise Unprocessable(
                    "the message contains the sequence that ends a paste, so it cannot be typed"
                )
            await link.write(f"{PASTE_BEGINS}{text}{PASTE_ENDS}".encode(), "keys")
            return
        for at in range(0, len(text), PIECE_CHARACTERS):
            await link.write(text[at : at + PIECE_CHARACTERS].encode(), "text")

    async def _erase(self) -> None:
        """Erase what was typed, so that the next message does not join it. To a program that draws a full
        screen, the key may mean something else, so nothing is erased there."""
        if not (await self._program.drawn()).alternate:
            await self._program.link.write(KILL_LINE, "keys")

    async def _until_seen(self, echo: Echo) -> bool:
        """Read output until the text was seen or the time is over; return whether there was no output."""
        ends, silent = clock() + ECHO_SECONDS, True
        while not echo.seen:
            item = await self._program.feed.next(ends)
            if item is None:
                return silent
            self._require(item)
            if isinstance(item, Chunk):
                silent = False
                await self._look(echo, item.data)
        return silent

    async def _look(self, echo: Echo, data: bytes) -> None:
        echo.feed(data)
        screen = await self._program.drawn()
        if screen.alternate:
            echo.look(screen.text())

    async def _settle(self, seconds: float) -> None:
        """Wait for `seconds` of silence, at most ten times as long: some programs draw all the time."""
        ends = clock() + 10 * seconds
        while (now := clock()) < ends:
            item = await self._program.feed.next(min(ends, now + seconds))
            if item is None:
                return
            self._require(item)

    def _require(self, item: object) -> None:
        if isinstance(item, Exited | HostLost):
            self._program.note_end(item)
            raise self._program.failure()


class Echo:
    """Looks for a typed text in what the program writes after it. `seen` is set once the text was found.

    Blanks are not compared, control characters are expected as `^X`, and only the last 200 visible characters
    of the text need to be seen. For a long text, `[Pasted text …]`, which some programs show instead, counts.
    """

    def __init__(self, text: str, columns: int = 80) -> None:
        self._wanted = _visible(text)[-TAIL:]
        self._parts = [part for line in text[-TAIL:].splitlines() if (part := _visible(line))]
        self._long = len(text) > TAIL or text.count("\n") > 1
        self._tokenizer = Tokenizer()
        self._line = PlainText(columns)
        self._lines = ""
        self._stream = ""
        self._shown = 0  # parts of which each was seen at the end of the line, one after the other
        self.seen = not self._wanted

    def feed(self, data: bytes) -> None:
        if self.seen:
            return
        for token in self._tokenizer.feed(data):
            self._lines += self._line.take(token)
            if isinstance(token, Text):
                self._stream += token.text
                self._look_for_part()
                # checked before the stream gets too long, so that later output does not push the text out
                if len(self._stream) > 2 * _KEPT:
                    self._look()
        self._look()

    def look(self, lines: Sequence[str]) -> None:
        """Look for the text in the rows of the screen, for a program that draws one."""
        if not self.seen:
            self.seen = self._in(_visible("".join(lines), controls=False))

    def _look_for_part(self) -> None:
        """Look for the next line of the text: a program that runs each line may then draw over it."""
        if self.seen or len(self._parts) < 2:
            return
        if _visible(self._line.line).endswith(self._parts[self._shown]):
            self._shown += 1
            self.seen = self._shown == len(self._parts)

    def _look(self) -> None:
        if self._long and _STAND_IN.search(self._stream):
            self.seen = True
        drawn = _visible(self._lines + self._line.line, controls=False)
        stream = _visible(self._stream, controls=False)
        self.seen = self.seen or self._wanted in drawn or self._in(stream)
        self._stream, self._lines = self._stream[-_KEPT:], self._lines[-_KEPT:]

    def _in(self, shown: str) -> bool:
        if self._wanted in shown or (len(self._parts) > 1 and _one_by_one(self._parts, shown)):
            return True
        size = len(self._wanted)
        return size >= _LOOSE_FROM and _in_order(self._wanted, shown[-(size + size // 2 + 40) :])


def _visible(text: str, *, controls: bool = True) -> str:
    if controls:
        text = _CONTROL.sub(lambda found: "^" + chr(ord(found.group()) ^ 0x40), text)
    return _UNSEEN.sub("", text)


def _one_by_one(parts: Sequence[str], shown: str) -> bool:
    """Return whether `shown` has the lines of a text one after the other. Prompts may be between them."""
    at = 0
    for part in parts:
        found = shown.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _in_order(wanted: str, shown: str) -> bool:
    """Return whether `shown` has all characters of `wanted` in order, possibly with others in between."""
    at = 0
    for char in wanted:
        at = shown.find(char, at) + 1
        if not at:
            return False
    return True
