"""The output of a program that belongs to no message, and the offset from which a later hub reads on."""

from __future__ import annotations

from rhetor.drivers.programs.host.feed import Feed

from .prompts import like_prompt
from .turn import TerminalTurn
from .unasked import Unasked

HELD_BYTES = 64 << 10  # output after the last newline that a later hub would read again


class BetweenTurns:
    """What one program prints between its turns. During a turn, nothing is taken."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._unasked = Unasked(None)
        self._in_turn = False
        self._answered = False  # a message, so that its prompt is not in `_unasked`
        self._prompt = ""  # of the last message
        self._whole = feed.offset  # after the last newline

    @property
    def offset(self) -> int:
        """Where a later hub begins to read, so that it gets a line again that is not complete yet."""
        return max(self._whole, self._feed.offset - HELD_BYTES)

    def resize(self, columns: int) -> None:
        self._unasked.resize(columns)

    def take(self, data: bytes) -> None:
        if self._in_turn:
            return
        self._unasked.feed(data)
        if b"\n" in data:
            self._whole = self._feed.offset - (len(data) - data.rindex(b"\n") - 1)

    def lines(self) -> str:
        """Return the lines that were completed since the last call."""
        return self._unasked.lines()

    def rest(self) -> str:
        """Return the rest, when no more output follows."""
        return self._unasked.finish()

    def prompt(self) -> str:
        """Return the beginning of the incomplete line that is a prompt, not output."""
        line = self._unasked.line
        if not line or like_prompt(line) or not self._answered:
            return line
        return self._prompt if line.startswith(self._prompt) else ""

    def besides(self, typed: str, prompt: str, *, exact: bool) -> str:
        """Return what was printed while `typed` was typed behind `prompt`; see `Unasked.besides`."""
        text = self._unasked.besides(typed, prompt, exact=exact)
        self._whole = self._feed.offset
        return text

    def turn_began(self) -> None:
        self._in_turn = True

    def turn_ended(self, turn: TerminalTurn, columns: int) -> None:
        """Take output again, first what the turn has read behind its end."""
        self._in_turn, self._answered, self._whole = False, True, self._feed.offset
        ended_by_mark = turn.ended is not None and turn.ended.kind == "mark"
        self._unasked = Unasked(columns, turn.tokenizer, after_command=ended_by_mark)
        for token in turn.rest:
            self._unasked.take(token)

    def answered(self, prompt: str | None) -> None:
        """Note the prompt at which the last message was typed."""
        self._prompt = prompt or ""
